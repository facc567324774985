"""The native agent: the whole suite of the portable one, and what it has of its own.

GANGWAY_AGENT is the executable: gangway-agent, or an interpreter that loads the extension module. The two agents must behave the same, so a test that is
left out here says why.
"""
import importlib.util
import os
import re
import signal
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from agent_controller import (  # noqa: E402
    CLOSE_ERROR, INTERRUPT, RECONFIGURE, STACKS, STACKS_REPLY, Agent, ChannelReference, RemoteError, frame,
    item_frames)

AGENT = os.environ.get("GANGWAY_AGENT") or os.path.join(HERE, "..", "..", "build", "dev", "bin", "gangway-agent")
PYTHON = "/usr/bin/python3"  # the one that is embedded

# About the bundle and its stage 0, which the native agent has not.
NOT_HERE = {
    "test_hello_names_the_agent",
    "test_stage0_survives_every_shell",
    "test_bundle_stays_small",
    "test_end_of_stream_within_the_bundle_is_a_quiet_failure",
    "test_flipped_byte_in_the_bundle_is_reported",
    "test_bundle_may_arrive_byte_by_byte",
    "test_frame_before_hello_ends_the_connection",  # below, without the bundle
    # About parts.
    "test_reconfigure_without_its_part_ends_the_connection",
    "test_status_without_its_part_is_short",
    # It is configured at the start of the interpreter, and reads no PYTHON... variables then.
    "test_the_users_choice_of_a_file_is_respected",
}

PARTS = dict.fromkeys(("interrupt", "strings", "status", "threads", "callbacks", "files", "gateway"), b"not even zlib")


def load_suite(name):
    """A copy of a suite of the portable agent that starts this agent instead."""
    os.environ["GANGWAY_TEST_PYTHONS"] = PYTHON
    spec = importlib.util.spec_from_file_location("native_" + name, os.path.join(HERE, name + ".py"))
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    suite.start = start
    suite.END_GRACE, suite.TERM_AFTER, suite.KILL_AFTER = 5, 5, 3  # this one cannot be told to hurry
    for test, thing in vars(suite).items():
        if test.startswith(("test_", "Test")) and test not in NOT_HERE:
            globals()[test] = thing
    return suite


def start(python=PYTHON, local=False, handshake=True, impatient=False, **options):
    agent = Agent([AGENT], **options)
    agent.parts = PARTS  # which it does not need: it has to ignore them
    if handshake:
        agent.handshake()
    return agent


@pytest.fixture
def python():
    return PYTHON


@pytest.fixture
def agent():
    with start() as agent:
        yield agent


load_suite("test_wire_session")
for name in ("callbacks", "channels", "crash", "end", "exec", "files", "flow_control", "interrupt", "item_types", "items",
             "protocol", "start", "status"):
    load_suite("test_portable_" + name)


def test_hello_names_the_native_agent():
    with start() as agent:
        assert agent.hello["agent"] == "native" and agent.hello["protocol"] == (1, 0)
        assert agent.hello["executable"] == PYTHON
        assert agent.run("import os; channel.send(os.getpid())") == [agent.hello["pid"]]
        assert agent.terminate() == 0
        assert agent.stderr == b""


@pytest.mark.parametrize("first", [b"GET / HTTP/1.0\r\n\r\n", frame(0x42, 0, bytes(8)), frame(0x40, 0, b"x")])
def test_anything_but_hello_is_refused(first):
    with Agent([AGENT], first, send_hello=False) as agent:
        agent.half_close()
        assert agent.finish() == 1
        assert agent.stderr.startswith(b"gangway-agent: ") and len(agent.stderr.splitlines()) == 1


# Holds the GIL, in a C call that knows nothing of Python.
GIL_HELD = "import ctypes; channel.send(0); ctypes.PyDLL(None).sleep(2); channel.send(1)"


def test_status_and_ping_are_answered_while_the_gil_is_held():
    with start() as agent:
        number = agent.remote_exec(GIL_HELD)
        agent.receive(number)
        time.sleep(0.1)  # into the sleep
        begin = time.monotonic()
        status = agent.status()
        assert status["numexecuting"] == 1 and 0.005 < status["unresponsive"] < 0.5
        time.sleep(0.3)
        assert 0.3 < agent.status()["unresponsive"] < 1, "since it was first asked"
        agent.ping()
        assert time.monotonic() - begin < 1.5
        assert agent.receive(number) == 1
        agent.waitclose(number)
        assert agent.status()["unresponsive"] == 0.0


@pytest.mark.parametrize("busy", ["while not channel.isclosed(): pass", "channel.receive()"])
def test_interpreter_that_is_busy_or_idle_is_responsive(busy):
    with start() as agent:
        assert agent.status()["unresponsive"] == 0.0
        number = agent.remote_exec("channel.send(0)\n" + busy)
        agent.receive(number)
        assert agent.status()["unresponsive"] == 0.0


def test_status_tells_all_of_the_agent():
    with start() as agent:
        status = agent.status()
        assert status["tasks"] == [] and status["queued"] == {} and status["execmodel"] == "thread"
        assert {key: status[key] for key in ("pid", "agent", "version", "python")} == {
            key: agent.hello[key] for key in ("pid", "agent", "version", "python")}
        assert 1 << 20 < status["memory"] < 1 << 30
        assert 0 < status["uptime"] < agent.status()["uptime"] < 60


def test_status_tells_of_tasks():
    with start(hello={"execmodel": "main_thread_only"}) as agent:
        native_id = "import threading; channel.send(threading.get_native_id()); channel.receive()"
        first = agent.remote_exec(native_id, file="/x/first.py")
        thread = agent.receive(first)
        second = agent.remote_exec("def f(channel): pass", function="f", file="y" * 300)
        status = agent.status()
        ages = [task.pop("age") for task in status["tasks"]]
        assert status["tasks"] == [
            {"channel": first, "source": "/x/first.py", "thread": thread},
            {"channel": second, "source": "y" * 195 + " in f", "thread": 0}]
        assert 60 > ages[0] > ages[1] >= 0
        agent.send(first, 0)
        agent.waitclose(second)
        assert agent.status()["tasks"] == []


def test_status_tells_of_tasks_in_threads():
    with start() as agent:
        native_id = "import threading; channel.send(threading.get_native_id()); channel.receive()"
        numbers = [agent.remote_exec(native_id) for _ in range(3)]
        threads = [agent.receive(number) for number in numbers]
        tasks = agent.status()["tasks"]
        assert [(task["channel"], task["thread"], task["source"]) for task in tasks] == [
            (number, thread, "<remote exec>") for number, thread in zip(numbers, threads)]
        assert len(set(threads)) == 3 and threads[0] == agent.hello["pid"]


def test_status_tells_at_most_100_tasks():
    with start() as agent:
        for _ in range(120):
            agent.receive(agent.remote_exec("channel.send(0); channel.receive()"))
        status = agent.status()
        assert status["numexecuting"] == 120
        assert [task["channel"] for task in status["tasks"]] == list(range(1, 201, 2))


def test_request_in_the_queue_of_a_held_interpreter_is_told_too():
    with start() as agent:
        number = agent.remote_exec(GIL_HELD)
        agent.receive(number)
        waiting = agent.remote_exec("def f(channel, other): pass", function="f", kwargs={"other": ChannelReference(number)})
        tasks = agent.status()["tasks"]
        assert [(task["channel"], task["source"]) for task in tasks] == [
            (number, "<remote exec>"), (waiting, "<remote exec> in f")]


def test_status_tells_of_bytes_in_queues():
    with start(window=1 << 16) as agent:
        number = agent.remote_exec("channel.send(0); import time\nwhile not channel.isclosed(): time.sleep(0.01)")
        agent.receive(number)
        agent.write(item_frames(number, b"x" * 1000) + item_frames(number, 5))
        full = agent.remote_exec("channel.send(bytes(100000))")
        deadline = time.monotonic() + 10
        while True:
            queued = agent.status()["queued"]
            if full in queued or time.monotonic() > deadline:
                break
        assert queued[number] == (1008, 0)
        assert queued[full][0] == 0 and 30000 < queued[full][1] < 100000


BUSY = {
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "receive": "channel.receive()",
    "waitclose": "channel.gateway.newchannel().waitclose()",
    "send": "while True: channel.send(bytes(100000))",
}


@pytest.mark.parametrize("window", [0, 1 << 16])
@pytest.mark.parametrize("how", BUSY)
def test_interrupt_of_the_main_thread(how, window):
    with start(window=window) as agent:
        number = agent.remote_exec("channel.send(0); " + BUSY[how] if "while" not in BUSY[how] else "channel.send(0)\n" + BUSY[how])
        assert agent.receive(number) == 0
        time.sleep(0.05)
        agent.write(frame(INTERRUPT, number))
        error = agent.wait_for(lambda kind, n, p: kind == CLOSE_ERROR and n == number, 5)[2]
        assert error == b"keyboard-interrupted"
        assert agent.run("channel.send(1)") == [1]


@pytest.mark.parametrize("how", ["loop", "sleep", "receive", "waitclose", "send"])
def test_interrupt_of_another_thread(how):
    with start(window=1 << 16) as agent:
        first = agent.remote_exec("channel.send(0); channel.receive(); channel.send(2)")
        assert agent.receive(first) == 0
        number = agent.remote_exec("channel.send(1)\n" + BUSY[how])
        assert agent.receive(number) == 1
        time.sleep(0.05)
        begin = time.monotonic()
        agent.write(frame(INTERRUPT, number))
        error = agent.wait_for(lambda kind, n, p: kind == CLOSE_ERROR and n == number, 5)[2]
        assert error == b"keyboard-interrupted"
        assert time.monotonic() - begin < 1
        agent.send(first, 0)
        assert agent.receive(first) == 2


def test_sleep_in_a_thread_is_as_long_and_as_strict_as_ever():
    with start() as agent:
        first = agent.remote_exec("channel.receive()")
        assert agent.run("""
import time
for wrong in -1, "1", None, float("nan"), 1e300:
    try:
        time.sleep(wrong)
    except Exception as error:
        channel.send(type(error).__name__)
begin = time.monotonic()
time.sleep(0.05)
channel.send(0.05 <= time.monotonic() - begin < 5)
channel.send(time.sleep.__name__)
channel.gateway.execmodel.sleep(0)
""") == ["ValueError", "TypeError", "TypeError", "ValueError", "OverflowError", True, "interruptible_sleep"]
        agent.send(first, 0)
        agent.waitclose(first)


# Ends at the moment in which the interrupt arrives, sooner or later.
@pytest.mark.parametrize("thread", ["main", "other"])
def test_late_interrupt_hits_no_other_task(thread):
    with start() as agent:
        if thread == "other":
            agent.remote_exec("channel.receive()")
        for i in range(300):
            number = agent.remote_exec("n = channel.receive()\nfor i in range(n): pass")
            agent.write(item_frames(number, i * 20) + frame(INTERRUPT, number))
            following = agent.remote_exec("for i in range(2000): pass\nchannel.send(1)")
            assert agent.receive(following) == 1
            agent.waitclose(following)
            try:
                agent.waitclose(number)
            except RemoteError as error:
                assert str(error) == "keyboard-interrupted"
        assert agent.status()["numexecuting"] == (thread == "other")
        assert agent.terminate() == 0 and agent.stderr == b""


def test_interrupt_is_not_lost_between_two_waits():
    with start() as agent:
        for _ in range(100):
            number = agent.remote_exec("channel.send(0)\nwhile True: channel.receive()")
            agent.receive(number)
            agent.write(item_frames(number, 1) * 3 + frame(INTERRUPT, number) + item_frames(number, 1) * 3)
            with pytest.raises(RemoteError, match="keyboard-interrupted"):
                agent.receive(number, 5)


def test_interrupt_works_when_the_starter_ignores_sigint():
    with start(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as agent:
        number = agent.remote_exec("import time; channel.send(0); time.sleep(60)")
        agent.receive(number)
        time.sleep(0.05)
        agent.write(frame(INTERRUPT, number))
        with pytest.raises(RemoteError, match="keyboard-interrupted"):
            agent.receive(number, 5)


def test_interrupt_of_a_task_that_has_ended_does_nothing():
    with start() as agent:
        number = agent.remote_exec("pass")
        agent.waitclose(number)
        agent.write(frame(INTERRUPT, number))
        assert agent.run("channel.send(1)") == [1]


def test_python_signal_handlers_run_while_the_main_thread_waits():
    with start() as agent:
        number = agent.remote_exec("""
import signal, os
signal.signal(signal.SIGUSR1, lambda *args: channel.send("signal"))
channel.send(os.getpid())
channel.send(channel.receive())
""")
        pid = agent.receive(number)
        for _ in range(3):
            os.kill(pid, signal.SIGUSR1)
            assert agent.receive(number, 5) == "signal"
        agent.send(number, 5)
        assert agent.receive(number) == 5


def test_asyncio_hears_of_signals_that_came_while_the_main_thread_waited():
    with start() as agent:
        number = agent.remote_exec("""
import asyncio, signal, os
async def main():
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, done.set)
    channel.send(os.getpid())
    channel.receive()
    await asyncio.wait_for(done.wait(), 5)
    channel.send("done")
asyncio.run(main())
""")
        os.kill(agent.receive(number), signal.SIGUSR1)
        time.sleep(0.05)
        agent.send(number, 0)
        assert agent.receive(number, 8) == "done"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_works(method, tmp_path):
    (tmp_path / "work_to_do.py").write_text("def square(x):\n    return x * x\n")
    with start(cwd=str(tmp_path)) as agent:
        assert agent.run("""
import multiprocessing, work_to_do
with multiprocessing.get_context(%r).Pool(2) as pool:
    channel.send(pool.map(work_to_do.square, range(5)))
channel.send("still here")
""" % method) == [[0, 1, 4, 9, 16], "still here"]


def test_forked_child_cannot_use_the_wire():
    with start() as agent:
        assert agent.run("""
import os
r, w = os.pipe()
pid = os.fork()
if not pid:
    said = []
    for act in (lambda: channel.send(1), lambda: channel.receive(1), lambda: channel.gateway.newchannel()):
        try:
            act()
        except OSError as error:
            said.append(str(error))
    os.write(w, repr(len(said)).encode())
    os._exit(0)
os.waitpid(pid, 0)
channel.send(os.read(r, 100))
""") == [b"3"]


def test_child_that_returns_from_the_task_ends_and_is_not_heard():
    with start() as agent:
        assert agent.run("""
import os
pid = os.fork()
if pid:
    channel.send(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
""") == [0]


def test_environment_of_hello_reaches_tasks_and_not_the_interpreter():
    with start(hello={"env": {"GANGWAY_X": "1", "PYTHONPATH": "/nowhere"}}) as agent:
        assert agent.run("""
import os, sys
channel.send((os.environ["GANGWAY_X"], os.environ["PYTHONPATH"], "/nowhere" in sys.path))
""") == [("1", "/nowhere", False)]


@pytest.mark.skipif(os.path.basename(AGENT) != "gangway-agent", reason="the agent is that interpreter itself")
def test_other_interpreter_of_a_virtual_environment(tmp_path):
    import subprocess
    subprocess.check_call([PYTHON, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    path = str(tmp_path / "venv" / "bin" / "python")
    with Agent([AGENT, "--python", path]) as agent:
        agent.handshake()
        assert agent.run("import sys; channel.send((sys.executable, sys.prefix, sys.base_prefix))") == [
            (path, str(tmp_path / "venv"), "/usr")]


def test_extension_modules_load():
    with start() as agent:
        assert agent.run("import _ctypes, _ssl, _sqlite3, _asyncio, _decimal; channel.send(1)") == [1]


def test_stack_overflow_is_a_crash_with_a_stack():
    with start() as agent:
        agent.remote_exec("import sys; sys.setrecursionlimit(1 << 30)\ndef f(x): return max([x], key=f)\nf(1)")
        assert agent.finish() == -signal.SIGSEGV
        assert b"Fatal Python error: Segmentation fault" in agent.stderr and b"in f" in agent.stderr


def stacks(agent):
    agent.write(frame(STACKS, 0, bytes(range(8))))
    payload = agent.wait_for(lambda kind, n, p: kind == STACKS_REPLY)[2]
    assert payload[:8] == bytes(range(8))
    return payload[8:].decode()


WAITS = "def wait():\n    channel.send(0)\n    channel.receive()\nwait()"


def test_stacks_of_tasks_that_wait_compute_and_sleep():
    with start() as agent:
        assert re.fullmatch(r"Thread %d \(main thread\):\n  \(waits for work\)\n" % agent.hello["pid"], stacks(agent))
        first = agent.remote_exec(WAITS, file="/x/first.py")
        agent.receive(first)
        second = agent.remote_exec("channel.send(0)\nwhile not channel.isclosed(): pass")
        agent.receive(second)
        third = agent.remote_exec("import time\nchannel.send(0)\ntime.sleep(60)", file="/x/third.py")
        agent.receive(third)
        time.sleep(0.1)
        text = stacks(agent)
        main, *others = text.split("\n\n")
        assert main == ('Thread %d (main thread, task of channel 1):\n  File "/x/first.py", line 4, in <module>\n    wait()\n'
                        '  File "/x/first.py", line 3, in wait\n    channel.receive()' % agent.hello["pid"])
        assert any(re.match(r'Thread \d+ \(task of channel 3\):\n  File "<remote exec>", line 2, in <module>\n    while not channel.isclosed\(\): pass$', other)
                   for other in others)
        assert any(re.match(r'Thread \d+ \(task of channel 5\):\n  File "/x/third.py", line 3, in <module>\n    time.sleep\(60\)$', other)
                   for other in others)


@pytest.mark.parametrize("thread", ["main", "other"])
def test_stacks_while_the_gil_is_held(thread):
    with start() as agent:
        waits = agent.remote_exec(WAITS)
        agent.receive(waits)
        if thread == "main":
            agent.send(waits, 0)
            agent.waitclose(waits)
        stuck = agent.remote_exec("def stick():\n    " + GIL_HELD + "\nstick()", file="/x/stuck.py")
        agent.receive(stuck)
        time.sleep(0.1)
        begin = time.monotonic()
        text = stacks(agent)
        assert time.monotonic() - begin < 1
        role = "main thread, task of channel %d" % stuck if thread == "main" else "task of channel %d" % stuck
        assert re.match(r"The interpreter does not answer, for 0\.\d\d s now\. The GIL is held by Thread \d+ \(%s\)\.\n"
                        r"The last known stacks:\n\nThread %d \(main thread" % (role, agent.hello["pid"]), text)
        assert '(%s):\n  File "/x/stuck.py", line 3, in <module>\n  File "/x/stuck.py", line 2, in stick\n' % role in text
        assert "_gangway" not in text
        assert agent.receive(stuck) == 1
        assert stacks(agent).startswith("Thread")


def test_stacks_of_many_busy_threads_are_read_with_the_gil():
    with start() as agent:
        for _ in range(8):
            agent.receive(agent.remote_exec("channel.send(0)\nwhile not channel.isclosed(): sum(range(100))"))
        for _ in range(5):
            text = stacks(agent)
            assert "does not answer" not in text and text.count("task of channel") == 8


def test_many_long_stacks_fit_into_a_frame():
    with start() as agent:
        deep = "def f(n):\n    if n:\n        f(n - 1)\n    else:\n        channel.send(0)\n        channel.receive()\nf(200)"
        for i in range(30):
            agent.receive(agent.remote_exec(deep, file="/x/%s.py" % ("y" * 200)))
        assert 60000 < len(stacks(agent)) <= 65000


def test_reconfigured_channel_gives_bytes_for_str():
    with start() as agent:
        number = agent.remote_exec("""
while True:
    item = channel.receive()
    if item == "stop":
        channel.reconfigure(py3str_as_py2str=True)
        channel.send("go")
    elif item == b"back":
        channel.reconfigure()
        channel.send("went")
    else:
        channel.send(repr(item))
""")
        item = ["\u00e4", {"k": ("v", 1)}, {"s"}, b"b"]
        agent.send(number, item)
        assert agent.receive(number) == repr(item)
        agent.send(number, "stop")
        assert agent.receive(number) == "go"
        assert agent.wait_for(lambda kind, n, p: kind == RECONFIGURE) == (RECONFIGURE, number, b"\x03")
        agent.send(number, item)
        assert agent.receive(number) == repr(["\u00e4".encode(), {b"k": (b"v", 1)}, {b"s"}, b"b"])
        agent.send(number, "back")
        assert agent.receive(number) == "went"
        agent.send(number, "s")
        assert agent.receive(number) == "'s'"
        agent.write(frame(RECONFIGURE, number, b"\x02"))
        agent.send(number, "s")
        assert agent.receive(number) == "b's'"
        agent.write(frame(RECONFIGURE, 0, b"\x02"))
        following = agent.remote_exec("channel.send(type(channel.receive()).__name__)")
        agent.send(following, "s")
        assert agent.receive(following) == "bytes"


def test_closed_channel_cannot_be_reconfigured():
    with start() as agent:
        with pytest.raises(RemoteError, match="OSError: cannot send to <Channel id=2 closed>"):
            agent.run("c = channel.gateway.newchannel()\nc.close()\nc.reconfigure()")
