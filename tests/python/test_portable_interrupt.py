"""INTERRUPT on the portable agent, and SIGINT: where KeyboardInterrupt arrives, and where not."""
import os
import random
import signal
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import CLOSE, CREDIT, INTERRUPT, LAST_MESSAGE, RemoteError, frame  # noqa: E402
from portable import agent, pytest_generate_tests, python, start, wait_until  # noqa: E402, F401

INTERRUPTED = "keyboard-interrupted"
BEGUN = "channel.send('begun')\n"
BUSY = "while True: pass"

# What a task may be doing; those of the second list PyPy can end in its main thread only.
WAITS = ["channel.receive()", "channel.waitclose()", "channel.receive(timeout=60)", "channel.gateway.newchannel().receive()"]
WORK = [BUSY, "import time; time.sleep(60)", "import time\nwhile True: time.sleep(0.001)",
        "channel.gateway.execmodel.sleep(60)", "while True: channel.isclosed()"]


def interrupt(agent, task):
    agent.write(frame(INTERRUPT, task))


def is_pypy(agent):
    return agent.hello["implementation"] == "pypy"


def begin(agent, source):
    task = agent.remote_exec(BEGUN + source)
    assert agent.receive(task) == "begun"
    return task


def assert_interrupted(agent, task, timeout=10):
    with pytest.raises(RemoteError) as caught:
        while True:
            agent.receive(task, timeout)
    assert str(caught.value) == INTERRUPTED


@pytest.mark.core
@pytest.mark.parametrize("source", WAITS + WORK)
def test_in_the_main_thread(agent, source):
    task = begin(agent, source)
    time.sleep(0.01)
    interrupt(agent, task)
    assert_interrupted(agent, task)
    assert agent.run("import threading; channel.send(threading.current_thread() is threading.main_thread())") == [True]
    assert agent.terminate() == 0
    assert agent.stderr == b""


@pytest.mark.core
@pytest.mark.parametrize("source", WAITS + WORK)
def test_in_another_thread(agent, source):
    if is_pypy(agent) and source in WORK:
        pytest.skip("PyPy cannot raise an exception in a thread from outside")
    first = begin(agent, "for item in channel: channel.send(item)")
    task = begin(agent, source)
    time.sleep(0.01)
    interrupt(agent, task)
    assert_interrupted(agent, task)
    agent.send(first, 5)
    assert agent.receive(first) == 5
    assert agent.status()["numexecuting"] == 1
    assert agent.terminate() == 0
    assert agent.stderr == b""


def test_each_of_many_threads_gets_its_own(agent):
    if is_pypy(agent):
        pytest.skip("PyPy cannot raise an exception in a thread from outside")
    tasks = [begin(agent, source) for source in [BUSY, "channel.receive()", "import time; time.sleep(60)", "channel.receive()"]]
    for task in tasks[::-1]:
        interrupt(agent, task)
        assert_interrupted(agent, task)
    assert agent.status()["numexecuting"] == 0


@pytest.mark.core
def test_a_sender_without_credit(python):
    with start(python, window=2048) as agent:
        for _ in range(2):  # in the main thread, and in another
            task = agent.remote_exec("channel.send('x' * 100)\nwhile True: channel.send(bytes(1000))")
            agent.wait_for(lambda kind, number, payload: number == task)
            time.sleep(0.05)
            if _:
                keep = task
            interrupt(agent, task)
            kind, _, payload = agent.wait_for(lambda kind, number, payload: number == task and kind >= 0x40 and kind != CREDIT)
            assert payload.decode() == INTERRUPTED
            begin(agent, "channel.receive()")  # occupies the main thread


@pytest.mark.core
def test_a_task_that_has_not_begun_never_does(python):
    with start(python, hello={"execmodel": "main_thread_only"}) as agent:
        first = begin(agent, "import time; time.sleep(0.5)")
        second = agent.remote_exec("channel.send('ran')")
        interrupt(agent, second)
        assert_interrupted(agent, second)
        agent.waitclose(first)
        assert agent.run("channel.send(1)") == [1]


def test_where_nothing_runs_it_is_ignored(agent):
    task = agent.remote_exec("channel.send(1)")
    agent.waitclose(task)
    interrupt(agent, task)
    assert agent.run("import time; time.sleep(0.1); channel.send(1)") == [1]


def test_a_channel_that_was_closed_here_still_has_its_task(agent):
    task = begin(agent, "import time; time.sleep(60)")
    agent.write(frame(CLOSE, task))
    interrupt(agent, task)
    wait_until(lambda: agent.status()["numexecuting"] == 0)


@pytest.mark.core
def test_a_task_may_catch_it_and_go_on(agent):
    for first in ("", "occupied"):
        if first:
            if is_pypy(agent):
                return
            begin(agent, "channel.receive()")
        task = begin(agent, """
import time
caught = 0
while caught < 3:
    try:
        channel.send(caught)
        time.sleep(60)
    except KeyboardInterrupt:
        caught += 1
channel.send(channel.receive())
""")
        for attempt in range(3):
            assert agent.receive(task) == attempt
            interrupt(agent, task)
        time.sleep(0.05)  # a second one for the same reason would hit the receive
        agent.send(task, "end")
        assert agent.receive(task) == "end"
        agent.waitclose(task)


def test_a_handler_of_the_user_is_respected(agent):
    task = begin(agent, """
import signal, time
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
channel.send(1)
deadline = time.time() + 20
while not seen and time.time() < deadline: time.sleep(0.01)
time.sleep(0.1)
channel.send(len(seen))
channel.receive()
""")
    assert agent.receive(task) == 1
    interrupt(agent, task)
    assert agent.receive(task) == 1
    interrupt(agent, task)
    time.sleep(0.05)
    agent.ping()
    agent.send(task, 0)
    agent.waitclose(task)


@pytest.mark.parametrize("source", ["channel.receive()", BUSY, "import time; time.sleep(60)", "while True: channel.isclosed()"])
def test_a_sigint_from_outside(agent, source):
    task = begin(agent, source)
    time.sleep(0.1)  # PyPy notices a signal just before a read only when that is over
    os.kill(agent.hello["pid"], signal.SIGINT)
    assert_interrupted(agent, task)
    assert agent.run("channel.send(1)") == [1]


def test_a_sigint_while_idle_is_for_nobody(agent):
    agent.run("1")
    for _ in range(20):
        os.kill(agent.hello["pid"], signal.SIGINT)
        assert agent.run("channel.send(1)") == [1]


def test_a_late_one_does_not_hit_the_next_task(agent):
    """Each task ends at about the time of its interrupt; the one after it must not notice."""
    for i in range(300):
        first = agent.remote_exec("for i in range(%d): pass" % random.randrange(2000))
        second = agent.remote_exec("channel.send(sum(range(300)))")
        interrupt(agent, first)
        assert agent.receive(second) == 44850
        for task in (first, second):
            try:
                agent.waitclose(task)
            except RemoteError as error:
                assert task == first and str(error) == INTERRUPTED


def occupy(agent, yes):
    """With the main thread occupied, tasks run in others."""
    if yes:
        if is_pypy(agent):
            pytest.skip("PyPy cannot raise an exception in a thread from outside")
        begin(agent, "channel.receive()")


@pytest.mark.core
@pytest.mark.parametrize("window", [3000, 30000])
@pytest.mark.parametrize("occupied", [False, True])
def test_interrupted_senders_leave_no_gap(python, occupied, window):
    with start(python, window=window) as agent:
        occupy(agent, occupied)
        for attempt in range(100):
            task = agent.remote_exec("""
i = 0
while True:
    channel.send(i if i % 3 else (i, bytes(i % 1000 * 40)))
    i += 1
""")
            deadline = time.monotonic() + random.random() * 0.01
            expected = 0
            interrupted = False
            try:
                while True:
                    item = agent.receive(task)
                    assert (item[0] if expected % 3 == 0 else item) == expected
                    expected += 1
                    if not interrupted and time.monotonic() >= deadline:
                        interrupt(agent, task)
                        interrupted = True
            except RemoteError as error:
                assert str(error) == INTERRUPTED
            agent.frames.clear()
        assert agent.run("channel.send(bytes(100000))") == [bytes(100000)]
        assert agent.terminate() in (0, 1)


@pytest.mark.core
@pytest.mark.parametrize("occupied", [False, True])
def test_interrupted_receivers_lose_nothing(python, occupied):
    """An item is in nobody's hands only between its receive() and the next line."""
    with start(python) as agent:
        occupy(agent, occupied)
        task = begin(agent, """
seen = -1
lost = interrupts = 0
def take():
    global seen, lost
    for item in channel:
        if type(item) is tuple: item = item[0]
        lost += item - seen - 1
        seen = item
def guarded(function):
    def run():
        global interrupts
        while True:
            try:
                return function()
            except KeyboardInterrupt:
                interrupts += 1
    return run
for level in range(10):  # one may hit the handler of the one before
    take = guarded(take)
take()
channel.send((seen, lost, interrupts))
""")
        agent.send_part("interrupt")  # nobody reads in the loop that it is asked for
        sent = 0
        for attempt in range(1000):
            for _ in range(random.randrange(40)):
                agent.send(task, (sent, bytes(sent % 1000 * 20)) if sent % 5 == 0 else sent)
                sent += 1
            interrupt(agent, task)
            time.sleep(random.random() * 0.002)
        agent.ping()
        time.sleep(0.5)  # what was asked for last has come
        agent.write(frame(LAST_MESSAGE, task))
        seen, lost, interrupts = agent.receive(task)
        assert 50 < interrupts <= 1000
        assert sent - 1 - seen + lost <= interrupts
        assert agent.run("channel.send(7)") == [7]


@pytest.mark.core
def test_it_is_over_within_100_ms(agent):
    """Unless the machine is busy: the best of five counts."""
    for source in (BUSY, "import time; time.sleep(60)"):
        times = []
        for _ in range(5):
            task = begin(agent, source)
            start_time = time.monotonic()
            interrupt(agent, task)
            assert_interrupted(agent, task)
            times.append(time.monotonic() - start_time)
        assert min(times) < 0.1
