"""The native agent: the whole suite of the portable one, and what it has of its own.

GANGWAY_AGENT is the executable. The two agents must behave the same, so a test that is
left out here says why.
"""
import importlib.util
import os
import signal
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from agent_controller import CLOSE_ERROR, INTERRUPT, PONG, Agent, RemoteError, frame  # noqa: E402

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
}

# An item is decoded by the thread that takes it: what is wrong inside a complete one is that
# task's LoadError, and the connection lives. A PONG that nobody waits for is dropped.
NOT_A_VIOLATION = (b"\xff", b"nonsense", b"_gangway", frame(PONG, 0, bytes(8)))


def load_suite():
    """A copy of the portable suite that starts this agent instead."""
    os.environ["GANGWAY_TEST_PYTHONS"] = PYTHON
    spec = importlib.util.spec_from_file_location("agent_suite", os.path.join(HERE, "test_agent_portable.py"))
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    suite.start = start
    suite.END_GRACE, suite.TERM_AFTER, suite.KILL_AFTER = 5, 5, 3  # this one cannot be told to hurry
    violations = suite.test_violation_ends_the_connection.pytestmark[0].args[1]
    violations[:] = [data for data in violations if not data.endswith(NOT_A_VIOLATION[:2]) and
                     not any(part in data for part in NOT_A_VIOLATION[2:])]
    return suite


def start(python=PYTHON, local=False, handshake=True, impatient=False, **options):
    agent = Agent([AGENT], **options)
    if handshake:
        agent.handshake()
    return agent


suite = load_suite()
for name, thing in list(vars(suite).items()):
    if name.startswith(("test_", "Test")) and name not in NOT_HERE or name in ("python", "agent", "pytest_generate_tests"):
        globals()[name] = thing


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


@pytest.mark.parametrize("payload, kind", [(b"\xff", 3), (b"nonsense", 1)])
def test_item_that_cannot_be_read_is_the_tasks_load_error(payload, kind):
    with start() as agent:
        number = agent.remote_exec("channel.receive()")
        agent.write(frame(0x30 | kind, number, payload))
        with pytest.raises(RemoteError, match="LoadError: bad item"):
            agent.receive(number)
        assert agent.run("channel.send(1)") == [1]


def test_status_and_ping_are_answered_while_the_gil_is_held():
    with start() as agent:
        number = agent.remote_exec("import ctypes; channel.send(0); ctypes.PyDLL(None).sleep(3); channel.send(1)")
        agent.receive(number)
        time.sleep(0.1)  # into the sleep
        begin = time.monotonic()
        assert agent.status()["numexecuting"] == 1
        agent.ping()
        assert time.monotonic() - begin < 1
        assert agent.receive(number) == 1


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


@pytest.mark.parametrize("how", ["loop", "receive", "waitclose"])
def test_interrupt_of_another_thread(how):
    with start() as agent:
        first = agent.remote_exec("channel.send(0); channel.receive(); channel.send(2)")
        assert agent.receive(first) == 0
        number = agent.remote_exec("channel.send(1)\n" + BUSY[how])
        assert agent.receive(number) == 1
        time.sleep(0.05)
        agent.write(frame(INTERRUPT, number))
        with pytest.raises(RemoteError, match="keyboard-interrupted"):
            agent.receive(number, 5)
        agent.send(first, 0)
        assert agent.receive(first) == 2


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
