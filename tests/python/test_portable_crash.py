"""Crashes of an agent: the Python stacks of all threads are on descriptor 2."""
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from portable import agent, pytest_generate_tests, python, start  # noqa: E402, F401

NO_CORE = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
SEGFAULT = "import ctypes; ctypes.string_at(1)"


@pytest.mark.core
@pytest.mark.parametrize("crash, status, text", [
    (SEGFAULT, -signal.SIGSEGV, b"Fatal Python error: Segmentation fault"),
    ("import os; os.abort()", -signal.SIGABRT, b"Fatal Python error: Aborted"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGFPE)", -signal.SIGFPE, b"Fatal Python error: Floating"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGBUS)", -signal.SIGBUS, b"Fatal Python error: Bus error"),
    ("import ctypes; ctypes.pythonapi.Py_FatalError(b'on purpose')", -signal.SIGABRT, b"on purpose"),
])
@pytest.mark.parametrize("closed", [False, True])
def test_crash_leaves_its_stack_on_stderr(agent, crash, status, text, closed):
    if "pythonapi" in crash and agent.hello["implementation"] == "pypy":
        pytest.skip("PyPy has no ctypes.pythonapi")
    close = "import os; os.close(2); " if closed else ""
    agent.remote_exec(NO_CORE + "def crash(): %s%s\ncrash()" % (close, crash), file="/x/y.py")
    assert agent.finish() == status
    if closed:
        assert agent.stderr == b""
    else:
        assert text in agent.stderr and b'File "/x/y.py", line 2 in crash' in agent.stderr


def test_crash_in_another_thread_shows_all(agent):
    first = agent.remote_exec("def waits(): channel.receive()\nchannel.send(0)\nwaits()")
    agent.receive(first)
    agent.send_part("threads")  # finish() does not read what is asked for
    agent.remote_exec(NO_CORE + "def crash(): %s\ncrash()" % SEGFAULT)
    assert agent.finish() == -signal.SIGSEGV
    if agent.hello["implementation"] == "cpython":  # PyPy shows the thread that has crashed
        assert b"in waits" in agent.stderr
    assert b"in crash" in agent.stderr


def test_the_users_choice_of_a_file_is_respected(python, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import faulthandler\nfile = open(%r, 'wb')\nfaulthandler.enable(file)\n" % str(tmp_path / "crash"))
    with start(python, env=dict(os.environ, PYTHONPATH=str(tmp_path))) as agent:
        agent.remote_exec(NO_CORE + "def crash(): %s\ncrash()" % SEGFAULT)
        assert agent.finish() == -signal.SIGSEGV
        assert agent.stderr == b""
    assert b"in crash" in (tmp_path / "crash").read_bytes()


def test_the_users_wish_for_a_stack_changes_nothing(python):
    with start(python, env=dict(os.environ, PYTHONFAULTHANDLER="1")) as agent:
        agent.remote_exec(NO_CORE + "def crash(): %s\ncrash()" % SEGFAULT)
        assert agent.finish() == -signal.SIGSEGV
        assert agent.stderr.count(b"Fatal Python error") == 1 and b"in crash" in agent.stderr


def test_a_task_may_turn_it_off(agent):
    agent.remote_exec(NO_CORE + "import faulthandler; faulthandler.disable()\n" + SEGFAULT)
    assert agent.finish() == -signal.SIGSEGV
    assert agent.stderr == b""
