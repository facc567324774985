"""Channels of the portable agent: receiving, ends, channels of its own, many threads."""
import os
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import (  # noqa: E402
    CLOSE, CLOSE_ERROR, LAST_MESSAGE, OPEN, PICKLE, ChannelReference, RemoteError, frame, item_frames, reference)
from portable import agent, hand_over_channel, pytest_generate_tests, python, start  # noqa: E402, F401


@pytest.mark.core
def test_receive_with_timeout(agent):
    assert agent.run("""
import time
start = time.time()
for timeout in (0, 0.05):
    try:
        channel.receive(timeout)
    except channel.TimeoutError as e:
        channel.send(isinstance(e, OSError))
channel.send(0.04 < time.time() - start < 3)
try:
    channel.receive(timeout=-1)
except ValueError:
    channel.send("negative")
try:
    channel.waitclose(0.01)
except channel.TimeoutError:
    channel.send("open")
""") == [True, True, True, "negative", "open"]


ENDING = """
c = channel.receive()
channel.send(0)
result = []
while len(result) < 5:
    try:
        result.append(c.receive())
    except EOFError:
        result.append("eof")
    except c.RemoteError as e:
        result.append(("error", str(e)))
c.waitclose()
result.append(c.isclosed())
try:
    c.send(1)
except OSError as e:
    result.append(repr(c) in str(e))
result.append(repr(c))
channel.send(result)
"""


@pytest.mark.core
@pytest.mark.parametrize("early", [False, True])
def test_end_of_channel_gives_items_then_error_once_then_eof(agent, early):
    number = agent.remote_exec(ENDING)
    sent = item_frames(99, "item") + item_frames(99, 5) + frame(CLOSE_ERROR, 99, "böse".encode())
    if early:  # the reference was held up by credit, the CLOSE was not
        agent.write(frame(OPEN, 99) + sent + item_frames(number, payload=reference(99), tag=PICKLE))
    else:
        hand_over_channel(agent, number, 99)
        assert agent.receive(number) == 0
        agent.write(sent)
    if early:
        agent.receive(number)
    assert agent.receive(number) == [
        "item", 5, ("error", "böse"), "eof", "eof", True, True, "<Channel id=99 closed>"]


@pytest.mark.core
def test_new_channel_travels_and_comes_back_as_itself(agent):
    number = agent.remote_exec("""
c = channel.gateway.newchannel()
channel.send(c)
channel.send((channel.receive() is c, c.id, repr(c), channel.gateway.id, channel.gateway.execmodel.backend))
c.send("through")
c.close("bye")
c.close()
channel.send(c.isclosed())
""")
    assert agent.wait_for(lambda kind, n, p: kind == OPEN) == (OPEN, 2, b"")
    assert agent.receive(number) == ChannelReference(2)
    agent.write(item_frames(number, payload=reference(2), tag=PICKLE))
    assert agent.receive(number) == (True, 2, "<Channel id=2 open>", "gw-worker", "thread")
    assert agent.receive(2) == "through"
    with pytest.raises(RemoteError) as caught:
        agent.receive(2)
    assert str(caught.value) == "bye"
    assert agent.receive(number) is True
    agent.waitclose(number)


def test_too_many_channels_of_the_agent_are_refused_there(python):
    with start(python, hello={"max_channels": 3}) as agent:
        assert agent.run("""
channels = []
try:
    for i in range(5):
        channels.append(channel.gateway.newchannel())
except OSError:
    channel.send(len(channels))
""") == [3]


def test_dropping_the_last_reference_closes_the_channel(agent):
    number = agent.remote_exec("""
import gc
c = channel.gateway.newchannel()
channel.send(c.id)
del c
gc.collect()
channel.receive()
""")
    assert agent.receive(number) == 2
    agent.wait_for(lambda kind, n, p: (kind, n) == (CLOSE, 2))
    agent.send(2, "dropped")  # crossed the CLOSE
    agent.send(number, 0)
    agent.waitclose(number)


def test_dropping_the_tasks_channel_does_not_end_it(agent):
    assert agent.run("c = channel.gateway\nchannel.send(1)\ndel channel\nimport gc; gc.collect()") == [1]


def test_unfetched_error_is_warned_about(agent):
    number = agent.remote_exec("c = channel.receive()\nchannel.send(0)\nc.waitclose\nchannel.receive()\ndel c\nimport gc; gc.collect()")
    hand_over_channel(agent, number, 99)
    agent.receive(number)
    agent.write(frame(CLOSE_ERROR, 99, b"lost words"))
    agent.send(number, 1)
    agent.waitclose(number)
    agent.terminate()
    assert b"Warning: unhandled RemoteError: lost words" in agent.stderr


def test_send_only_channel(agent):
    number = agent.remote_exec("""
try:
    channel.receive()
except EOFError:
    channel.send((channel.isclosed(), channel.waitclose()))
""")
    agent.write(frame(LAST_MESSAGE, number))
    assert agent.receive(number) == (False, None)


def test_each_item_goes_to_exactly_one_of_many_receivers(agent):
    number = agent.remote_exec("""
import threading
got = []
def reader():
    for x in channel:
        got.append(x)
c = channel
threads = [threading.Thread(target=reader) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
done = channel.gateway.newchannel()
channel.send(done)
done.send(sorted(got))
""")
    for i in range(2000):
        agent.send(number, i)
        if not i % 500:
            time.sleep(0.02)
    agent.write(frame(LAST_MESSAGE, number))
    done = agent.receive(number)
    assert agent.receive(done.number) == list(range(2000))


@pytest.mark.core
def test_items_of_many_sending_threads_keep_their_order(agent):
    items = agent.run("""
import threading
def sender(k):
    for i in range(300):
        channel.send((k, i, b"x" * (i * 200)) if i % 3 == 0 else (k, i))
threads = [threading.Thread(target=sender, args=(k,)) for k in range(6)]
for t in threads: t.start()
for t in threads: t.join()
""")
    assert len(items) == 1800
    for k in range(6):
        assert [item[1] for item in items if item[0] == k] == list(range(300))


@pytest.mark.core
def test_receiving_thread_takes_over_when_the_leader_leaves(agent):
    number = agent.remote_exec("""
import threading
a = channel.receive()
b = channel.receive()
def serve(c):
    for x in c:
        c.send(x)
threads = [threading.Thread(target=serve, args=(c,)) for c in (a, b)]
for t in threads: t.start()
channel.send(0)
channel.receive()
""")
    hand_over_channel(agent, number, 101)
    hand_over_channel(agent, number, 103)
    assert agent.receive(number) == 0
    for i in range(50):
        for channel in (101, 103, 103, 101):
            agent.send(channel, i)
            assert agent.receive(channel) == i
    agent.write(frame(CLOSE, 101))
    for i in range(50):
        agent.send(103, i)
        assert agent.receive(103) == i
    agent.write(frame(CLOSE, 103))
    agent.send(number, 0)
    agent.waitclose(number)
