from gangway.gateway import Gateway  # noqa: F401
from gangway.source import find_non_builtin_globals as _find_non_builtin_globals  # noqa: F401
from gangway.source import source_of_function as _source_of_function  # noqa: F401
