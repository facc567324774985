"""gangway._gangway: gateways and channels for Python, against both agents."""
import gc
import os
import sys
import threading
import time
import weakref

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from binding import (  # noqa: E402, F401
    SPECS, DumpError, RemoteError, TimeoutError, _gangway, errors, gateway, group, spec)

ECHO = "for item in channel: channel.send(item)"

ITEMS = [
    None, True, False, 0, 1, -1, 2**31, -2**31 - 1, 2**63 - 1, -2**63, 2**63, -2**63 - 1, 2**2000, -2**2000,
    0.0, 1.5, float("inf"), 1e-310, 2 - 3j, "", "text", "\0", "ü", "\u20ac" * 1000, "\U0001f600",
    b"", b"bytes", bytes(range(256)), "x" * 300_000, b"y" * 3_000_000,
    [], [1, [2, [3]]], (), (1,), (1, (2, 3)), {}, {"a": 1, 2: [3], (4, 5): None, None: b"x"},
    set(), {1, "a"}, frozenset({1, (2, 3)}), {"deep": [{"list": [({"set"}, frozenset())]}]},
    [{"key": number} for number in range(1000)], list(range(100_000)),
]


@pytest.mark.parametrize("at", range(len(ITEMS)))
def test_items_come_back_as_they_were(gateway, at):
    channel = gateway.remote_exec(ECHO)
    channel.send(ITEMS[at])
    back = channel.receive(10)
    assert back == ITEMS[at] and type(back) is type(ITEMS[at])


def test_what_is_no_item_is_refused_and_the_channel_unharmed(gateway):
    class Text(str):
        pass

    channel = gateway.remote_exec(ECHO)
    for wrong in (object(), Text("x"), range(3), len, [1, [object()]], {"a": {1: Text()}}, "\ud800"):
        with pytest.raises(DumpError, match="can't serialize"):
            channel.send(wrong)
        with pytest.raises(DumpError, match="can't serialize"):
            channel.try_send(wrong)
    circle = []
    circle.append(circle)
    with pytest.raises(DumpError):
        channel.send(circle)
    channel.send("fine")
    assert channel.receive(10) == "fine"


# --- channels

def test_attributes_of_a_channel(gateway):
    first, second = gateway.newchannel(), gateway.newchannel()
    assert (first.id, second.id) == (1, 3)
    assert repr(first) == "<Channel id=1 open>"
    first.close()
    first.close()
    assert repr(first) == "<Channel id=1 closed>" and first.isclosed() and not second.isclosed()
    with pytest.raises(AttributeError):
        first.id = 7
    first.note = "any attribute"
    assert first.__dict__ == {"note": "any attribute"}
    assert weakref.ref(first)() is first
    with pytest.raises(TypeError):
        _gangway.Channel()


def test_channels_are_of_the_class_and_have_the_owner_that_were_given(gateway):
    class Channel(_gangway.Channel):
        extra = "extra"

    class Owner:
        pass

    owner = Owner()
    gateway.set_channel_class(Channel)
    gateway.set_owner(owner)
    channel = gateway.remote_exec(ECHO)
    assert type(channel) is Channel and channel.extra == "extra" and channel.gateway is owner
    channel.gateway = "settable"
    assert channel.gateway == "settable"
    channel.send({"channel": channel})
    assert channel.receive(10)["channel"] is channel
    with pytest.raises(TypeError):
        gateway.set_channel_class(int)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_a_channel_that_comes_back_is_the_same_object(gateway):
    channel = gateway.remote_exec("other = channel.receive()\nchannel.send([other, other])\nother.send(1)\n" + ECHO)
    other = gateway.newchannel()
    channel.send(other)
    back = channel.receive(10)
    assert back[0] is other and back[1] is other
    assert other.receive(10) == 1
    assert channel in gateway.live_channels() and other in gateway.live_channels()


def test_a_channel_of_another_gateway_is_refused(group, gateway, spec):
    other = group.start(spec).newchannel()
    with pytest.raises(DumpError, match="another gateway"):
        gateway.newchannel().send(other)


def test_a_channel_that_is_made_there_arrives_here(gateway):
    channel = gateway.remote_exec("new = channel.gateway.newchannel()\nchannel.send(new)\nnew.send('hello')")
    new = channel.receive(10)
    assert new.id % 2 == 0 and new.receive(10) == "hello"


def test_receive_waits_not_longer_than_it_is_told(gateway):
    channel = gateway.remote_exec(ECHO)
    with pytest.raises(TimeoutError):
        channel.receive(0)
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="0.3"):
        channel.receive(timeout=0.3)
    assert 0.29 < time.monotonic() - begin < 5
    with pytest.raises(TimeoutError):
        channel.waitclose(0.05)
    with pytest.raises(ValueError):
        channel.receive(-1)
    with pytest.raises(TypeError):
        channel.receive(1, 2)
    with pytest.raises(TypeError):
        channel.receive(wrong=1)
    channel.send(1)
    assert channel.receive(timeout=10) == 1


def test_the_end_of_a_task(gateway):
    channel = gateway.remote_exec("channel.send(1)\nchannel.send(2)")
    channel.waitclose(10)
    assert [item for item in channel] == [1, 2]
    for _ in range(2):
        with pytest.raises(EOFError):
            channel.receive()
    with pytest.raises(StopIteration):
        channel.next()
    with pytest.raises(OSError, match="<Channel id=1 closed>"):
        channel.send(1)
    with pytest.raises(OSError):
        channel.try_send(1)


def test_an_error_is_raised_once(gateway):
    channel = gateway.remote_exec("channel.send(1)\nchannel.receive()\n1/0")
    assert next(channel) == 1
    channel.send(None)
    with pytest.raises(RemoteError) as caught:
        channel.receive(10)
    assert caught.value.formatted.startswith("Traceback (most recent call last):")
    assert caught.value.formatted.rstrip().endswith("ZeroDivisionError: division by zero")
    with pytest.raises(EOFError):
        channel.receive()
    channel.waitclose(1)
    assert channel._getremoteerror() is None


def test_getremoteerror_takes_the_error(gateway):
    channel = gateway.remote_exec("1/0")
    deadline = time.monotonic() + 10
    while not channel.isclosed() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert isinstance(channel._getremoteerror(), RemoteError)
    assert channel._getremoteerror() is None


def test_close_with_an_error_reaches_the_task(gateway):
    report = gateway.newchannel()
    channel = gateway.remote_exec("report = channel.receive()\ntry: channel.receive()\n"
                                  "except channel.RemoteError as error: report.send(error.formatted)")
    channel.send(report)
    channel.close("what went wrong")
    assert report.receive(10) == "what went wrong"


def test_an_error_that_nobody_fetched_is_said(gateway, capsys):
    channel = gateway.remote_exec("raise ValueError('unseen')")
    deadline = time.monotonic() + 10
    while not channel.isclosed() and time.monotonic() < deadline:
        time.sleep(0.01)
    del channel
    assert "ValueError: unseen" in capsys.readouterr().err


def test_dropping_the_object_closes_the_channel(gateway):
    report = gateway.newchannel()
    channel = gateway.remote_exec("report = channel.receive()\nfor item in channel: pass\nreport.send('ended')")
    channel.send(report)
    del channel
    assert report.receive(10) == "ended"


def test_try_send_says_when_it_would_wait(group, spec):
    channel = group.start(spec + "//window=4096").remote_exec("import time\ntime.sleep(0.5)\n" + ECHO)
    sent = 0
    while channel.try_send(b"x" * 1000):
        sent += 1
        assert sent < 10
    assert sent > 0
    for _ in range(sent):
        assert channel.receive(10) == b"x" * 1000


def test_a_send_that_waits_for_the_window(group, spec):
    channel = group.start(spec + "//window=4096").remote_exec(
        "import time\ntime.sleep(0.3)\nchannel.send([channel.receive() for _ in range(25)])")
    items = [1, "text", b"bytes" * 500, [1, 2], "\u20ac" * 2000] * 5
    for item in items:
        channel.send(item)
    assert channel.receive(10) == items


def test_reconfigure(gateway):
    channel = gateway.remote_exec(ECHO)
    channel.reconfigure(py3str_as_py2str=True)
    channel.send("text")
    assert channel.receive(10) == b"text"
    gateway.reconfigure(False, True)
    later = gateway.remote_exec("channel.send('text')")
    assert later.receive(10) == b"text"


def test_interrupt(gateway):
    channel = gateway.remote_exec("import time\nchannel.send(1)\ntime.sleep(100)")
    channel.receive(10)
    assert channel.interrupt(10) is True
    with pytest.raises(RemoteError, match="keyboard-interrupted"):
        channel.waitclose(10)
    stubborn = gateway.remote_exec("import time\nchannel.send(1)\n"
                                   "while True:\n try: channel.receive()\n except KeyboardInterrupt: pass")
    stubborn.receive(10)
    time.sleep(0.1)  # it is in the `try` by then
    assert stubborn.interrupt(timeout=0.2) is False
    stubborn.close()


# --- callbacks

def test_a_callback_gets_what_is_queued_and_what_follows_and_the_end(gateway):
    channel = gateway.remote_exec("channel.send(1)\nchannel.receive()\nchannel.send(2)\nchannel.send([channel])")
    deadline = time.monotonic() + 10
    got, threads = [], []

    def callback(item):
        got.append(item)
        threads.append(threading.get_ident())

    assert channel.try_send(0) in (True, False)
    end = object()
    channel.setcallback(callback, end)
    channel.waitclose(10)
    assert got == [1, 2, [channel], end] and got[-1] is end and time.monotonic() < deadline
    assert len(set(threads[1:])) == 1 and threads[-1] != threading.get_ident()
    for call in (channel.receive, lambda: channel.setcallback(print)):
        with pytest.raises(OSError, match="callback"):
            call()
    with pytest.raises(TypeError):
        gateway.newchannel().setcallback(1)


def test_a_callback_stays_when_the_channel_object_is_gone(gateway):
    channel = gateway.remote_exec("import time\ntime.sleep(0.2)\nchannel.send(1)")
    got, ended = [], threading.Event()
    channel.setcallback(lambda item: ended.set() if item is None else got.append(item), endmarker=None)
    del channel
    assert ended.wait(10) and got == [1]


def test_a_callback_that_raises_closes_the_channel_and_the_next_one_is_called(gateway):
    channel = gateway.remote_exec("channel.receive()\nchannel.send(1)\nchannel.receive()")
    channel.setcallback(lambda item: 1 / 0)
    channel.send(None)
    with pytest.raises(RemoteError, match="ZeroDivisionError"):
        channel.waitclose(10)
    other, got = gateway.remote_exec(ECHO), []
    done = threading.Event()
    other.setcallback(lambda item: (got.append(item), done.set()))
    other.send("goes on")
    assert done.wait(10) and got == ["goes on"]


def test_what_a_callback_raises_for_queued_items_is_the_callers(gateway):
    channel = gateway.remote_exec("channel.send(1)")
    channel.waitclose(10)
    with pytest.raises(ZeroDivisionError):
        channel.setcallback(lambda item: item / 0)
    assert channel._getremoteerror() is None


def test_sending_in_a_callback(gateway):
    channel, got = gateway.remote_exec(ECHO), []
    done = threading.Event()

    def callback(item):
        got.append(item)
        done.set() if item == 200 else channel.send(item + 1)

    channel.setcallback(callback)
    channel.send(0)
    assert done.wait(10) and got == list(range(201))


# --- gateways

def test_what_a_gateway_says_of_itself(gateway, spec):
    info = gateway.info()
    assert info["agent"] == ("portable" if "python=" in spec else "native")
    assert info["python"].startswith("3.") and info["pid"] > 0
    assert repr(gateway) == "<Gateway id='gw0' receive-live, thread model, 0 active channels>"
    channel = gateway.remote_exec("import time\nchannel.send(1)\ntime.sleep(100)")
    channel.receive(10)
    status = gateway.remote_status(10)
    assert status["numexecuting"] == 1 and status["numchannels"] == 1 and status["pid"] == info["pid"]
    assert "<remote exec>" in gateway.stacks(10)
    assert gateway.unresponsive() is None and gateway.hasreceiver()
    channel.interrupt(10)
    channel._getremoteerror()


def test_functions_with_keyword_arguments(gateway):
    source = "def f(channel, a, b=None):\n    channel.send((a, b))\n"
    channel = gateway.remote_exec(source, "file.py", "f", {"a": {1, 2}, "b": None})
    assert channel.receive(10) == ({1, 2}, None)
    failing = gateway.remote_exec(source + "\n    1/0", file="file.py", function="f", kwargs={"a": 1})
    with pytest.raises(RemoteError, match='File "file.py", line 4'):
        failing.waitclose(10)
    failing.receive(1)
    with pytest.raises(TypeError):
        gateway.remote_exec(source, kwargs={"a": 1})
    with pytest.raises(DumpError, match="can't serialize"):
        gateway.remote_exec(source, None, "f", {"a": object()})


def test_a_killed_gateway(group, spec):
    gateway = group.start(spec)
    channel = gateway.remote_exec("channel.send(1)\nchannel.receive()")
    assert channel.receive(10) == 1
    gateway.kill()
    for _ in range(2):
        with pytest.raises(EOFError, match="SIGKILL"):
            channel.receive(10)
        with pytest.raises(EOFError):
            channel.waitclose(10)
    with pytest.raises(OSError, match="SIGKILL"):
        channel.send(1)
    assert isinstance(channel._getremoteerror(), EOFError)
    assert not channel.isclosed()
    assert gateway.join(10) is True and not gateway.hasreceiver()
    death = gateway.death()
    assert death["signal"] == 9 and death["killed_here"] is True and "by this program" in death["summary"]
    for call in (gateway.newchannel, lambda: gateway.remote_exec("1"), lambda: gateway.remote_status(1)):
        with pytest.raises(OSError):
            call()


def test_exit_and_join(gateway):
    assert gateway.join(0.05) is False
    channel = gateway.newchannel()
    gateway.exit()
    gateway.exit()
    assert gateway.join() is True
    with pytest.raises(EOFError):
        channel.receive()
    assert gateway.death()["exit_status"] == 0


def test_gateways_that_do_not_start(group):
    with pytest.raises(FileNotFoundError):
        group.start("popen//python=/nowhere/python")
    with pytest.raises(OSError, match="gw|exit"):
        group.start("popen//python=/bin/false")
    with pytest.raises(ValueError):
        group.start("nonsense=1")
    group.start("popen//id=twice")
    with pytest.raises(ValueError, match="twice"):
        group.start("popen//id=twice")


def test_a_gateway_knows_the_object_of_its_spec(group):
    what = object()
    assert group.start("popen", what).spec is what and group.start("popen").spec is None


def test_output_is_handed_over_by_lines(group):
    spec = SPECS["portable"]
    gateway = group.start(spec + "//stdout=callback")
    got, done = [], threading.Event()

    def output(*line):
        got.append(line)
        if "last" in line[-1]:
            done.set()

    gateway.set_output(output)
    channel = gateway.remote_exec("print('first \u20ac')\nprint('last')")
    assert done.wait(10)
    assert "".join(text for _, _, text in got) == "first \u20ac\nlast\n"
    assert {(id, stream) for id, stream, _ in got} == {(channel.id, "stdout")}
    gateway.set_output(None)
    with pytest.raises(ValueError):
        group.start(spec).set_output(output)


# --- threads, memory

def test_eight_threads_hammer_one_gateway(gateway):
    echo, problems = gateway.remote_exec(ECHO), []
    lock, total = threading.Lock(), [0]

    def hammer(number):
        try:
            own = gateway.remote_exec(ECHO)
            for round in range(150):
                item = (number, round, "x" * (round * 97 % 5000), [round] * 10)
                own.send(item)
                assert own.receive(30) == item
                echo.send(1)
                with lock:
                    total[0] += echo.receive(30)
                if round % 50 == 0:
                    gateway.newchannel().close()
                    gateway.remote_status(30)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems and total[0] == 8 * 150


def test_all_receivers_wake_up_at_the_end(gateway):
    channel, ended = gateway.remote_exec("channel.receive()"), []

    def receive():
        try:
            channel.receive()
        except EOFError:
            ended.append(1)

    threads = [threading.Thread(target=receive) for _ in range(4)]
    for thread in threads:
        thread.start()
    channel.send(None)
    for thread in threads:
        thread.join(10)
    assert len(ended) == 4


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nothing_is_left_behind(gateway):
    item = {"list": [1, 2.5, "text" * 100], "bytes": b"x" * 1000, ("tuple",): {1, 2}}

    def round():
        channel = gateway.remote_exec(ECHO)
        channel.send(item)
        assert channel.receive(10) == item
        with pytest.raises(DumpError):
            channel.send([item, object()])
        channel.send(channel)
        assert channel.receive(10) is channel
        other = gateway.newchannel()
        other.setcallback(lambda item, other=None: None, endmarker=object())
        other.close()
        with pytest.raises(TimeoutError):
            channel.receive(0)
        channel.close()
        _gangway.loads(_gangway.dumps(item))

    for _ in range(30):
        round()
    gc.collect()
    counts = [sys.getrefcount(thing) for thing in (item, None, DumpError, TimeoutError, _gangway.Channel)]
    objects, memory = len(gc.get_objects()), resident()
    for _ in range(300):
        round()
    gc.collect()
    later = [sys.getrefcount(thing) for thing in (item, None, DumpError, TimeoutError, _gangway.Channel)]
    assert all(abs(a - b) < 60 for a, b in zip(later, counts)), (counts, later)
    assert len(gc.get_objects()) - objects < 60
    if "asan" not in os.environ.get("LD_PRELOAD", ""):  # a sanitizer keeps what was freed
        assert resident() - memory < 4 << 20
    assert gateway.live_channels() == []
