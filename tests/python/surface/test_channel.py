"""Channel, without callbacks."""

import os
import threading
import time

import execnet
import pytest
from execnet.gateway_base import Channel, DumpError


@pytest.fixture
def echo(any_gateway):
    """Sends back what it gets."""
    return any_gateway.remote_exec("for item in channel: channel.send(item)")


def test_ids_and_repr(gateway):
    first = gateway.newchannel()
    second = gateway.newchannel()
    assert isinstance(first, Channel)
    assert first.id % 2 == 1 and second.id == first.id + 2
    assert repr(first) == "<Channel id=%d open>" % first.id
    assert first.gateway is gateway
    first.close()
    assert repr(first) == "<Channel id=%d closed>" % first.id


@pytest.mark.better("ids begin at 1, 3 when the package is not on the path")
def test_first_id_is_1(group):
    gateway = group.makegateway("popen//python=python3")
    assert gateway.newchannel().id == 1


@pytest.mark.parametrize("item", [
    None, True, False, 0, -1, 2**31, -2**31, 2**63, -2**63, 2**2000, 0.5, -0.0, float("inf"), 1j, "", "text \u20ac \0",
    b"", b"\0\xff", [], [1, [2]], (), (1,), {}, {"a": {1: (2,)}}, set(), {1, 2}, frozenset([1]), "x" * 1000000,
], ids=lambda item: repr(item)[:20])
def test_items_come_back(echo, item):
    if item == -2**63 and "1.9" in execnet.__version__:
        pytest.skip("struct.error")
    echo.send(item)
    back = echo.receive(20)
    assert back == item and type(back) is type(item)


def test_nan_comes_back(echo):
    echo.send(float("nan"))
    assert repr(echo.receive()) == "nan"


@pytest.mark.parametrize("item", [object(), range(3), [1, (object(),)], lambda: 3,
                                  type("Int", (int,), {})(3), type("Text", (str,), {})("x"), {1: {2: iter(())}}])
def test_what_cannot_travel(echo, item):
    with pytest.raises(DumpError, match="can't serialize"):
        echo.send(item)
    echo.send(1)
    assert echo.receive() == 1


@pytest.mark.better("UnicodeEncodeError")
def test_lone_surrogates_cannot_travel(echo):
    with pytest.raises(DumpError):
        echo.send("\ud800")


def test_channels_travel_and_keep_their_identity(any_gateway):
    channel = any_gateway.remote_exec("""
        other = channel.receive()
        channel.send(other)
        channel.send([channel, {"other": (other,)}])
        channel.receive()
    """)
    other = any_gateway.newchannel()
    channel.send(other)
    assert channel.receive() is other
    back = channel.receive()
    assert back[0] is channel and back[1]["other"][0] is other


def test_receive_with_timeout(echo):
    begin = time.monotonic()
    with pytest.raises(execnet.TimeoutError):
        echo.receive(timeout=0.05)
    assert time.monotonic() - begin < 5
    with pytest.raises(echo.TimeoutError):
        echo.receive(timeout=0)
    echo.send(1)
    assert echo.receive(timeout=10) == 1
    echo.send(2)
    while True:
        try:
            assert echo.receive(0) == 2
            break
        except execnet.TimeoutError:
            pass


def test_negative_timeout(echo):
    with pytest.raises(ValueError):
        echo.receive(timeout=-1)


def test_end_of_a_channel(any_gateway):
    channel = any_gateway.remote_exec("channel.send(1); channel.send(2)")
    channel.waitclose(10)
    assert channel.isclosed()
    assert channel.receive() == 1 and channel.receive() == 2
    for _ in range(3):
        with pytest.raises(EOFError):
            channel.receive()
        with pytest.raises(EOFError):
            channel.receive(timeout=1)
    channel.waitclose()
    with pytest.raises(OSError, match=repr(channel)):
        channel.send(1)


def test_error_is_raised_once(any_gateway):
    channel = any_gateway.remote_exec("channel.send(1); raise ValueError(42)")
    assert channel.receive() == 1
    with pytest.raises(execnet.RemoteError, match="ValueError: 42"):
        channel.receive()
    for _ in range(2):
        with pytest.raises(EOFError):
            channel.receive()
    channel.waitclose()


def test_waitclose_raises_the_error_once(any_gateway):
    channel = any_gateway.remote_exec("channel.send(1); raise ValueError(42)")
    with pytest.raises(channel.RemoteError):
        channel.waitclose(10)
    channel.waitclose()
    assert channel.receive() == 1
    with pytest.raises(EOFError):
        channel.receive()


def test_waitclose_with_timeout(echo):
    with pytest.raises(execnet.TimeoutError):
        echo.waitclose(timeout=0.05)
    echo.close()
    echo.waitclose(timeout=10)


def test_getremoteerror(any_gateway):
    channel = any_gateway.remote_exec("raise ValueError(42)")
    good = any_gateway.remote_exec("")
    good.waitclose()
    assert good._getremoteerror() is None
    with pytest.raises(EOFError):
        any_gateway.remote_exec("").receive()
    deadline = time.monotonic() + 10
    while not channel.isclosed() and time.monotonic() < deadline:
        time.sleep(0.01)
    error = channel._getremoteerror()
    assert isinstance(error, execnet.RemoteError) and "ValueError: 42" in str(error)
    assert channel._getremoteerror() is None


def test_all_receivers_wake_up_at_the_end(echo):
    ends = []

    def wait():
        try:
            echo.receive()
        except EOFError as error:
            ends.append(error)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    echo.close()
    for thread in threads:
        thread.join(10)
    assert len(ends) == 4


def test_several_receivers_share_the_items(any_gateway):
    channel = any_gateway.remote_exec("for i in range(300): channel.send(i)")
    seen = []

    def take():
        for item in channel:
            seen.append(item)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(seen) == list(range(300))


def test_iteration(any_gateway):
    channel = any_gateway.remote_exec("for i in range(5): channel.send(i)")
    assert next(channel) == 0
    assert channel.next() == 1
    assert list(channel) == [2, 3, 4]
    with pytest.raises(StopIteration):
        next(channel)


def test_iteration_raises_remote_errors(any_gateway):
    channel = any_gateway.remote_exec("channel.send(1); 1 / 0")
    with pytest.raises(execnet.RemoteError, match="ZeroDivisionError"):
        list(channel)


def test_close_with_an_error(any_gateway):
    channel = any_gateway.remote_exec("""
        extra = channel.receive()
        try:
            extra.receive()
        except extra.RemoteError as error:
            channel.send(str(error))
        try:
            extra.receive()
        except EOFError:
            channel.send("end")
    """)
    extra = any_gateway.newchannel()
    channel.send(extra)
    extra.close("some error")
    assert channel.receive() == "some error"
    assert channel.receive() == "end"


def test_close_is_idempotent(any_gateway):
    channel = any_gateway.newchannel()
    assert not channel.isclosed()
    for _ in range(3):
        channel.close()
        channel.close("text")
        assert channel.isclosed()
    with pytest.raises(EOFError):
        channel.receive()
    with pytest.raises(OSError):
        channel.send(1)
    channel.waitclose()


def test_task_cannot_close_its_own_channel(any_gateway):
    channel = any_gateway.remote_exec("""
        channel.gateway.newchannel().close()
        channel.close()
    """)
    with pytest.raises(execnet.RemoteError, match="explicit"):
        channel.receive()


def test_close_discards_errors_of_the_task(capfd, any_gateway):
    channel = any_gateway.remote_exec("channel.receive()\nraise ValueError")
    channel.close()
    channel.waitclose()
    assert any_gateway.remote_exec("channel.send(1)").receive() == 1
    assert capfd.readouterr().err == ""


def test_lost_connection(any_gateway):
    channel = any_gateway.remote_exec("import os; channel.send(os.getpid()); channel.send(2); channel.receive()")
    other = any_gateway.newchannel()
    pid = channel.receive()
    time.sleep(0.05)
    os.kill(pid, 9)
    with pytest.raises(EOFError):
        other.receive(10)
    assert channel.receive() == 2
    errors = []
    for call in (channel.receive, channel.receive, channel.waitclose, channel.waitclose, other.waitclose):
        with pytest.raises(EOFError) as info:
            call()
        errors.append(info.value)
    assert len(set(map(str, errors))) == 1
    assert isinstance(channel._getremoteerror(), EOFError)
    assert isinstance(channel._getremoteerror(), EOFError)
    assert not channel.isclosed()
    with pytest.raises(OSError):
        channel.send(1)


def test_channels_after_the_local_exit(any_gateway):
    channel = any_gateway.remote_exec("channel.send(1); channel.receive()")
    assert channel.receive() == 1
    any_gateway.exit()
    with pytest.raises(EOFError):
        channel.receive(20)
    with pytest.raises(OSError):
        channel.send(1)


@pytest.mark.better("1.9")
def test_reconfigure(any_gateway):
    channel = any_gateway.remote_exec("""
        channel.receive()
        channel.send("text")
        channel.send("text")
        channel.send(repr(channel.receive()))
    """)
    channel.reconfigure(py3str_as_py2str=True)
    channel.send(None)
    assert channel.receive() == b"text"
    channel.send("abc")
    channel.reconfigure(py3str_as_py2str=False)
    channel.receive()
    assert channel.receive() == "b'abc'"


@pytest.mark.better("1.9")
def test_gateway_reconfigure(any_gateway):
    any_gateway.reconfigure(py3str_as_py2str=True)
    channel = any_gateway.remote_exec("channel.send('a'); channel.send(repr(channel.receive()))")
    channel.send("b")
    assert channel.receive() == b"a"
    assert channel.receive() == b"b'b'"


def test_senders_do_not_mix(echo):
    def send(name):
        for number in range(200):
            echo.send((name, number, "x" * (number * 13)))

    threads = [threading.Thread(target=send, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    seen = [echo.receive(20) for _ in range(600)]
    for thread in threads:
        thread.join()
    for name in "abc":
        assert [item[1] for item in seen if item[0] == name] == list(range(200))


def test_both_sides_write_at_the_same_time(any_gateway):
    channel = any_gateway.remote_exec("""
        for i in range(40):
            channel.send("x" * 300000)
        channel.send([len(channel.receive()) for i in range(40)])
    """)
    for _ in range(40):
        channel.send("y" * 300000)
    for _ in range(40):
        assert len(channel.receive(60)) == 300000
    assert channel.receive(60) == [300000] * 40


def test_order_over_several_channels(any_gateway):
    channel = any_gateway.remote_exec("""
        a, b = channel.receive()
        seen = []
        a.setcallback(lambda item: seen.append(("a", item)))
        b.setcallback(lambda item: seen.append(("b", item)))
        channel.send(None)
        channel.receive()
        channel.send(seen)
    """)
    a, b = any_gateway.newchannel(), any_gateway.newchannel()
    channel.send((a, b))
    channel.receive()
    expected = []
    for number in range(50):
        for name, target in (("a", a), ("b", b)):
            target.send(number)
            expected.append((name, number))
    time.sleep(0.2)
    channel.send(None)
    assert channel.receive() == expected


def test_ctrl_c_ends_waiting(run):
    result = run("""if 1:
        import execnet, os, signal, threading, time
        channel = execnet.makegateway().remote_exec("channel.receive()")
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            channel.receive()
        except KeyboardInterrupt:
            print("interrupted")
        try:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            channel.waitclose()
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert result.out == "interrupted\ninterrupted\n"
    assert result.status == 0


@pytest.mark.better("not there")
def test_try_send(echo):
    assert echo.try_send(1) is True
    assert echo.receive() == 1


def test_subclass_attributes(gateway):
    channel = gateway.newchannel()
    assert channel._INTERNALWAKEUP > 0
    channel.note = 3
    assert channel.note == 3
    assert len({channel, channel}) == 1
