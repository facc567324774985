from gangway.group import Group, default_group, makegateway, set_execmodel  # noqa: F401
from gangway.multi_channel import MultiChannel  # noqa: F401
from gangway.safe_terminate import safe_terminate  # noqa: F401
