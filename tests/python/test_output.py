"""What tasks print (spec-docs/wire.md, section 9), on the portable agent."""
import os
import struct
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import (  # noqa: E402
    CLOSE, CREDIT, INTERRUPT, OPEN, RemoteError, frame, item_frames)
from portable import pytest_generate_tests, python, start  # noqa: E402, F401

STDOUT, STDERR = 1, 2


def start_with_output(python, streams=("stdout", "stderr"), credit=True, **options):
    agent = start(python, hello={"output": {"channel": 1, "streams": list(streams)}}, **options)
    agent.write(frame(OPEN, 1))
    agent.next_number = 3
    return agent


def run(agent, source):
    """(what the task printed as {(channel, stream): bytes}, the task's channel)"""
    task = agent.remote_exec(source)
    agent.waitclose(task)
    return printed(agent), task


def printed(agent):
    """Everything that has come so far; a PING brings up the rear."""
    agent.ping()
    found = {}
    while any(number == 1 for _, number, _ in agent.frames):
        task, stream, data = agent.receive(1)
        assert 0 < len(data) <= 65536
        found[task, stream] = found.get((task, stream), b"") + data
    return found


@pytest.fixture
def agent(python):
    with start_with_output(python) as agent:
        yield agent


@pytest.mark.core
def test_prints_arrive_before_the_end_of_their_task(agent):
    found, task = run(agent, "import sys; print('one', 2); print('three', file=sys.stderr); print('no line feed', end='')")
    assert found == {(task, STDOUT): b"one 2\nno line feed", (task, STDERR): b"three\n"}
    assert agent.terminate() == 0
    assert agent.stderr == b""


@pytest.mark.core
def test_descriptor_1_and_children_belong_to_the_only_task(agent):
    found, task = run(agent, """
import os, subprocess, sys
os.write(1, b"raw\\n")
subprocess.check_call([sys.executable, "-c", "print('from a child')"])
if not os.fork():
    print("from a fork")
    os._exit(0)
os.wait()
""")
    assert sorted(found) == [(task, STDOUT)]
    assert sorted(found[task, STDOUT].splitlines()) == [b"from a child", b"from a fork", b"raw"]


def test_what_c_code_prints_is_not_lost(agent):
    found, task = run(agent, "import ctypes; ctypes.CDLL(None).puts(b'puts')")
    assert found == {(task, STDOUT): b"puts\n"}


def test_without_output_in_hello_nothing_is_sent(python):
    with start(python) as agent:
        assert agent.run("print('dropped'); channel.send(1)") == [1]
        assert agent.run("print('dropped')") == []


def test_only_the_streams_asked_for(python):
    with start_with_output(python, ["stderr"]) as agent:
        found, task = run(agent, "import sys; print('dropped'); print('kept', file=sys.stderr)")
        assert found == {(task, STDERR): b"kept\n"}


@pytest.mark.core
def test_tasks_at_the_same_time_have_whole_lines_of_their_own(agent):
    source = "for i in range(200): print(%r, i, 'x' * 500)"
    tasks = [agent.remote_exec("channel.receive()\n" + source % letter) for letter in "abc"]
    for task in tasks:
        agent.send(task, 1)
    for task in tasks:
        agent.waitclose(task)
    found = printed(agent)
    for task, letter in zip(tasks, "abc"):
        assert found.pop((task, STDOUT)).decode().splitlines() == ["%s %d %s" % (letter, i, "x" * 500) for i in range(200)]
    assert not found


def test_every_item_ends_with_a_line_feed_or_the_task(agent):
    task = agent.remote_exec("import sys\nfor i in range(3000): sys.stdout.write('%d\\nx' % i)")
    agent.waitclose(task)
    agent.ping()
    pieces = [agent.receive(1)[2] for _ in range(3001)]
    assert all(piece.endswith(b"\n") for piece in pieces[:-1]) and pieces[-1] == b"x"


def test_a_long_line_comes_in_pieces(agent):
    task = agent.remote_exec("print('short'); print('y' * 150000)")
    agent.waitclose(task)
    agent.ping()
    sizes = [len(agent.receive(1)[2]) for _ in range(4)]
    assert sizes == [6, 65536, 65536, 150001 - 2 * 65536]


def test_bytes_surrogates_and_wrong_types(agent):
    found, task = run(agent, r"""
import sys
sys.stdout.buffer.write(b"\xff\xfe\n")
print("\udc80")
try:
    sys.stdout.write(b"bytes")
except TypeError as error:
    print(error)
assert sys.stdout.fileno() == 1 and not sys.stdout.isatty() and sys.stdout.writable()
sys.stdout.close()
print("still open", flush=True)
""")
    assert found[task, STDOUT] == b"\xff\xfe\n\\udc80\nwrite() argument must be str, not bytes\nstill open\n"


def test_threads_of_a_task_print_for_it(agent):
    found, task = run(agent, "import threading; t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()")
    assert found == {(task, STDOUT): b"thread\n"}


def test_whoever_prints_too_fast_waits(python):
    with start_with_output(python, window=4096) as agent:
        task = agent.remote_exec("for i in range(1000):\n print('z' * 99)\n channel.send(i)")
        with pytest.raises(TimeoutError):
            for i in range(1000):  # items of 40 bytes: their own window is not what ends it
                agent.receive(task, timeout=1)
        assert 5 < i < 60
        found = 0
        while found < 100 * 1000:
            found += len(agent.receive(1)[2])  # grants what it takes
            while any(number == task for _, number, _ in agent.frames):
                agent.receive(task)
        assert found == 100 * 1000


@pytest.mark.parametrize("source", [
    "while True: print('z' * 999)",
    "import os\nwhile True: os.write(1, b'z' * 999 + b'\\n')",
])
def test_terminate_does_not_wait_for_a_reader(python, source):
    with start_with_output(python, window=4096, impatient=True) as agent:
        agent.remote_exec(source)
        agent.wait_for(lambda kind, number, payload: number == 1)
        time.sleep(0.2)
        begin = time.monotonic()
        agent.terminate()
        assert time.monotonic() - begin < 5


def test_a_closed_output_channel_does_not_stop_tasks(python):
    with start_with_output(python, window=4096) as agent:
        task = agent.remote_exec("while True: print('z' * 999)\n")
        agent.wait_for(lambda kind, number, payload: number == 1)
        agent.write(frame(CLOSE, 1))
        assert agent.run("for i in range(1000): print('z' * 999)\nchannel.send('ended')") == ["ended"]


def test_a_print_in_a_destructor_does_not_hang_the_reader(python):
    with start_with_output(python, window=4096) as agent:
        task = agent.remote_exec("""
import gc
class Loud:
    def __init__(self): self.me = self
    def __del__(self): print("z" * 99)
getattr(gc, "set_threshold", int)(10)
total = 0
for item in channel:
    Loud()
    total += len(item)
    if total == 3000: break
channel.send(total)
""")
        credit = 4096 - 500  # the EXEC costs some, too
        sent = 0
        size = len(item_frames(task, [1, 2, 3])) - 8 + 32
        while True:
            while sent < 1000 and credit >= size:
                agent.send(task, [1, 2, 3])
                sent += 1
                credit -= size
            kind, number, payload = agent.next_frame()
            if kind == CREDIT and number == task:
                credit += struct.unpack("<Q", payload)[0]
            elif number == 1:
                agent.write(frame(CREDIT, 1, struct.pack("<Q", len(payload) + (32 if kind & 0x10 else 0))))
            elif number == task:
                assert kind == 0x34 and struct.unpack("<q", payload) == (3000,)
                break


def test_an_interrupt_of_the_first_task_costs_no_other_its_output(python, tmp_path):
    """Before it begins, what takes over sys.stdout is made; that imports ctypes, which takes its time here."""
    (tmp_path / "ctypes.py").write_text("import time\nopen(__file__ + '.begun', 'w').close()\ntime.sleep(1)\n")
    with start_with_output(python, env=dict(os.environ, PYTHONPATH=str(tmp_path))) as agent:
        first = agent.remote_exec("import time; time.sleep(30)")
        while not (tmp_path / "ctypes.py.begun").exists():
            agent.ping()
        agent.write(frame(INTERRUPT, first))
        with pytest.raises(RemoteError, match="interrupted"):
            agent.receive(first)
        out, task = run(agent, "print('hello')")
        assert out == {(task, STDOUT): b"hello\n"}


def test_the_process_prints_nothing_itself(agent):
    found, task = run(agent, "import os, sys; sys.__stderr__.write('raw\\n'); sys.__stdout__.write('out\\n')")
    assert found == {(task, STDOUT): b"out\n"}
    agent.terminate()
    assert agent.stderr == b"raw\n"
