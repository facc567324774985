"""How the portable agent ends: TERMINATE, lost connections, signals, the keeper, forks."""
import os
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import PING, frame  # noqa: E402
from portable import (  # noqa: E402, F401
    END_GRACE, KILL_AFTER, TERM_AFTER, agent, alive, pytest_generate_tests, python, start, wait_until)


@pytest.mark.core
def test_terminate_ends_waiting_tasks_at_once_and_silently(agent):
    for i in range(3):
        number = agent.remote_exec("channel.send(0); channel.receive()")
        assert agent.receive(number) == 0
    begin = time.monotonic()
    assert agent.terminate() == 0
    assert time.monotonic() - begin < 3 and agent.stderr == b""


def test_task_requested_just_before_terminate_does_not_delay_it(python):
    for i in range(5):
        with start(python, handshake=False) as agent:
            agent.remote_exec("channel.receive()")
            begin = time.monotonic()
            assert agent.terminate() == 0 and time.monotonic() - begin < 3
            assert agent.stderr == b""


@pytest.mark.core
def test_end_of_stream_ends_the_agent(agent):
    number = agent.remote_exec("channel.send(0); channel.receive()")
    assert agent.receive(number) == 0
    agent.half_close()
    assert agent.finish() == 0 and agent.stderr == b""


def test_pending_operations_after_the_end(agent, tmp_path):
    path = str(tmp_path / "out")
    number = agent.remote_exec("""
result = []
for i in range(2):
    try:
        channel.receive()
    except EOFError as e:
        result.append("eof")
    try:
        channel.waitclose()
    except EOFError:
        result.append("eof")
    try:
        channel.send(1)
    except OSError:
        result.append("os")
result.append(channel.isclosed())
with open(%r, "w") as file:
    file.write(repr(result))
""" % path)
    agent.ping()
    assert agent.terminate() == 0
    with open(path) as file:
        assert eval(file.read()) == ["eof", "eof", "os"] * 2 + [False]


def test_running_task_is_interrupted_after_a_grace_period(python, tmp_path):
    path = str(tmp_path / "out")
    with start(python, impatient=True) as agent:
        number = agent.remote_exec("""
import time
channel.send(0)
try:
    while True: time.sleep(0.01)
except KeyboardInterrupt:
    with open(%r, "w") as file:
        file.write("interrupted")
""" % path)
        assert agent.receive(number) == 0
        begin = time.monotonic()
        assert agent.terminate() == 0
        assert END_GRACE - 0.2 < time.monotonic() - begin < END_GRACE + 3
        assert os.path.exists(path)


@pytest.mark.core
@pytest.mark.parametrize("work", [
    "while True: pass", "time.sleep(60)", "while True: channel.isclosed()", "lock.acquire()",
    "while True:\n        try: channel.receive()\n        except EOFError: pass"])
def test_the_interrupt_at_the_end_needs_no_part(python, tmp_path, work):
    """Whatever it hits: user code, a wait, or the agent's own code."""
    path = str(tmp_path / "out")
    with start(python, impatient=True) as agent:
        agent.parts = {}  # whoever asks for one gets none
        number = agent.remote_exec("""
import threading, time
lock = threading.Lock()
lock.acquire()
def work():  # in the try itself 3.11 and 3.12 would not catch what ends a `while True`
    %s
channel.send(0)
try:
    work()
except KeyboardInterrupt:
    with open(%r, "w") as file:
        file.write("interrupted")
""" % (work, path))
        assert agent.receive(number) == 0
        assert agent.terminate() == 0
        assert os.path.exists(path)


def test_atexit_functions_run_and_output_is_flushed(agent):
    agent.run("import atexit, sys\natexit.register(lambda: sys.stderr.write('bye'))")
    assert agent.terminate() == 0 and agent.stderr == b"bye"


def test_non_daemon_thread_does_not_hold_up_the_end(agent):
    agent.run("import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nchannel.send(1)")
    begin = time.monotonic()
    assert agent.terminate() == 0 and time.monotonic() - begin < 3


@pytest.mark.parametrize("code, status", [
    ("import os; os._exit(3)", 3), ("import os; os.abort()", -signal.SIGABRT),
    ("import os; os.kill(os.getpid(), 9)", -9), ("import os; os.kill(os.getpid(), 15)", -15),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11),
])
def test_keeper_relays_how_the_worker_ended(agent, code, status):
    agent.remote_exec(code)
    assert agent.finish() == status


def test_what_a_task_started_dies_with_the_worker(agent):
    number = agent.remote_exec("""
import subprocess
p = subprocess.Popen(["sleep", "1000"])
channel.send(p.pid)
import os; os._exit(0)
""")
    pid = agent.receive(number)
    assert agent.finish() == 0
    wait_until(lambda: not alive(pid))


@pytest.mark.core
def test_killed_keeper_takes_the_worker_with_it(agent):
    number = agent.remote_exec("import subprocess; channel.send(subprocess.Popen(['sleep', '1000']).pid); channel.receive()")
    child = agent.receive(number)
    worker = agent.hello["pid"]
    os.kill(worker, signal.SIGSTOP)
    agent.process.kill()
    wait_until(lambda: not alive(worker) and not alive(child))


def test_sigterm_to_the_keeper_kills_at_once(agent):
    number = agent.remote_exec("""
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
channel.send(subprocess.Popen(["sleep", "1000"]).pid)
while True: pass
""")
    child = agent.receive(number)
    worker = agent.hello["pid"]
    os.kill(worker, signal.SIGSTOP)
    begin = time.monotonic()
    agent.process.terminate()
    assert agent.process.wait(5) == -9 and time.monotonic() - begin < 2
    wait_until(lambda: not alive(worker) and not alive(child))


def test_hang_up_ends_a_worker_that_does_not_react(python):
    with start(python, impatient=True) as running, start(python, impatient=True) as stopped:
        for agent in running, stopped:
            number = agent.remote_exec("""
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
channel.send(0)
while True: time.sleep(1)
""")
            agent.receive(number)
        os.kill(stopped.hello["pid"], signal.SIGSTOP)
        begin = time.monotonic()
        for agent in running, stopped:
            agent.half_close()
        for agent in running, stopped:
            agent.process.wait(12)
            assert TERM_AFTER + KILL_AFTER - 0.5 < time.monotonic() - begin < TERM_AFTER + KILL_AFTER + 3
            assert not alive(agent.hello["pid"])


def test_keeper_does_not_spin_after_the_hang_up(agent):
    number = agent.remote_exec("import time\nchannel.send(0)\ntime.sleep(100)")
    agent.receive(number)
    agent.half_close()
    time.sleep(0.5)
    with open("/proc/%d/stat" % agent.process.pid) as file:
        fields = file.read().rpartition(")")[2].split()
    assert int(fields[11]) + int(fields[12]) < 20


@pytest.mark.core
def test_forked_child_cannot_speak_on_the_wire(agent):
    number = agent.remote_exec("""
import os
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    result = []
    for f in (lambda: channel.send(1), channel.receive, lambda: channel.gateway.newchannel(), channel.waitclose):
        try:
            f()
            result.append("ok")
        except (OSError, EOFError) as e:
            result.append("refused")
    os.write(w, repr(result).encode())
    os.close(w)
else:
    os.close(w)
    text = b""
    while True:
        data = os.read(r, 1000)
        if not data: break
        text += data
    channel.send(text.decode())
    channel.send(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
""")
    assert agent.receive(number) == "['refused', 'refused', 'refused', 'refused']"
    assert agent.receive(number) == 0
    agent.waitclose(number)
    assert agent.run("channel.send(1)") == [1]


def test_forked_child_does_not_hold_the_stream_open(python):
    agent = start(python, stderr=subprocess.DEVNULL)  # which the child inherits
    number = agent.remote_exec("""
import os, time
pid = os.fork()
if not pid:
    os.setsid()
    time.sleep(20)
    os._exit(0)
channel.send(pid)
os._exit(5)
""")
    child = agent.receive(number)
    begin = time.monotonic()
    assert agent.finish() == 5 and time.monotonic() - begin < 3
    os.kill(child, 9)
    agent.kill()


def test_exec_over_the_worker_ends_the_stream(agent):
    agent.remote_exec("import os; os.execv('/bin/sh', ['sh', '-c', 'exit 7'])")
    assert agent.finish() == 7


def test_flood_of_control_frames_ends_an_agent_that_cannot_answer(python):
    with start(python) as agent:
        number = agent.remote_exec("channel.send(b'x' * (8 << 20))")
        agent.wait_for(lambda kind, n, p: n == number)
        try:
            for i in range(40000):
                agent.write(frame(PING, 0, bytes(8)) * 10)
        except OSError:
            pass
        agent.process.wait(20)


def test_debug_traces_to_stderr(python):
    with start(python, hello={"debug": 2}) as agent:
        agent.run("import time; time.sleep(0.2)")
        agent.terminate()
        assert b"creating workergateway" in agent.stderr.splitlines()[0]
        assert agent.stderr.startswith(b"[")


def test_debug_traces_to_a_file(python, tmp_path):
    with start(python, hello={"debug": 1}, env=dict(os.environ, TMPDIR=str(tmp_path))) as agent:
        agent.run("import time; time.sleep(0.2)")
        agent.terminate()
    [name] = os.listdir(str(tmp_path))
    assert "creating workergateway" in (tmp_path / name).read_text()
