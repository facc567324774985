"""Callbacks, and the end of channels that nobody holds."""

import gc
import os
import threading

import execnet
import pytest


@pytest.fixture
def seen():
    return []


def test_items_that_wait_are_handed_over_at_once(any_gateway, seen):
    channel = any_gateway.remote_exec("for i in range(5): channel.send(i)")
    channel.waitclose()
    here = threading.get_ident()
    channel.setcallback(lambda item: seen.append((item, threading.get_ident() == here)), endmarker=None)
    assert seen == [(0, True), (1, True), (2, True), (3, True), (4, True), (None, True)]


def test_order_is_kept(any_gateway, seen, until):
    channel = any_gateway.remote_exec("for i in range(2000): channel.send(i)")
    assert channel.receive() == 0
    channel.setcallback(seen.append, endmarker="end")
    until(lambda: seen and seen[-1] == "end")
    assert seen == list(range(1, 2000)) + ["end"]


def test_calls_of_a_gateway_come_one_after_the_other(any_gateway, seen, until):
    busy, threads = [], set()

    def call(item):
        assert not busy
        busy.append(1)
        threads.add(threading.get_ident())
        seen.append(item)
        busy.pop()

    channels = [any_gateway.remote_exec("channel.receive()\nfor i in range(50): channel.send(i)") for _ in range(3)]
    for channel in channels:
        channel.setcallback(call, endmarker=-1)
        channel.send(None)
    until(lambda: seen.count(-1) == 3)
    assert len(seen) == 153
    assert len(threads) == 1 and threading.get_ident() not in threads


class Marker:
    pass


@pytest.mark.parametrize("end, error", [
    ("", type(None)), ("raise ValueError(3)", execnet.RemoteError), ("import os; os._exit(3)", EOFError),
    ("import os; os.kill(os.getpid(), 9)", EOFError), ("raise SystemExit", execnet.RemoteError)])
def test_endmarker_comes_once_and_last(any_gateway, seen, until, end, error):
    channel = any_gateway.remote_exec("channel.send(channel.receive())\n" + end)
    marker = Marker()
    errors = []

    def call(item):
        if item is marker:
            errors.append(channel._getremoteerror())
        seen.append(item)

    channel.setcallback(call, endmarker=marker)
    channel.send(1)
    until(lambda: marker in seen)
    any_gateway.exit()
    any_gateway.join(10)
    assert seen == [1, marker]
    assert isinstance(errors[0], error)


def test_endmarker_after_the_own_close(any_gateway, seen, until):
    channel = any_gateway.newchannel()
    channel.setcallback(seen.append, endmarker=None)
    channel.close()
    until(lambda: seen == [None])


def test_endmarker_when_the_far_object_is_collected(any_gateway, seen, until):
    channel = any_gateway.newchannel()
    channel.setcallback(seen.append, endmarker="end")
    task = any_gateway.remote_exec("c = channel.receive(); c.send(1); del c; channel.receive()")
    task.send(channel)
    until(lambda: seen == [1, "end"])


def test_no_endmarker_unless_asked_for(any_gateway, seen):
    channel = any_gateway.remote_exec("channel.send(1)")
    channel.setcallback(seen.append)
    channel.waitclose()
    any_gateway.remote_status()
    assert seen == [1]


def test_waitclose_returns_after_the_endmarker_call(any_gateway, seen):
    import time

    channel = any_gateway.remote_exec("channel.send(1)")

    def call(item):
        time.sleep(0.1)
        seen.append(item)

    channel.setcallback(call, endmarker=None)
    channel.waitclose(10)
    assert seen == [1, None]


def test_error_is_pending_for_any_thread_while_the_endmarker_is_handed_over(any_gateway, seen, until):
    channel = any_gateway.remote_exec("raise ValueError(3)")
    fetched = threading.Event()

    def call(item):
        seen.append(item)
        fetched.wait(20)

    channel.setcallback(call, endmarker=None)
    try:
        until(lambda: seen == [None])
        assert isinstance(channel._getremoteerror(), execnet.RemoteError)
        assert channel._getremoteerror() is None
    finally:
        fetched.set()


def test_receive_and_a_second_callback_are_refused(any_gateway):
    channel = any_gateway.newchannel()
    channel.setcallback(lambda item: None)
    for call in (channel.receive, lambda: channel.receive(timeout=1), lambda: channel.setcallback(print)):
        with pytest.raises(OSError):
            call()


@pytest.mark.better("without the endmarker")
def test_callback_outlives_its_channel_object(any_gateway, seen, until):
    channel = any_gateway.remote_exec("channel.receive()\nfor i in range(3): channel.send(i)")
    channel.setcallback(seen.append, endmarker=None)
    channel.send(None)
    del channel
    gc.collect()
    until(lambda: seen == [0, 1, 2, None])


def test_callback_may_send(any_gateway, until):
    channel = any_gateway.remote_exec("""
        for i in range(10):
            channel.send(i)
        channel.send([channel.receive() for i in range(10)])
    """)
    seen = []

    def call(item):
        seen.append(item)
        if isinstance(item, int):
            channel.send(item * 2)

    channel.setcallback(call)
    channel.waitclose(20)
    assert seen[-1] == [number * 2 for number in range(10)]


@pytest.mark.better("the pending error is a bare string")
def test_callback_that_raises(any_gateway):
    task = any_gateway.remote_exec("""
        c = channel.receive()
        c.send(1)
        try:
            c.waitclose(10)
        except c.RemoteError as error:
            channel.send(str(error))
    """)
    channel = any_gateway.newchannel()

    def call(item):
        raise ValueError("of mine")

    channel.setcallback(call)
    task.send(channel)
    text = task.receive(20)
    assert "ValueError: of mine" in text and "Traceback" in text
    with pytest.raises(execnet.RemoteError, match="of mine"):
        channel.waitclose(10)
    assert any_gateway.remote_exec("channel.send(3)").receive() == 3


def test_callback_that_raises_for_items_that_waited(any_gateway):
    channel = any_gateway.remote_exec("channel.send(1)")
    channel.waitclose()
    with pytest.raises(ZeroDivisionError):
        channel.setcallback(lambda item: 1 / 0)


def test_callbacks_on_the_far_side(any_gateway):
    channel = any_gateway.remote_exec("""
        seen = []
        model = channel.gateway.execmodel
        done = model.Event()
        def call(item):
            seen.append(item)
            channel.send(("got", item))
            if item is None:
                done.set()
        c = channel.receive()
        c.setcallback(call, endmarker=None)
        done.wait(20)
        channel.send(seen)
    """)
    extra = any_gateway.newchannel()
    channel.send(extra)
    extra.send(1)
    extra.send(2)
    extra.close()
    assert [channel.receive(20) for _ in range(4)] == [("got", 1), ("got", 2), ("got", None), [1, 2, None]]


# Collection.

def test_collected_channel_closes_at_the_peer(any_gateway):
    task = any_gateway.remote_exec("""
        c = channel.receive()
        channel.send(1)
        try:
            c.receive()
        except EOFError:
            channel.send("closed: %s" % c.isclosed())
    """)
    channel = any_gateway.newchannel()
    task.send(channel)
    assert task.receive() == 1
    del channel
    gc.collect()
    assert task.receive(20) == "closed: True"


def test_channel_with_a_callback_goes_to_sendonly_at_the_peer(any_gateway, seen, until):
    task = any_gateway.remote_exec("""
        c = channel.receive()
        channel.send(1)
        try:
            c.receive()
        except EOFError:
            c.waitclose()
            c.send("still")
            channel.send(c.isclosed())
    """)
    channel = any_gateway.newchannel()
    channel.setcallback(seen.append)
    task.send(channel)
    assert task.receive() == 1
    del channel
    gc.collect()
    assert task.receive(20) is False
    until(lambda: seen == ["still"])


def test_task_may_drop_its_own_channel(any_gateway):
    channel = any_gateway.remote_exec("""
        other = channel.receive()
        del channel
        import gc; gc.collect()
        other.receive()
        other.send(1)
    """)
    other = any_gateway.newchannel()
    channel.send(other)
    with pytest.raises(execnet.TimeoutError):
        channel.receive(0.2)
    other.send(None)
    channel.waitclose(20)


def test_error_that_nobody_fetched_is_warned_of(any_gateway, capfd, until):
    channel = any_gateway.remote_exec("raise ValueError('unfetched')")
    until(channel.isclosed)
    del channel
    gc.collect()
    err = capfd.readouterr().err
    assert "[%d] Warning: unhandled RemoteError: " % os.getpid() in err and "unfetched" in err


def test_interpreter_end_is_silent(run):
    result = run("""if 1:
        import execnet
        gateway = execnet.makegateway()
        channels = [gateway.remote_exec("channel.receive()") for _ in range(3)]
        failed = gateway.remote_exec("1/0")
        other = gateway.newchannel()
        other.setcallback(print)
        channels[0].setcallback(lambda item: None, endmarker=3)
        try:
            failed.receive()
        except failed.RemoteError:
            print("end")
    """)
    assert (result.out, result.err, result.status) == ("end\n", "", 0)
