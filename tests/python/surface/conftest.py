"""The public surface, statement by statement: programs that `import execnet`.

What they import is Gangway behind its drop-in directory, or with --oracle the execnet that is
installed. The same tests pass on both, but for those that are marked `better`: there execnet does
something by accident, lacks it, or has it in later releases only.
"""

import os
import subprocess
import sys
import time
import types

import pytest


def pytest_addoption(parser):
    parser.addoption("--oracle", action="store_true", help="test the installed execnet")


def pytest_configure(config):
    config.addinivalue_line("markers", "better(reason): not the same as the oracle")
    if not config.getoption("--oracle"):
        import gangway.as_execnet

        if "execnet" in sys.modules:
            raise pytest.UsageError("a plugin has imported execnet already; for pytest-xdist: "
                                    "-p no:xdist -p no:xdist.looponfail")
        sys.path.insert(0, gangway.as_execnet.DIRECTORY)
        # Programs that tests start.
        places = [gangway.as_execnet.DIRECTORY, os.environ.get("PYTHONPATH")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))


def pytest_collection_modifyitems(config, items):
    if config.getoption("--oracle"):
        for item in items:
            for mark in item.iter_markers("better"):
                item.add_marker(pytest.mark.skip(reason="execnet: " + mark.args[0]))


@pytest.fixture
def group():
    import execnet

    group = execnet.Group()
    yield group
    group.terminate(timeout=5)


@pytest.fixture
def gateway(group):
    return group.makegateway("popen")


@pytest.fixture(params=["native", "portable"])
def any_gateway(request, group):
    """On each of the agents."""
    return group.makegateway("popen" if request.param == "native" else "popen//python=%s" % sys.executable)


@pytest.fixture
def run():
    """Runs a program; an object with out, err and status."""

    def run(source, *arguments, **environment):
        result = subprocess.run([sys.executable, "-c", source, *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=60, text=True, env={**os.environ, **environment})
        return types.SimpleNamespace(out=result.stdout, err=result.stderr, status=result.returncode)

    return run


@pytest.fixture
def resident_counts():
    """Whether resident memory says something: a sanitizer keeps what was freed."""
    return "asan" not in os.environ.get("LD_PRELOAD", "")


@pytest.fixture
def until():
    def until(condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.005)

    return until
