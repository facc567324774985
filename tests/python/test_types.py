"""The types of the package, as mypy sees them."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = os.path.join(HERE, os.pardir, os.pardir, "pyproject.toml")
PACKAGE = os.path.join(os.environ.get("GANGWAY_BUILD", ""), "python")


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    pytest.importorskip("mypy", reason="mypy is not installed (Debian: mypy)")
    cache = tmp_path_factory.mktemp("mypy")

    def run(module, *arguments):
        return subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, cwd=str(cache), env=dict(os.environ, MYPYPATH=PACKAGE), timeout=280)
    return run


def test_the_package(mypy):
    done = mypy("mypy", "--config-file", CONFIG, "-p", "gangway")
    assert done.returncode == 0, done.stdout


def test_the_stubs(mypy):
    done = mypy("mypy", "--strict", os.path.join(PACKAGE, "gangway", "_gangway.pyi"))
    assert done.returncode == 0, done.stdout


def test_a_client(mypy):
    done = mypy("mypy", "--strict", os.path.join(HERE, "typed_client.py"))
    assert done.returncode == 0, done.stdout


def test_the_client_works():
    done = subprocess.run([sys.executable, os.path.join(HERE, "typed_client.py")], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("line, complaint", [
    ("gateway.remote_exec('1').send()", "Too few arguments"),
    ("gateway.remote_status(timeout='1')", "incompatible type"),
    ("gateway.id + 1", "Unsupported"),
    ("gateway.remote_exec('1').receive(wait=3)", "Unexpected keyword argument"),
    ("gangway.makegateway(5)", "incompatible type")])
def test_mistakes_are_found(mypy, tmp_path, line, complaint):
    program = tmp_path / "program.py"
    program.write_text("import gangway\ngateway = gangway.makegateway()\n%s\n" % line)
    done = mypy("mypy", "--strict", str(program))
    assert done.returncode == 1 and complaint in done.stdout, done.stdout


def test_the_stub_is_what_the_extension_module_has(mypy, tmp_path):
    (tmp_path / "pybind11").write_text("\n".join([  # metaclass and constructor of its classes
        "gangway._gangway.Gateway", "gangway._gangway.Gateway.__init__", "gangway._gangway.Group",
        "gangway._gangway.Handoff"]))
    done = mypy("mypy.stubtest", "gangway._gangway", "--allowlist", str(tmp_path / "pybind11"), "--ignore-missing-stub")
    assert done.returncode == 0, done.stdout
