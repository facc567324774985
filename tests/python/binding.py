"""The extension module alone, with exception classes of its own: what the tests of it share."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.environ.get("GANGWAY_BUILD", "build/dev"), "python"))
from gangway import _gangway  # noqa: E402

SPECS = {"native": "popen", "portable": "popen//python=" + sys.executable}


class RemoteError(Exception):
    def __init__(self, formatted):
        super().__init__(formatted)
        self.formatted = formatted

    def warn(self):
        sys.stderr.write("unhandled: " + self.formatted)


class TimeoutError(OSError):
    pass


class DumpError(Exception):
    pass


class LoadError(Exception):
    pass


class HostNotFound(Exception):
    pass


def use_errors():
    """Not at import: the package has classes of its own, and the last ones count."""
    _gangway.set_errors({error.__name__: error for error in (
        RemoteError, TimeoutError, DumpError, LoadError, HostNotFound)})


@pytest.fixture(autouse=True)
def errors():
    use_errors()


@pytest.fixture
def group():
    group = _gangway.Group()
    yield group
    assert group.terminate(5.0) == ([], [])


@pytest.fixture(params=sorted(SPECS))
def spec(request):
    return SPECS[request.param]


@pytest.fixture
def gateway(group, spec):
    return group.start(spec)


PRELUDE = """\
import os, signal, sys, threading, time
sys.path.insert(0, %r)
from binding import _gangway, use_errors
use_errors()
spec = sys.argv[1]
""" % os.path.dirname(os.path.abspath(__file__))


def run_program(source, spec, timeout=30):
    """(exit code, stdout, stderr) of a program that has `spec`."""
    done = subprocess.run([sys.executable, "-c", PRELUDE + source, spec], timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    return done.returncode, done.stdout, done.stderr
