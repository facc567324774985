"""The portable agent under load: windows, credit, turns, and what never waits behind items."""
import os
import struct
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import BEGIN, CREDIT, TERMINATE, frame, item_frames  # noqa: E402
from portable import agent, hand_over_channel, pytest_generate_tests, python, start  # noqa: E402, F401


# --- liveness ------------------------------------------------------------------------


@pytest.mark.parametrize("busy", ["while not stop: pass", "import time\nwhile not stop: time.sleep(0.1)", "channel.receive()"])
def test_ping_status_and_credit_are_handled_while_tasks_are_busy(python, busy):
    with start(python, window=1 << 20) as agent:
        number = agent.remote_exec("stop = []\nchannel.send(1)\n" + busy)
        agent.receive(number)
        for i in range(5):
            assert agent.ping(struct.pack("<Q", i)) < 5
            assert agent.status(i)["numexecuting"] == 1
        assert agent.run("channel.send(2)") == [2]


def test_idle_agent_uses_no_cpu(agent):
    number = agent.remote_exec("channel.send(1); channel.receive()")
    agent.receive(number)
    other = agent.remote_exec("channel.send(1); import time; time.sleep(30)")
    agent.receive(other)
    time.sleep(0.2)

    def used():
        with open("/proc/%d/stat" % agent.hello["pid"]) as file:
            fields = file.read().rpartition(")")[2].split()
        with open("/proc/%d/status" % agent.hello["pid"]) as file:
            text = file.read()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(1)
    assert used() - before <= 1


def test_collected_sends_arrive_without_further_help(agent):
    number = agent.remote_exec("for i in range(100): channel.send(i)\nimport time; time.sleep(60)")
    for i in range(100):
        assert agent.receive(number, timeout=5) == i


def test_sends_before_a_hard_exit_are_not_lost(agent):
    number = agent.remote_exec("import os\nfor i in range(30): channel.send(i)\nos._exit(3)")
    for i in range(30):
        assert agent.receive(number) == i
    assert agent.finish() == 3


# --- flow control --------------------------------------------------------------------


def test_sender_stops_at_the_window_and_control_frames_pass(python):
    with start(python, window=4096) as agent:
        agent.window = 0  # no credit from receive()
        number = agent.remote_exec("for i in range(1000): channel.send(b'x' * 100)")
        other = agent.remote_exec("channel.send(b'y' * 100000)")
        frames = []
        with pytest.raises(TimeoutError):
            while True:
                frames.append(agent.next_frame(0.5))
        for n in (number, other):
            cost = sum(len(p) + (32 if kind & BEGIN else 0) for kind, m, p in frames if m == n and kind < 0x40)
            assert 4096 - 132 < cost <= 4096
        assert agent.ping() < 5
        agent.frames = [entry for entry in frames if entry[0] < 0x40]
        agent.window = 4096
        for entry in agent.frames:
            agent.write(frame(CREDIT, entry[1], struct.pack("<Q", len(entry[2]) + (32 if entry[0] & BEGIN else 0))))
        agent.window = 0
        received = sum(n == number for kind, n, p in agent.frames)
        big = sum(len(p) - (8 if kind & BEGIN else 0) for kind, n, p in agent.frames if n == other)
        while received < 1000 or big < 100000:
            kind, n, payload = agent.next_frame()
            if kind < 0x40:
                received += n == number
                big += (len(payload) - (8 if kind & 0x30 == BEGIN else 0)) if n == other else 0
                agent.write(frame(CREDIT, n, struct.pack("<Q", len(payload) + (32 if kind & BEGIN else 0))))
        assert (received, big) == (1000, 100000)


def test_nothing_is_granted_before_the_user_has_taken_it(python):
    with start(python, window=4096) as agent:
        number = agent.remote_exec("c = channel.receive()\nchannel.send(0)\nc.receive()\nchannel.send(1)\nchannel.receive()")
        hand_over_channel(agent, number, 99)
        agent.receive(number)
        for i in range(100):
            agent.write(item_frames(99, i))
        assert agent.receive(number) == 1
        with pytest.raises(TimeoutError):
            agent.wait_for(lambda kind, n, p: kind == CREDIT and n == 99, 0.3)


def test_items_that_nobody_takes_need_the_memory_of_their_bytes(python):
    """Not that of the objects in them, which is ten times as much."""
    with start(python, window=16 << 20) as agent:
        number = agent.remote_exec("channel.send(channel.receive())\nimport time; time.sleep(60)")
        item = [{i: [i]} for i in range(10000)]
        agent.send(number, item)
        assert agent.receive(number) == item

        def resident():
            with open("/proc/%d/status" % agent.hello["pid"]) as file:
                return int(file.read().partition("VmRSS:")[2].split()[0]) << 10

        before = resident()
        frames = item_frames(number, item)
        count = (12 << 20) // len(frames)
        for _ in range(count):
            agent.write(frames)
        agent.ping()
        assert resident() - before < 2 * count * len(frames)


@pytest.mark.core
def test_both_sides_may_fill_their_windows_without_deadlock(python):
    with start(python, window=1 << 20) as agent:
        agent.window = 0
        numbers = [agent.remote_exec("while 1: channel.send(b'x' * 10000)") for _ in range(3)]
        for n in numbers:
            for i in range(100):
                agent.write(item_frames(n, b"y" * 10000))
        assert agent.ping() < 5
        begin = time.monotonic()
        agent.write(frame(TERMINATE))
        assert agent.finish() == 0 and time.monotonic() - begin < 5


def test_channels_take_turns(python):
    with start(python) as agent:
        first = agent.remote_exec("channel.send(b'x' * (64 << 20))")
        agent.wait_for(lambda kind, n, p: n == first)
        begin = time.monotonic()
        assert agent.run("channel.send(1)") == [1]
        assert agent.ping() < 5
        assert time.monotonic() - begin < 10
        seen = sum(len(p) for kind, n, p in agent.frames if n == first)
        assert seen < 64 << 20
