"""Items of the portable agent that are out of the ordinary: unreadable, converted, closed channels."""
import os
import struct
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import (  # noqa: E402
    BEGIN, CREDIT, END, PICKLE, RECONFIGURE, STR, ChannelReference, RemoteError, frame, item_frames, reference)
from portable import agent, pytest_generate_tests, python, start  # noqa: E402, F401


UNREADABLE = {
    "not a pickle": item_frames(1, payload=b"nonsense", tag=PICKLE),
    "empty pickle": item_frames(1, payload=b"", tag=PICKLE),
    "bad UTF-8": frame(BEGIN | END | STR, 1, b"\xff"),
    "bad UTF-8 in many frames": item_frames(1, payload=b"\xff" * 200000, tag=STR),
    "unknown channel": item_frames(1, payload=reference(77), tag=PICKLE),
}


@pytest.mark.core
@pytest.mark.parametrize("what", sorted(UNREADABLE))
def test_item_that_cannot_be_read_is_an_error_of_its_receiver(agent, what):
    number = agent.remote_exec(
        "for i in range(4):\n"
        "    try: channel.send(channel.receive())\n"
        "    except Exception as e: channel.send([type(e).__name__, type(e).__bases__[0].__name__, str(e)[:10]])\n"
        "channel.send(channel.receive())")
    agent.write(item_frames(number, 1) + UNREADABLE[what] + item_frames(number, "two") + UNREADABLE[what])
    error = ["LoadError", "DataFormatError", "bad item: "]
    assert [agent.receive(number) for _ in range(4)] == [1, error, "two", error]
    agent.send(number, 3)
    assert agent.receive(number) == 3


def test_item_that_cannot_be_read_ends_a_task_that_does_not_care(agent):
    number = agent.remote_exec("channel.receive()")
    agent.write(item_frames(number, payload=b"nonsense", tag=PICKLE))
    with pytest.raises(RemoteError, match="LoadError: bad item"):
        agent.receive(number)
    assert agent.run("channel.send(1)") == [1]


def test_items_that_cannot_be_read_are_paid_for(python):
    with start(python, window=1024) as agent:
        number = agent.remote_exec(
            "bad = 0\n"
            "for i in range(200):\n"
            "    try: channel.receive()\n"
            "    except Exception: bad += 1\n"
            "channel.send(bad)")
        credit = 500
        for i in range(200):
            while credit < 132:
                payload = agent.wait_for(lambda kind, n, _: (kind, n) == (CREDIT, number))[2]
                credit += struct.unpack("<Q", payload)[0]
            agent.write(item_frames(number, payload=b"x" * 100, tag=PICKLE) if i % 3 else item_frames(number, b"x" * 100))
            credit -= 132
        assert agent.receive(number) == 133


@pytest.mark.parametrize("threads", [4])
def test_several_receivers_leave_no_credit_behind(python, threads):
    """Each item is a quarter of the window, so each is a mark of its own."""
    with start(python, window=4096) as agent:
        number = agent.remote_exec(
            "import _thread\n"
            "done = _thread.allocate_lock(); done.acquire()\n"
            "got = []\n"
            "def take():\n"
            "    while True:\n"
            "        got.append(channel.receive())\n"
            "        if len(got) == 400: done.release()\n"
            "for i in range(%d): _thread.start_new_thread(take, ())\n"
            "done.acquire()\n"
            "channel.send(len(got))" % threads)
        size = 1024 - 32
        credit = 4096 - 600
        for i in range(400):
            while credit < 1024:
                payload = agent.wait_for(lambda kind, n, _: (kind, n) == (CREDIT, number))[2]
                credit += struct.unpack("<Q", payload)[0]
            agent.send(number, b"x" * size)
            credit -= 1024
        assert agent.receive(number) == 400


@pytest.mark.core
def test_closed_channel_that_comes_back_is_the_same_object_while_it_is_held(agent):
    number = agent.remote_exec(
        "c = channel.gateway.newchannel()\n"
        "channel.send(c)\n"
        "c.close()\n"
        "channel.send([channel.receive()[0] is c, channel.receive()[0] is c, c.isclosed()])\n"
        "del c\n"
        "d = channel.receive()[0]\n"
        "channel.send([d.isclosed(), channel.receive()[0] is d])")
    other = agent.receive(number).number
    for _ in range(4):
        agent.write(item_frames(number, [ChannelReference(other)]))
    assert agent.receive(number) == [True, True, True]
    assert agent.receive(number) == [True, True]


ITEM = ["a", {"k": ("b", 1)}, {"s"}, frozenset(["f"]), b"x", None, 2.5, [[["deep"]]]]
CONVERTED = [b"a", {b"k": (b"b", 1)}, {b"s"}, frozenset([b"f"]), b"x", None, 2.5, [[[b"deep"]]]]


def to_bytes(agent, number, options=2):
    """As the controller has to: the part goes first."""
    agent.send_part("strings")
    agent.write(frame(RECONFIGURE, number, bytes([options])))


@pytest.mark.core
def test_controller_reconfigures_a_channel(agent):
    number = agent.remote_exec("for i in range(4): channel.send(channel.receive())")
    agent.send(number, "str")
    assert agent.receive(number) == "str"
    to_bytes(agent, number)
    agent.send(number, "bytes")
    agent.send(number, ITEM)
    assert [agent.receive(number), agent.receive(number)] == [b"bytes", CONVERTED]
    to_bytes(agent, number, 1)
    agent.send(number, "str")
    assert agent.receive(number) == "str"


def test_controller_reconfigures_channels_to_come(agent):
    before = agent.remote_exec("channel.send(channel.receive())")
    agent.ping()
    to_bytes(agent, 0)
    after = agent.remote_exec("channel.send(channel.receive())\nc = channel.gateway.newchannel()\nchannel.send(c)\nchannel.send(c.receive())")
    agent.send(before, "x")
    agent.send(after, "x")
    assert [agent.receive(before), agent.receive(after)] == ["x", b"x"]
    agent.send(agent.receive(after).number, "y" * 100000)
    assert agent.receive(after) == b"y" * 100000


@pytest.mark.core
def test_task_reconfigures_both_sides(agent):
    number = agent.remote_exec("channel.reconfigure(py3str_as_py2str=True)\nchannel.send(channel.receive())\nchannel.reconfigure()\nchannel.receive()")
    assert agent.wait_for(lambda kind, *_: kind == RECONFIGURE) == (RECONFIGURE, number, b"\3")
    agent.send(number, ITEM)
    assert agent.receive(number) == CONVERTED
    assert agent.wait_for(lambda kind, *_: kind == RECONFIGURE) == (RECONFIGURE, number, b"\1")


def test_deep_item_is_converted(agent):
    item = "x"
    for _ in range(900):
        item = [item]
    number = agent.remote_exec(
        "to = channel.receive()\n"
        "for i in range(900): to = to[0]\n"
        "channel.send(to)")
    to_bytes(agent, number)
    data = b"\x80\4" + b"](" * 900 + b"X\1\0\0\0x" + b"e" * 900 + b"."
    agent.write(item_frames(number, payload=data, tag=PICKLE))
    assert agent.receive(number) == b"x"


@pytest.mark.parametrize("data", [frame(RECONFIGURE, 1, b""), frame(RECONFIGURE, 1, b"12"), frame(RECONFIGURE, 77, b"2")], ids=["0", "2", "unknown"])
def test_reconfigure_that_is_wrong_ends_the_connection(agent, data):
    agent.remote_exec("channel.receive()")
    agent.send_part("strings")
    agent.write(data)
    assert agent.finish() == 0
    assert b"protocol error" in agent.stderr


def test_reconfigure_without_its_part_ends_the_connection(agent):
    agent.remote_exec("channel.receive()")
    agent.write(frame(RECONFIGURE, 1, b"2"))
    assert agent.finish() == 0
    assert b"the part 'strings' was not sent" in agent.stderr


@pytest.mark.core
@pytest.mark.parametrize("here", range(10))
def test_large_item_may_arrive_in_two_at_any_byte_of_its_head(agent, here):
    number = agent.remote_exec("channel.send('ready')\nchannel.send(channel.receive())")
    assert agent.receive(number) == "ready"
    item = bytes(range(256)) * 1000
    frames = item_frames(number, item)
    agent.write(frames[:8 + here])
    time.sleep(0.02)  # for the agent to read it
    agent.write(frames[8 + here:])
    assert agent.receive(number) == item


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_not_collected_while_a_large_item_is_decoded(agent, collects):
    number = agent.remote_exec(
        "import gc\n"
        "if not channel.receive(): gc.disable()\n"
        "collections = []\n"
        "gc.callbacks.append(lambda phase, info: collections.append(phase))\n"
        "item = channel.receive()\n"
        "channel.send([len(item), len(collections) < 10, gc.isenabled()])")
    agent.send(number, collects)
    agent.send(number, [[i] for i in range(100000)])
    assert agent.receive(number) == [100000, True, collects]
