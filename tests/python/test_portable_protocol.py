"""What the portable agent says to a controller that is wrong, or sends in odd pieces."""
import os
import struct
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import (  # noqa: E402
    BEGIN, BYTES, CLOSE, CLOSE_ERROR, CREDIT, END, EXEC, HELLO, INT, INTERRUPT, LAST_MESSAGE, NEED, NONCE, OPEN, PART, PING,
    PONG, RECONFIGURE, STR, TERMINATE, Agent, dumps, frame, item_frames, part_payload)
from portable import BUNDLES, agent, pytest_generate_tests, python, start  # noqa: E402, F401


EXEC_FRAMES = frame(OPEN, 1) + item_frames(1, payload=dumps({"source": "channel.receive()"}), tag=EXEC)
LAST_FRAMES = frame(OPEN, 1) + frame(LAST_MESSAGE, 1)  # without a task, which would close the channel
STRINGS_PART = frame(PART, 0, part_payload("strings", BUNDLES[False][1].parts["strings"]))


@pytest.mark.parametrize("data", [
    frame(HELLO, 0, dumps({"protocol": (1, 0), "nonce": NONCE})), frame(0x4C), frame(0x7F, 1), frame(PING, 0, b"short"),
    frame(PING, 1, bytes(8)), frame(CLOSE, 0), frame(CLOSE, 5), frame(CREDIT, 5, bytes(8)), frame(OPEN, 2), frame(OPEN, 0),
    struct.pack("<II", 0x32 | (262145 << 8), 1), item_frames(1, 5), item_frames(1, "x"), frame(0x30, 1), frame(0x3F, 1),
    frame(0x39, 1), item_frames(1, payload=b"x", tag=EXEC), frame(OPEN, 3) + frame(OPEN, 1), frame(OPEN, 1) + frame(OPEN, 1),
    EXEC_FRAMES + frame(CREDIT, 1, struct.pack("<Q", 1)), EXEC_FRAMES + frame(END | BYTES, 1, b"x"),
    EXEC_FRAMES + frame(BYTES, 1, b"x"), EXEC_FRAMES + frame(BEGIN | BYTES, 1, b"x"),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 1 << 40) + b"x"),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x"),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + item_frames(1, 5),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(END | STR, 1, b"x" * 9),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(END | BYTES, 1, b"x" * 8),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(BYTES, 1, b"x" * 9),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(BYTES, 1, b""),
    EXEC_FRAMES + frame(BEGIN | END | INT, 1, b"x"), EXEC_FRAMES + frame(BEGIN | INT, 1, bytes(16)),
    EXEC_FRAMES + item_frames(1, payload=b"x", tag=EXEC),
    frame(OPEN, 1) + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10)), frame(OPEN, 1) + frame(BEGIN | BYTES, 1, struct.pack("<Q", 1) + b"x"),
    frame(OPEN, 1) + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(END | BYTES, 1, b""),
    frame(PONG, 0, bytes(9)), frame(0x45, 0, bytes(9)),
    LAST_FRAMES + item_frames(1, 5), LAST_FRAMES + item_frames(1, "x"), LAST_FRAMES + item_frames(1, b""),
    LAST_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x"),
    LAST_FRAMES + item_frames(1, payload=dumps({"source": "1"}), tag=EXEC),
    frame(OPEN, 1) + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(LAST_MESSAGE, 1) + frame(END | BYTES, 1, b"x" * 9),
    frame(OPEN, 1) + frame(CLOSE_ERROR, 1, b"\xff"), frame(OPEN, 1) + frame(CLOSE_ERROR, 1, b"ok\xed\xa0\x80"),
    STRINGS_PART + frame(RECONFIGURE, 0, b"\4"), STRINGS_PART + frame(OPEN, 1) + frame(RECONFIGURE, 1, b"\x82"),
], ids=lambda data: data[-24:].hex())
def test_violation_ends_the_connection(agent, data):
    agent.write(data)
    assert agent.finish() == 0
    assert b"protocol error" in agent.stderr and b"Traceback" not in agent.stderr


def test_frame_before_hello_ends_the_connection(python):
    for data in (frame(PING, 0, bytes(8)), frame(OPEN, 1), frame(TERMINATE)):
        stage0, packed = BUNDLES[False]
        with Agent([python, "-c", stage0], packed + data, send_hello=False) as agent:
            agent.finish()
            assert b"protocol error" in agent.stderr


def test_more_than_the_credit_ends_the_connection(python):
    with start(python, window=4096) as agent:
        number = agent.remote_exec("channel.gateway.newchannel().waitclose()")
        agent.write(b"".join(item_frames(number, b"x" * 1000) for i in range(5)))
        agent.finish()
        assert b"credit" in agent.stderr


def test_credit_above_the_window_ends_the_connection(python):
    with start(python, window=4096) as agent:
        number = agent.remote_exec("channel.receive()")
        agent.write(frame(CREDIT, number, struct.pack("<Q", 1)))
        agent.finish()
        assert b"credit above the window" in agent.stderr


def test_optional_frames_are_skipped(agent):
    agent.write(frame(PONG, 0, bytes(8)))  # nobody asked
    agent.write(frame(0x81, 0, b"x" * 1000) + frame(0xFF, 12345, b"") + frame(0x90, 1, b"y" * 100000))
    assert agent.run("channel.send(1)") == [1]


@pytest.mark.parametrize("need", [frame(NEED, 0, b"status"), frame(NEED, 7, b"\xff" * 300), frame(NEED)])
def test_need_is_not_for_agents_and_skipped(agent, need):
    agent.write(need)
    assert agent.run("channel.send(1)") == [1]


def test_frames_for_closed_channels_are_dropped(agent):
    number = agent.remote_exec("pass")
    agent.waitclose(number)
    agent.send(number, 1)
    agent.send(number, b"x" * 300000)
    agent.write(frame(CLOSE, number) + frame(LAST_MESSAGE, number) + frame(INTERRUPT, number))
    agent.write(frame(CREDIT, number, struct.pack("<Q", 1))) if agent.window else None
    agent.write(item_frames(number, payload=dumps({"source": "1"}), tag=EXEC))
    assert agent.run("channel.send(1)") == [1]


def test_session_may_arrive_byte_by_byte(agent):
    number = agent.next_number
    data = frame(OPEN, number) + item_frames(number, payload=dumps({"source": "for x in channel: channel.send(x)"}), tag=EXEC)
    items = [1, -1, "ä", b"b" * 300, [1, 2], b"c" * 9000]
    data += b"".join(item_frames(number, item, cut=4000) for item in items) + frame(LAST_MESSAGE, number)
    for i in range(len(data)):
        agent.write(data[i:i + 1])
    for item in items:
        assert agent.receive(number) == item
    agent.waitclose(number)


def frames_of(data):
    at = 0
    while at < len(data):
        end = at + 8 + (struct.unpack_from("<I", data, at)[0] >> 8)
        yield data[at:end]
        at = end


def test_large_item_is_whole_whatever_comes_between_its_frames(agent):
    """The agent reads several frames at once, and expects the item's next one behind each."""
    first, second = (agent.remote_exec("for x in channel: channel.send(x)") for _ in range(2))
    items = [os.urandom(1 << 20) for _ in range(4)]
    one, two, three, four = (list(frames_of(item_frames(n, item))) for n, item in zip((first, second, first, first), items))
    agent.write(b"".join(one))  # as expected
    agent.write(b"".join(a + b for a, b in zip(three, two)))
    assert [agent.receive(first), agent.receive(first), agent.receive(second)] == [items[0], items[2], items[1]]
    agent.write(b"".join(four[:5]) + frame(PING, 0, bytes(8)) + b"".join(four[5:9]) + frame(0x81, 0, bytes(5)) + b"".join(four[9:]))
    assert agent.receive(first) == items[3]
    agent.write(b"".join(item_frames(first, items[0], cut=cut) for cut in (5000, 65536, 65535, 200000)))
    for _ in range(4):
        assert agent.receive(first) == items[0]
    agent.write(b"".join(four[:3]) + frame(CLOSE, first) + b"".join(four[3:]))  # the rest is dropped
    assert agent.run("channel.send(1)") == [1]
