"""Tasks of the portable agent: namespaces, tracebacks, threads, what they may touch."""
import os
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import LAST_MESSAGE, RemoteError, frame  # noqa: E402
from portable import agent, counts, pytest_generate_tests, python, start, wait_until  # noqa: E402, F401


def error_of(agent, source, **request):
    number = agent.remote_exec(source, **request)
    with pytest.raises(RemoteError) as caught:
        agent.waitclose(number)
    return str(caught.value)


def test_task_sees_a_fresh_namespace(agent):
    assert agent.run("channel.send((__name__, sorted(n for n in globals() if n != '__builtins__')))") == [
        ("__channelexec__", ["__name__", "channel"])]
    assert agent.run("import sys; x = 1; channel.send(sys.exc_info() == (None, None, None))") == [True]
    assert agent.run("channel.send('x' in globals())") == [False]


@pytest.mark.core
def test_function_is_called_with_keyword_arguments(agent):
    assert agent.run("def f(channel, a, b=2):\n    channel.send([a, b])\n", function="f", kwargs={"a": (1, None)}) == [[(1, None), 2]]


@pytest.mark.core
def test_traceback_shows_the_users_frames_only(agent):
    text = error_of(agent, "\n\n\ndef f(channel):\n    raise KeyError('nö')\n", file="/some/file.py", function="f")
    lines = text.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "/some/file.py", line 5, in f' and lines[2] == "    raise KeyError('nö')"
    assert lines[-1] == "KeyError: 'nö'"
    text = error_of(agent, "channel.send(object())")
    assert "_gangway" not in text.replace("_gangway.DumpError", "") and "can't serialize" in text


def test_syntax_error_is_reported_with_its_line(agent):
    text = error_of(agent, "x = 1\ny = = 2\n")
    assert text.startswith("Traceback (most recent call last):") and 'File "<remote exec>", line 2' in text
    assert "y = = 2" in text and text.splitlines()[-1].startswith("SyntaxError: ")


@pytest.mark.parametrize("statement, last_line", [
    ("import sys; sys.exit(3)", "SystemExit: 3"), ("raise GeneratorExit", "GeneratorExit"),
    ("raise MemoryError", "MemoryError"), ("raise KeyboardInterrupt", "keyboard-interrupted"),
    ("class E(Exception):\n    def __str__(self): 1/0\nraise E", "*"), ("def f(): f()\nf()", "RecursionError: "),
    ("class E(BaseException):\n    def __repr__(self): raise SystemExit\n    __str__ = __repr__\nraise E", "*"),
    ("try:\n    1/0\nexcept Exception as e:\n    raise ValueError('x') from e", "ValueError: x"),
])
def test_agent_survives_what_a_task_raises(agent, statement, last_line):
    text = error_of(agent, statement)
    assert last_line == "*" or text.splitlines()[-1].startswith(last_line)
    assert agent.run("channel.send(1)") == [1]


def test_eof_error_is_a_normal_end(agent):
    agent.waitclose(agent.remote_exec("raise EOFError"))
    number = agent.remote_exec("channel.receive()")
    agent.write(frame(LAST_MESSAGE, number))
    agent.waitclose(number)


def test_huge_error_text_is_cut_in_front(agent):
    text = error_of(agent, "raise ValueError('ä' * 1000000 + 'end')")
    assert len(text.encode()) <= 65536 and text.startswith("Traceback (most recent call last):") and text.endswith("end")


def test_error_text_with_surrogates_travels(agent):
    assert "\\udc80" in error_of(agent, "raise ValueError('\\udc80')")


@pytest.mark.core
def test_inspect_shows_the_source(agent):
    assert agent.run("import inspect\ndef f():\n    return 1\nchannel.send(inspect.getsource(f))") == ["def f():\n    return 1\n"]


def test_task_cannot_close_its_own_channel(agent):
    assert "explicit" in error_of(agent, "channel.close()")


def test_prints_and_standard_descriptors_never_touch_the_stream(agent):
    assert agent.run("""
import os, sys
print("x" * 100000)
sys.__stdout__.write("ä")
os.write(1, b"garbage")
os.system("echo garbage")
sys.stdout.flush()
channel.send((sys.stdin.read(), os.read(0, 5), sys.__stdin__ is sys.stdin))
os.closerange(0, 3)
channel.send(os.open(os.devnull, os.O_RDONLY))
""") == [("", b"", True), 0]
    assert agent.run("channel.send(1)") == [1]


def test_children_do_not_inherit_the_stream(agent):
    assert agent.run("""
import subprocess, sys
out = subprocess.check_output([sys.executable, "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"], close_fds=False)
channel.send([n for n in eval(out) if n > 20])
""") == [[]]


@pytest.mark.core
@pytest.mark.parametrize("local", [False, True])
def test_second_task_runs_beside_the_first(python, local):
    with start(python, local) as agent:
        first = agent.remote_exec("import threading; channel.send(threading.current_thread() is threading.main_thread()); channel.receive()")
        assert agent.receive(first) is True
        second = agent.remote_exec("import threading; channel.send(threading.current_thread() is threading.main_thread()); channel.receive()")
        assert agent.receive(second) is False
        assert counts(agent) == (2, 2)
        agent.send(first, 0)
        agent.waitclose(first)
        third = agent.remote_exec("import threading; channel.send(threading.current_thread() is threading.main_thread())")
        assert agent.receive(third) is True
        agent.send(second, 0)
        agent.waitclose(second)


@pytest.mark.core
def test_threading_imported_off_the_main_thread_knows_the_main_thread(agent):
    first = agent.remote_exec("""
channel.send(0)
channel.receive()
import threading
channel.send([threading.current_thread() is threading.main_thread(), threading.main_thread().is_alive(), threading.current_thread().name])
""")
    agent.receive(first)
    second = agent.remote_exec("import threading; channel.send((threading.main_thread() is threading.current_thread(), threading.main_thread().is_alive()))")
    assert agent.receive(second) == (False, True)
    agent.waitclose(second)
    agent.send(first, 0)
    assert agent.receive(first) == [True, True, "MainThread"]


def test_main_thread_only_refuses_a_second_task_after_a_second(python):
    with start(python, hello={"execmodel": "main_thread_only"}) as agent:
        first = agent.remote_exec("channel.send(1); channel.receive()")
        assert agent.receive(first) == 1
        begin = time.monotonic()
        text = error_of(agent, "channel.send(2)")
        assert 0.9 < time.monotonic() - begin < 5
        assert "concurrent remote_exec" in text and "deadlock" in text and "Traceback" not in text
        second = agent.remote_exec("channel.send(3)")
        agent.send(first, 0)
        assert agent.receive(second) == 3
        error_of(agent, "1/0")
        assert agent.run("channel.send(4)") == [4]
        assert agent.status()["execmodel"] == "main_thread_only"


@pytest.mark.core
def test_large_exec_comes_in_many_frames(agent):
    source = "x = %r\nchannel.send(len(x))" % ("y" * 500000)
    assert agent.run(source) == [500000]


def test_numexecuting_counts_down(agent):
    agent.run("channel.send(1)")
    wait_until(lambda: counts(agent) == (0, 0))


@pytest.mark.core
def test_monkeypatched_modules_do_not_reach_the_agent(agent):
    assert agent.run("""
import os, time, threading, _thread, sys
def broken(*args, **kw): raise RuntimeError("patched")
os.write = os.read = os.readv = os.writev = time.sleep = time.monotonic = broken
threading.Thread.start = threading.Lock = _thread.start_new_thread = broken
import builtins
builtins.print = broken
channel.send(1)
""") == [1]
    number = agent.remote_exec("for x in channel: channel.send(x)")
    other = agent.remote_exec("for x in channel: channel.send(x)")
    for channel in (number, other):
        agent.send(channel, b"x" * 300000)
        assert agent.receive(channel) == b"x" * 300000
