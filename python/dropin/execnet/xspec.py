from gangway.xspec import XSpec  # noqa: F401
