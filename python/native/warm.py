"""What an interpreter read before it was ready: the warm server looks whether it is still the same.

Imports nothing, for that could be seen in the agents' sys.modules: site has loaded what is
needed, and without site there is less to look for.
"""


def read_paths(sys):
    listdir = sys.modules["posix"].listdir
    site = sys.modules.get("site")
    directories = [path for path in sys.path if path]
    bin_directory = sys.executable.rpartition("/")[0]
    paths = [bin_directory + "/pyvenv.cfg", bin_directory.rpartition("/")[0] + "/pyvenv.cfg"]
    if site is not None:
        directories += site.getsitepackages()  # a directory that is missing now is not on sys.path
        if site.USER_SITE:
            directories.append(site.USER_SITE)
    for directory in set(directories):
        paths.append(directory)
        try:
            paths += [directory + "/" + name for name in listdir(directory) if name.endswith(".pth")]
        except OSError:
            pass
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            paths.append(file)
    return paths
