"""MultiChannel."""

import queue

import execnet
import pytest


@pytest.fixture
def pair(group):
    return [group.makegateway(), group.makegateway()]


def test_is_a_sequence(gateway):
    channels = [gateway.newchannel(), gateway.newchannel()]
    multi = execnet.MultiChannel(channels)
    assert len(multi) == 2 and list(multi) == channels and multi[1] is channels[1] and multi[-1] is channels[1]
    assert channels[0] in multi and object() not in multi


def test_send_each_and_receive_each(pair, group):
    multi = group.remote_exec("channel.send(channel.receive() + 1); channel.send(3)")
    multi.send_each(41)
    assert multi.receive_each() == [42, 42]
    assert multi.receive_each(withchannel=True) == [(multi[0], 3), (multi[1], 3)]


def test_members_can_be_anything():
    class Channel:
        def __init__(self):
            self.sent = []

        def send(self, item):
            self.sent.append(item)

        def receive(self):
            return self.sent.pop()

        def waitclose(self):
            pass

    multi = execnet.MultiChannel([Channel(), Channel()])
    multi.send_each(3)
    assert multi.receive_each() == [3, 3]
    multi.waitclose()


def test_waitclose_raises_the_first_error_after_all_have_ended(group, pair):
    failing = pair[0].remote_exec("raise ValueError('first')")
    slow = pair[1].remote_exec("import time; time.sleep(0.2); raise KeyError('second')")
    with pytest.raises(execnet.RemoteError, match="first"):
        execnet.MultiChannel([failing, slow]).waitclose()
    assert failing.isclosed() and slow.isclosed()


def test_waitclose_lets_other_errors_through(gateway):
    channel = gateway.remote_exec("import os; os._exit(0)")
    with pytest.raises(EOFError):
        execnet.MultiChannel([channel, None]).waitclose()


def test_receive_queue(pair, group):
    multi = group.remote_exec("channel.send(channel.gateway.id)")
    found = multi.make_receive_queue(endmarker=None)
    assert isinstance(found, queue.Queue)
    assert multi.make_receive_queue() is found
    items = [found.get(timeout=10) for _ in range(4)]
    for channel, gateway in zip(multi, pair):
        assert [item for where, item in items if where is channel] == [gateway.id + "-worker", None]
    with pytest.raises(AssertionError):
        multi.receive_each()


def test_receive_queue_without_an_endmarker(gateway, group):
    multi = group.remote_exec("channel.send(1)")
    found = multi.make_receive_queue()
    assert found.get(timeout=10) == (multi[0], 1)
    multi.waitclose()
    assert found.empty()


def test_receive_queue_without_members():
    assert execnet.MultiChannel([]).make_receive_queue() is None
