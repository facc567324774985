from gangway.arguments import popen_args, ssh_args, vagrant_ssh_args  # noqa: F401
