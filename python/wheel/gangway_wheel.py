"""Builds the wheel (PEP 517, PEP 427): CMake builds and installs into a directory, and what is there
of the package is packed, with the native agent beside it in the prefix. Needs what ./dev build needs.

Settings, for pip as --config-settings NAME=VALUE: `build-dir`, a build tree of CMake's that is
taken as it is. Without it, build/wheel is made.
"""
import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

try:
    import tomllib
except ImportError:  # before Python 3.11
    from pip._vendor import tomli as tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AGENT = "libexec/gangway/gangway-agent"  # in the prefix, where the package looks for it


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def version():
    return re.search(r"project\(gangway VERSION (\S+)", read("CMakeLists.txt")).group(1)


def python():
    """The interpreter itself when this runs in a virtual environment: it is the one that is embedded."""
    return os.path.realpath(sys.executable)


def tag():
    name = "cp%d%d" % sys.version_info[:2]
    return "%s-%s-%s" % (name, name, re.sub(r"[^\w]", "_", sysconfig.get_platform()))


def run(*command):
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode:
        sys.exit("gangway_wheel: %s failed" % " ".join(command))


def build_tree(settings):
    given = (settings or {}).get("build-dir")
    if given:
        return os.path.abspath(given)
    build = os.path.join(ROOT, "build", "wheel")
    run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGANGWAY_TESTS=OFF",
        "-DGANGWAY_PYTHON=" + python())
    run("cmake", "--build", build)
    return build


def metadata():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    return "\n".join([
        "Metadata-Version: 2.1", "Name: " + project["name"], "Version: " + version(), "Summary: " + project["description"],
        "Requires-Python: " + project["requires-python"], "License-File: LICENSE", "Description-Content-Type: text/markdown",
        "", read(project["readme"])])


def files_of(directory):
    """Relative names of all files below it."""
    for folder, _, names in sorted(os.walk(directory)):
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), directory)


class Wheel:
    """An archive with its list of contents."""

    def __init__(self, path, info):
        self.archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.info = info
        self.record = []

    def add(self, name, data, mode=0o644):
        entry = zipfile.ZipInfo(name)  # of 1980: the same contents give the same wheel
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100000 | mode) << 16
        self.archive.writestr(entry, data)
        data = data.encode() if isinstance(data, str) else data
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append("%s,sha256=%s,%d" % (name, digest, len(data)))

    def add_file(self, name, path):
        with open(path, "rb") as file:
            self.add(name, file.read(), 0o755 if os.access(path, os.X_OK) else 0o644)

    def close(self):
        name = self.info + "/RECORD"
        self.add(name, "\n".join(self.record + [name + ",,"]) + "\n")
        self.archive.close()


# --- the hooks


def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    build = build_tree(config_settings)
    prefix = os.path.join(build, "wheel-stage")
    shutil.rmtree(prefix, ignore_errors=True)
    run("cmake", "--install", build, "--prefix", prefix)
    packages = [os.path.join(prefix, folder) for folder in (os.path.dirname(path) for path in files_of(prefix))
                if os.path.basename(folder) == "gangway" and "-packages" in folder]
    if not packages:
        sys.exit("gangway_wheel: the build has no Python package: is pybind11 there?")
    info = "gangway-%s.dist-info" % version()
    name = "gangway-%s-%s.whl" % (version(), tag())
    wheel = Wheel(os.path.join(wheel_directory, name), info)
    site = os.path.dirname(packages[0])
    for path in files_of(site):  # whatever is installed there
        if not path.endswith(".pyc"):
            wheel.add_file(path, os.path.join(site, path))
    agent = os.path.join(prefix, AGENT)
    if os.path.exists(agent):
        wheel.add_file("gangway-%s.data/data/%s" % (version(), AGENT), agent)
    wheel.add(info + "/METADATA", metadata())
    wheel.add(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: gangway_wheel\nRoot-Is-Purelib: false\nTag: %s\n" % tag())
    wheel.add(info + "/LICENSE", read("LICENSE"))
    wheel.close()
    return name


def build_sdist(sdist_directory, config_settings=None):
    base = "gangway-" + version()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(os.path.join(sdist_directory, base + ".tar.gz"), "w:gz") as archive:
        for path in filter(None, listed.decode().split("\0")):
            archive.add(os.path.join(ROOT, path), base + "/" + path)
        entry = tarfile.TarInfo(base + "/PKG-INFO")
        data = metadata().encode()
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return base + ".tar.gz"
