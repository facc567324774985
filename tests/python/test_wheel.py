"""pyproject.toml: the wheel has what it needs, and works in a virtual environment."""
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PROGRAM = """\
import os, sys, gangway
assert gangway.__file__.startswith(sys.prefix), gangway.__file__
for spec in "popen", "popen//python=" + sys.executable:
    gateway = gangway.makegateway(spec)
    assert gateway.remote_exec("import sys; channel.send(sys.version_info[:2] )").receive() == sys.version_info[:2]
    assert gateway.remote_exec("import gangway; channel.send(gangway.__file__)").receive() == gangway.__file__
gangway.default_group.terminate(5)
print("works")
"""


@pytest.fixture(scope="module")
def environment():
    """Without what leads to the build tree."""
    return {name: value for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "GANGWAY_AGENT", "GANGWAY_BUILD", "VIRTUAL_ENV")}


def run(*command, env, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, universal_newlines=True, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, environment):
    for module in "pip", "venv", "ensurepip":
        if subprocess.run([sys.executable, "-c", "import " + module], stderr=subprocess.DEVNULL).returncode:
            pytest.skip("this Python has no %s (Debian: python3-pip, python3-venv)" % module)
    build = os.environ.get("GANGWAY_BUILD")
    if not build or not shutil.which("cmake"):
        pytest.skip("no cmake, or GANGWAY_BUILD does not name a build tree")
    if os.path.exists(os.path.join(build, "CMakeCache.txt")):
        with open(os.path.join(build, "CMakeCache.txt")) as cache:
            if "fsanitize" in cache.read():
                pytest.skip("what is built with a sanitizer cannot be imported")
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder),
        "--config-settings", "build-dir=" + build, ROOT, env=environment)
    made, = folder.iterdir()
    return made


def test_contents(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("gangway/__init__.py", "gangway/_gangway.pyi", "gangway/py.typed", "gangway/files.py", "gangway/arrays.py",
                 "gangway/build.py", "gangway/dropin/execnet/__init__.py"):
        assert name in names
    assert any(name.startswith("gangway/_gangway.") and name.endswith(".so") for name in names)
    for end in "/LICENSE", "/METADATA", "/WHEEL", "/RECORD", ".data/data/libexec/gangway/gangway-agent":
        assert sum(name.endswith(end) for name in names) == 1
    assert len(names) == len(set(names)) and not any(name.endswith(".pyc") for name in names)
    # Whatever the build installs into the package.
    installed = os.path.join(os.environ["GANGWAY_BUILD"], "python", "gangway")
    assert {"gangway/" + name for name in os.listdir(installed) if name.endswith((".py", ".pyi", ".so"))} <= set(names)


def test_an_installed_wheel_works(wheel, tmp_path, environment):
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"), env=environment)
    python = str(tmp_path / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "--no-index", str(wheel), env=environment)
    assert run(python, "-c", PROGRAM, env=environment, cwd="/", timeout=120).endswith("works\n")
    dropin = run(python, "-m", "gangway.as_execnet", "--path", env=environment, cwd="/").strip()
    assert dropin.startswith(str(tmp_path / "venv")) and os.listdir(dropin) == ["execnet"]
    told = run(python, "-c", "import execnet; print(execnet.makegateway().remote_exec('channel.send(5)').receive())",
               env=dict(environment, PYTHONPATH=dropin), cwd="/", timeout=120)
    assert told == "5\n"
    agent = tmp_path / "venv" / "libexec" / "gangway" / "gangway-agent"
    assert os.access(agent, os.X_OK)
    run(python, "-m", "pip", "uninstall", "-y", "gangway", env=environment)
    assert not agent.exists() and not os.path.exists(dropin)
