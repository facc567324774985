from gangway.rsync import RSync  # noqa: F401
