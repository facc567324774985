"""Channel.setcallback on the far side, by the native agent."""
import os
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from agent_controller import (  # noqa: E402
    CLOSE, CLOSE_ERROR, LAST_MESSAGE, OPEN, Agent, ChannelReference, Ended, RemoteError, frame, item_frames)

AGENT = os.environ.get("GANGWAY_AGENT") or os.path.join(HERE, "..", "..", "build", "dev", "bin", "gangway-agent")


@pytest.fixture(params=[0, 1 << 16], ids=["unlimited", "window"])
def agent(request):
    with Agent([AGENT], window=request.param) as agent:
        agent.handshake()
        yield agent


def test_queued_items_are_handed_over_by_the_caller_and_later_ones_by_another_thread(agent):
    number = agent.remote_exec("""
import threading
got = []
for word in iter(channel.receive, "others follow"):
    pass
other = channel.receive()
def take(item):
    got.append((item, threading.get_ident()))
    if item == 9:
        done.set()
done = threading.Event()
other.setcallback(take)
here = threading.get_ident()
channel.send([(item, ident == here) for item, ident in got])
got.clear()
channel.send("go")
done.wait(10)
channel.send([item for item, ident in got])
channel.send(here not in [ident for item, ident in got] and len({ident for item, ident in got}) == 1)
""")
    agent.send(number, "others follow")
    other = agent.next_number
    agent.next_number += 2
    agent.write(frame(OPEN, other) + b"".join(item_frames(other, i) for i in range(5)))
    agent.send(number, ChannelReference(other))
    assert agent.receive(number) == [(i, True) for i in range(5)]
    assert agent.receive(number) == "go"
    agent.write(b"".join(item_frames(other, i) for i in range(5, 10)))
    assert agent.receive(number) == [5, 6, 7, 8, 9]
    assert agent.receive(number) is True


def test_items_of_several_channels_are_called_in_the_order_of_arrival(agent):
    number = agent.remote_exec("""
got = []
channels = [channel.gateway.newchannel() for _ in range(3)]
for i, c in enumerate(channels):
    c.setcallback(lambda item, i=i: got.append((i, item)))
channel.send(channels)
channel.receive()
import time
while len(got) < 300: time.sleep(0.01)
channel.send(got == [(n % 3, n) for n in range(300)])
""")
    channels = [reference.number for reference in agent.receive(number)]
    for n in range(300):
        agent.send(channels[n % 3], n)
    agent.send(number, 0)
    assert agent.receive(number) is True


END = """
import queue
q = queue.Queue()
mark = object()
c = channel.gateway.newchannel()
c.setcallback(q.put, endmarker=mark)
channel.send(c)
%s
channel.send([q.get(timeout=10), q.get(timeout=10) is mark])
channel.send(repr(c._getremoteerror()))
import time; time.sleep(0.05)
channel.send(q.empty())
"""


@pytest.mark.parametrize("end, how, error", [
    (lambda n: frame(CLOSE, n), "", "None"),
    (lambda n: frame(CLOSE_ERROR, n, b"why"), "", "RemoteError: why"),
    (lambda n: frame(LAST_MESSAGE, n), "", "None"),
    (lambda n: b"", "channel.receive(); c.close()", "None"),
])
def test_endmarker_comes_once_and_last_however_the_channel_ends(agent, end, how, error):
    number = agent.remote_exec(END % how)
    other = agent.receive(number).number
    agent.write(item_frames(other, 1) + end(other))
    if how:
        time.sleep(0.05)
        agent.send(number, 0)
    assert agent.receive(number) == [1, True]
    assert agent.receive(number) == error
    assert agent.receive(number) is True


def test_endmarker_may_be_none_and_comes_at_once_on_an_ended_channel(agent):
    number = agent.remote_exec("""
c = channel.gateway.newchannel()
channel.send(c)
c.waitclose()
got = []
c.setcallback(got.append, None)
channel.send(got)
d = channel.gateway.newchannel()
d.close()
d.setcallback(got.append)
channel.send(got)
""")
    other = agent.receive(number).number
    agent.write(item_frames(other, 5) + frame(CLOSE, other))
    assert agent.receive(number) == [5, None]
    assert agent.receive(number) == [5, None]


def test_receive_and_a_second_callback_are_refused(agent):
    assert agent.run("""
c = channel.gateway.newchannel()
c.setcallback(print)
for call in c.receive, lambda: c.setcallback(print), lambda: next(c):
    try:
        call()
    except OSError as error:
        channel.send("callback" in str(error))
for wrong in (lambda: c.setcallback(5), lambda: c.setcallback()):
    try:
        wrong()
    except TypeError:
        channel.send(1)
""") == [True, True, True, 1, 1]


def test_callback_that_raises_closes_its_channel_and_nothing_else(agent):
    number = agent.remote_exec("""
import queue
q = queue.Queue()
c = channel.gateway.newchannel()
def fail(item):
    if item is q:
        q.put("end")
    else:
        raise ValueError("no %d" % item)
c.setcallback(fail, endmarker=q)
d = channel.gateway.newchannel()
d.setcallback(q.put)
channel.send((c, d))
channel.send(q.get(timeout=10))
channel.send(c.isclosed())
channel.send(q.get(timeout=10))
""")
    c, d = (reference.number for reference in agent.receive(number))
    agent.send(c, 7)
    with pytest.raises(RemoteError, match=r'(?s)^Traceback \(most recent call last\):\n  File "<remote exec>", line 9, in fail.*ValueError: no 7$'):
        agent.receive(c)
    assert agent.receive(number) == "end" and agent.receive(number) is True
    agent.send(d, 8)
    assert agent.receive(number) == 8


def test_callback_that_raises_on_a_queued_item_raises_in_setcallback(agent):
    number = agent.remote_exec("""
c = channel.gateway.newchannel()
channel.send(c)
channel.receive()
import time; time.sleep(0.1)
def fail(item):
    raise KeyError(item)
try:
    c.setcallback(fail)
except KeyError as error:
    channel.send(error.args)
channel.send(c.receive(10))
""")
    c = agent.receive(number).number
    agent.send(c, 1)
    agent.send(c, 2)
    agent.send(number, 0)
    assert agent.receive(number) == (1,)
    assert agent.receive(number) == 2


def test_callback_stays_when_its_channel_object_is_gone(agent):
    number = agent.remote_exec("""
c = channel.gateway.newchannel()
c.setcallback(channel.send, endmarker="end")
channel.send(c)
del c
channel.receive()
""")
    other = agent.receive(number).number
    agent.wait_for(lambda kind, n, p: kind == LAST_MESSAGE and n == other)
    agent.send(other, "still")
    assert agent.receive(number) == "still"
    agent.write(frame(CLOSE, other))
    assert agent.receive(number) == "end"
    assert agent.status()["numchannels"] == 1


def test_callback_may_send_and_receive_on_other_channels(agent):
    number = agent.remote_exec("""
c, d = channel.gateway.newchannel(), channel.gateway.newchannel()
c.setcallback(lambda item: channel.send((item, d.receive(10))))
channel.send((c, d))
channel.receive()
""")
    c, d = (reference.number for reference in agent.receive(number))
    agent.send(c, 1)
    agent.send(d, 2)
    assert agent.receive(number) == (1, 2)


def test_thread_of_the_callbacks_keeps_its_locals_and_is_not_the_main_one(agent):
    number = agent.remote_exec("""
c = channel.gateway.newchannel()
def take(item):
    import threading
    if item == 0:
        local.value = 5
    else:
        channel.send(local.value)
        channel.send(threading.current_thread() is threading.main_thread())
import _thread
local = _thread._local()
c.setcallback(take)
channel.send(c)
channel.receive()
""")
    c = agent.receive(number).number
    agent.send(c, 0)
    agent.send(c, 1)
    assert agent.receive(number) == 5
    assert agent.receive(number) is False


@pytest.mark.parametrize("how", ["terminate", "half_close"])
def test_endmarkers_come_before_the_agent_ends(tmp_path, how):
    with Agent([AGENT]) as agent:
        agent.handshake()
        number = agent.remote_exec("""
def take(item):
    import time
    time.sleep(0.2)
    open(%r, "a").write(item)
keep = channel.gateway.newchannel()
keep.setcallback(take, endmarker="end")
channel.setcallback(take, endmarker="own")
import sys; sys.kept = keep
channel.send(0)
""" % str(tmp_path / "out"))
        assert agent.receive(number) == 0
        if how == "terminate":
            assert agent.terminate() == 0
        else:
            agent.waitclose(number)
            agent.half_close()
            assert agent.finish() == 0
        assert agent.stderr == b""
    assert sorted([(tmp_path / "out").read_text()[i:i + 3] for i in (0, 3)]) == ["end", "own"]


def test_callback_that_is_stuck_does_not_keep_the_agent():
    with Agent([AGENT]) as agent:
        agent.handshake()
        number = agent.remote_exec("""
c = channel.gateway.newchannel()
c.setcallback(lambda item: __import__("time").sleep(1000))
channel.send(c)
channel.receive()
""")
        agent.send(agent.receive(number).number, 0)
        begin = time.monotonic()
        agent.terminate()
        assert time.monotonic() - begin < 10


def test_process_forked_in_a_callback_ends_and_is_not_heard(agent):
    number = agent.remote_exec("""
import os
c = channel.gateway.newchannel()
def fork(item):
    pid = os.fork()
    if pid:
        channel.send(os.waitpid(pid, 0)[1])
    elif item == 2:
        raise ValueError("in the child")
c.setcallback(fork, endmarker=3)
channel.send(c)
channel.receive()
channel.receive()
""")
    c = agent.receive(number).number
    agent.send(c, 1)
    assert agent.receive(number) == 0
    agent.send(c, 2)
    assert agent.receive(number) == 1 << 8
    agent.write(frame(CLOSE, c))
    assert agent.receive(number) == 0
    agent.send(number, 0)
    agent.send(number, 0)
    with pytest.raises(Ended):
        agent.receive(number)


def test_item_that_cannot_be_read_closes_the_channel_of_a_callback(agent):
    number = agent.remote_exec("""
c = channel.gateway.newchannel()
c.setcallback(channel.send)
channel.send(c)
channel.receive()
""")
    c = agent.receive(number).number
    agent.write(frame(0x31, c, b"nonsense"))
    with pytest.raises(RemoteError, match="LoadError: bad item"):
        agent.receive(c)


def test_callbacks_of_many_items_leave_no_objects_behind(agent):
    number = agent.remote_exec("""
import gc, sys
class Mark: pass
mark = Mark()
c = channel.gateway.newchannel()
import queue
q = queue.Queue()
def take(item):
    q.put(item)
c.setcallback(take, endmarker=mark)
channel.send(c)
for i in range(500): assert q.get(timeout=10) == (i, "x")
assert q.get(timeout=10) is mark
import time
deadline = time.monotonic() + 10
while (sys.getrefcount(mark), sys.getrefcount(take)) != (2, 2) and time.monotonic() < deadline: time.sleep(0.01)
channel.send((sys.getrefcount(mark), sys.getrefcount(take)))
""")
    c = agent.receive(number).number
    for i in range(500):
        agent.send(c, (i, "x"))
    agent.write(frame(CLOSE, c))
    assert agent.receive(number) == (2, 2)
