from gangway import HostNotFound  # noqa: F401
