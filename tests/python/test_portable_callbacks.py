"""Channel.setcallback() on the portable agent."""
import os
import struct
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import (  # noqa: E402
    CLOSE, CLOSE_ERROR, CREDIT, LAST_MESSAGE, OPEN, PICKLE, TERMINATE, Ended, RemoteError, frame, item_frames)
from portable import agent, pytest_generate_tests, python, start, wait_until  # noqa: E402, F401

# Most tests use a channel of the agent's: `c` there, `number` here.
NEW = "c = channel.gateway.newchannel()\nchannel.send(c)\n"


def task(agent, source):
    main = agent.remote_exec(NEW + source)
    return main, agent.receive(main).number


@pytest.mark.core
@pytest.mark.parametrize("local", [False, True])
def test_items_and_endmarker_come_in_order(python, local):
    with start(python, local) as agent:
        main, number = task(agent, "c.setcallback(channel.send, endmarker=None)\nchannel.receive()")
        for item in (1, "two", [3], b"4" * 100000):
            agent.send(number, item)
        agent.write(frame(CLOSE, number))
        assert [agent.receive(main) for _ in range(5)] == [1, "two", [3], b"4" * 100000, None]
        agent.ping()
        assert not [entry for entry in agent.frames if entry[1] == main]


@pytest.mark.core
def test_queued_items_are_handed_over_by_the_caller(agent):
    main, number = task(agent,
        "import _thread\n"
        "channel.receive()\n"
        "got = []\n"
        "c.setcallback(lambda item: got.append((item, _thread.get_ident())))\n"
        "channel.send([item for item, ident in got])\n"
        "channel.send(all(ident == _thread.get_ident() for _, ident in got))\n"
        "channel.receive()\n"
        "channel.send([got[-1][0], got[-1][1] == _thread.get_ident()])")
    for i in range(3):
        agent.send(number, i)
    agent.send(main, 0)
    assert agent.receive(main) == [0, 1, 2]
    assert agent.receive(main) is True
    agent.send(number, 3)
    agent.ping()
    time.sleep(0.05)
    agent.send(main, 0)
    assert agent.receive(main) == [3, False]


def test_callbacks_of_several_channels_keep_the_order_of_arrival(agent):
    main = agent.remote_exec(
        "got = []\n"
        "cs = [channel.gateway.newchannel() for _ in range(3)]\n"
        "for c in cs: c.setcallback(lambda item: got.append(item))\n"
        "channel.send(cs)\n"
        "channel.receive()\n"
        "cs[0].waitclose()\n"
        "channel.send(got)", )
    numbers = [reference.number for reference in agent.receive(main)]
    data = b""
    for i in range(300):
        data += item_frames(numbers[i % 7 % 3], i)
    agent.write(data + frame(CLOSE, numbers[0]))
    agent.send(main, 0)
    # The end of the first channel is told behind everything that came before.
    assert agent.receive(main) == list(range(300))


@pytest.mark.core
def test_blocking_callback_delays_only_callbacks(agent):
    main, number = task(agent,
        "import _thread\n"
        "lock = _thread.allocate_lock(); lock.acquire()\n"
        "c.setcallback(lambda item: lock.acquire())\n"
        "channel.send('ready')\n"
        "while channel.receive(): channel.send('alive')\n"
        "lock.release()\n")
    assert agent.receive(main) == "ready"
    agent.send(number, 0)
    for _ in range(3):
        agent.send(main, 1)
        assert agent.receive(main) == "alive"
    assert agent.ping() < 5
    assert agent.run("channel.send(1)") == [1]
    agent.send(main, 0)
    agent.waitclose(main)


ENDS = {
    "closed by the peer": ("", lambda agent, n: agent.write(frame(CLOSE, n)), "None"),
    "error of the peer": ("", lambda agent, n: agent.write(frame(CLOSE_ERROR, n, b"broken")), "RemoteError: broken"),
    "last message": ("", lambda agent, n: agent.write(frame(LAST_MESSAGE, n)), "None"),
    "closed here": ("c.close()\n", lambda agent, n: None, "None"),
}


@pytest.mark.core
@pytest.mark.parametrize("end", sorted(ENDS))
def test_endmarker_comes_once_however_the_channel_ends(agent, end):
    source, act, error = ENDS[end]
    main, number = task(agent,
        "class End: pass\n"
        "end = End()\n"
        "got = []\n"
        "def callback(item):\n"
        "    got.append(item)\n"
        "    if item is end: channel.send(repr(c._getremoteerror()))\n"
        "c.setcallback(callback, endmarker=end)\n"
        "channel.receive()\n" + source +
        "channel.receive()\n"
        "c.close()\n"
        "channel.send([got[:-1], got[-1] is end, got.count(end)])")
    agent.send(number, 1)
    agent.send(main, 0)
    act(agent, number)
    assert agent.receive(main) == error
    agent.send(main, 0)
    assert agent.receive(main) == [[1], True, 1]


@pytest.mark.parametrize("end", ["terminate", "half_close"])
def test_endmarker_comes_when_the_connection_is_gone(python, end, tmp_path):
    result = tmp_path / "result"
    with start(python) as agent:
        main, number = task(agent,
            "import time\n"
            "def callback(item):\n"
            "    time.sleep(0.1)\n"
            "    with open(%r, 'a') as file: file.write('%%s %%s\\n' %% (item, type(c._getremoteerror()).__name__))\n"
            "c.setcallback(callback, endmarker='end')\nchannel.send(0)" % str(result))
        agent.receive(main)
        for i in range(3):
            agent.send(number, i)
        if end == "terminate":
            agent.write(frame(TERMINATE))
        else:
            agent.half_close()
        assert agent.finish() == 0
    assert [line.split()[0] for line in result.read_text().splitlines()] == ["0", "1", "2", "end"]
    assert result.read_text().splitlines()[-1] == "end EOFError"


def test_endmarker_of_a_task_that_ends(agent):
    out = agent.remote_exec(NEW + "import _gangway\n_gangway.kept = c\nchannel.receive()")
    number = agent.receive(out).number
    agent.remote_exec("import _gangway\nchannel.setcallback(lambda item: _gangway.kept.send(item), endmarker='over')")
    assert agent.receive(number) == "over"


def test_callback_on_a_channel_that_has_ended(agent):
    main, number = task(agent,
        "channel.receive()\n"
        "got = []\n"
        "c.setcallback(got.append, endmarker='end')\n"
        "channel.send(got)\n"
        "c.waitclose()")
    agent.write(item_frames(number, 1) + item_frames(number, 2) + frame(CLOSE_ERROR, number, b"broken"))
    agent.send(main, 0)
    assert agent.receive(main) == [1, 2, "end"]
    with pytest.raises(RemoteError, match="RemoteError: broken"):
        agent.receive(main)


@pytest.mark.core
def test_callback_that_raises_closes_the_channel_on_both_sides(agent):
    main, number = task(agent,
        "got = []\n"
        "def callback(item):\n"
        "    got.append(item)\n"
        "    if item != 'end': raise ValueError('not today')\n"
        "c.setcallback(callback, endmarker='end')\n"
        "channel.send('ready')\n"
        "try: c.waitclose()\n"
        "except c.RemoteError as e: channel.send(str(e))\n"
        "channel.send([got, c.isclosed()])\n"
        "d = channel.gateway.newchannel(); d.setcallback(channel.send); channel.send(d)\n"
        "channel.receive()")
    assert agent.receive(main) == "ready"
    agent.write(item_frames(number, 1) + item_frames(number, 2))
    with pytest.raises(RemoteError, match="(?s)Traceback.*callback.*ValueError: not today"):
        agent.receive(number)
    text = agent.receive(main)
    assert "not today" in text and "_gangway" not in text
    assert agent.receive(main) == [[1, "end"], True]
    other = agent.receive(main).number
    agent.send(other, "next")
    assert agent.receive(main) == "next"


def test_callback_that_raises_over_queued_items_raises_there(agent):
    main, number = task(agent,
        "channel.receive()\n"
        "def callback(item): raise ValueError(item)\n"
        "try: c.setcallback(callback)\n"
        "except ValueError as e: channel.send(e.args[0])\n"
        "channel.send([c.receive(), c.isclosed()])")
    agent.write(item_frames(number, 1) + item_frames(number, 2))
    agent.send(main, 0)
    assert agent.receive(main) == 1
    assert agent.receive(main) == [2, False]


@pytest.mark.core
def test_receive_and_second_callback_are_errors(agent):
    main, number = task(agent,
        "c.setcallback(lambda item: None)\n"
        "for f in (c.receive, lambda: c.receive(0), lambda: next(c), lambda: c.setcallback(print)):\n"
        "    try: f()\n"
        "    except OSError as e: channel.send(str(e))\n")
    assert ["callback" in agent.receive(main) for _ in range(4)] == [True] * 4


def test_callback_has_to_be_callable(agent):
    with pytest.raises(RemoteError, match="TypeError: 1 is not callable"):
        agent.receive(agent.remote_exec("channel.setcallback(1)"))


@pytest.mark.parametrize("timeout", ["None", "30"])
def test_receiver_that_waits_has_its_error_at_once(agent, timeout):
    main, number = task(agent,
        "import _thread\n"
        "def wait():\n"
        "    try: c.receive(%s)\n"
        "    except OSError as e: channel.send(str(e))\n"
        "_thread.start_new_thread(wait, ())\n"
        "channel.receive()\n"
        "c.setcallback(channel.send)\n"
        "channel.receive()" % timeout)
    agent.ping()
    time.sleep(0.1)
    agent.send(main, 0)
    assert "callback" in agent.receive(main)
    agent.send(number, "x")
    assert agent.receive(main) == "x"


@pytest.mark.core
def test_registration_outlives_the_channel_object(python):
    with start(python) as agent:
        main, number = task(agent,
            "import gc\n"
            "c.setcallback(channel.send, endmarker='end')\n"
            "del c; gc.collect()\n"
            "channel.receive()")
        assert agent.wait_for(lambda kind, n, _: n == number and kind != OPEN) == (LAST_MESSAGE, number, b"")
        agent.send(number, "still here")
        assert agent.receive(main) == "still here"
        agent.write(frame(CLOSE, number))
        assert agent.receive(main) == "end"
        assert agent.status()["numchannels"] == 1


def test_channel_that_nobody_has_closes_when_nothing_more_can_come(agent):
    main, number = task(agent, "c.setcallback(channel.send, endmarker='end')\ndel c\nimport gc; gc.collect(); gc.collect()\nchannel.receive()")
    agent.wait_for(lambda kind, n, _: (kind, n) == (LAST_MESSAGE, number))
    agent.write(frame(LAST_MESSAGE, number))
    assert agent.receive(main) == "end"
    agent.wait_for(lambda kind, n, _: (kind, n) == (CLOSE, number))
    assert agent.status()["numchannels"] == 1


def test_error_of_a_channel_that_nobody_has_is_a_warning(agent):
    main, number = task(agent, "c.setcallback(channel.send, endmarker='end')\ndel c\nimport gc; gc.collect(); gc.collect()\nchannel.receive()")
    agent.wait_for(lambda kind, n, _: (kind, n) == (LAST_MESSAGE, number))
    agent.write(frame(CLOSE_ERROR, number, b"broken"))
    assert agent.receive(main) == "end"
    agent.send(main, 0)
    agent.terminate()
    assert agent.stderr.count(b"Warning: unhandled RemoteError: broken") == 1


def test_items_during_the_collection_of_the_channel_are_not_lost(agent):
    """The weak reference is dead already, its last act has not come yet."""
    main = agent.remote_exec(
        "import gc\n"
        "for i in range(60):\n"
        "    c = channel.gateway.newchannel()\n"
        "    c.cycle = c\n"
        "    c.setcallback(channel.send)\n"
        "    channel.send(c)\n"
        "    channel.receive()\n"
        "    del c; gc.collect()\n"
        "    channel.receive()\n"
        "channel.send('over')")
    for i in range(60):
        number = agent.receive(main).number
        agent.send(main, 0)
        agent.send(number, i)
        assert agent.receive(main) == i
        agent.send(main, 0)
    assert agent.receive(main) == "over"


@pytest.mark.core
def test_waitclose_returns_after_the_endmarker(agent):
    main, number = task(agent,
        "import time\n"
        "got = []\n"
        "def callback(item): time.sleep(0.2); got.append(item)\n"
        "c.setcallback(callback, endmarker='end')\n"
        "c.waitclose()\n"
        "channel.send(got)")
    agent.send(number, 1)
    agent.write(frame(CLOSE, number))
    assert agent.receive(main) == [1, "end"]


def test_callback_may_close_send_and_wait_for_its_end(agent):
    main, number = task(agent,
        "def callback(item):\n"
        "    channel.send(item)\n"
        "    if item == 'end': c.waitclose(); channel.send('waited')\n"
        "    else: c.close()\n"
        "c.setcallback(callback, endmarker='end')\n"
        "channel.receive()")
    agent.send(number, "close")
    assert [agent.receive(main) for _ in range(3)] == ["close", "end", "waited"]
    with pytest.raises(Ended):
        agent.receive(number)


@pytest.mark.core
@pytest.mark.parametrize("window", [4096, 65536])
def test_credit_comes_back_as_the_callback_takes(python, window):
    with start(python, window=window) as agent:
        main, number = task(agent,
            "import _thread\n"
            "lock = _thread.allocate_lock(); lock.acquire()\n"
            "def callback(item):\n"
            "    with lock: pass\n"
            "c.setcallback(callback)\n"
            "channel.send('ready')\n"
            "channel.receive()\n"
            "lock.release()\n"
            "channel.receive()")
        assert agent.receive(main) == "ready"
        item = b"x" * (window // 8 - 32)
        for _ in range(8):
            agent.send(number, item)
        agent.ping()
        granted = sum(struct.unpack("<Q", payload)[0] for kind, n, payload in agent.frames if (kind, n) == (CREDIT, number))
        assert granted <= window // 4 + window // 8
        agent.send(main, 0)

        def total():
            agent.ping()
            return sum(struct.unpack("<Q", payload)[0] for kind, n, payload in agent.frames if (kind, n) == (CREDIT, number))

        wait_until(lambda: total() >= 3 * window // 4)


def test_large_item_grows_while_a_callback_is_registered(python):
    with start(python, window=4096) as agent:
        main, number = task(agent, "c.setcallback(lambda item: channel.send(len(item)))\nchannel.receive()")
        data = struct.pack("<Q", 20000) + b"x" * 20000
        credit = 4096
        sent = 0
        while sent < len(data):
            cost = 32 if not sent else 0
            size = min(len(data) - sent, credit - cost, 1000)
            if size <= 0:
                payload = agent.wait_for(lambda kind, n, _: (kind, n) == (CREDIT, number))[2]
                credit += struct.unpack("<Q", payload)[0]
                continue
            kind = 2 | (0x10 if not sent else 0) | (0x20 if sent + size == len(data) else 0)
            agent.write(frame(kind, number, data[sent:sent + size]))
            credit -= size + cost
            sent += size
        assert agent.receive(main) == 20000


def test_item_that_cannot_be_read_closes_a_channel_with_a_callback(agent):
    main, number = task(agent, "c.setcallback(channel.send, endmarker='end')\nchannel.send('ready')\nchannel.receive()")
    assert agent.receive(main) == "ready"
    agent.write(item_frames(number, tag=PICKLE, payload=b"nonsense"))
    with pytest.raises(RemoteError, match="LoadError"):
        agent.receive(number)
    assert agent.receive(main) == "end"


def test_sendonly_channel(agent):
    main, number = task(agent,
        "try: c.waitclose(); channel.send('waited')\n"
        "except Exception as e: channel.send(repr(e))\n"
        "channel.send([c.isclosed(), repr(c)[-5:], list(c)])\n"
        "try: c.receive()\n"
        "except EOFError: channel.send('end')\n"
        "c.send('to the callback')\n"
        "channel.receive()\n"
        "del c; import gc; gc.collect()\n"
        "channel.receive()")
    agent.write(item_frames(number, 1) + frame(LAST_MESSAGE, number))
    assert agent.receive(main) == "waited"
    assert agent.receive(main) == [False, "open>", [1]]
    assert agent.receive(main) == "end"
    assert agent.receive(number) == "to the callback"
    agent.send(main, 0)
    agent.waitclose(number)  # collected with its task


def test_idle_agent_with_callbacks_uses_no_processor_time(agent):
    task(agent, "c.setcallback(print)\nimport _gangway; _gangway.kept = c\nchannel.send(0)")
    agent.ping()
    time.sleep(0.2)

    def used():
        with open("/proc/%d/stat" % agent.hello["pid"]) as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))

    before = used()
    time.sleep(1)
    assert used() - before <= 2  # of 100 ticks


def test_many_items_through_a_callback_while_others_are_received(python):
    with start(python, window=20000) as agent:
        agent.window = 0
        main, number = task(agent,
            "got = []\n"
            "c.setcallback(got.append, endmarker=None)\n"
            "total = sum(channel.receive() for _ in range(3000))\n"
            "c.waitclose()\n"
            "channel.send([total, got == list(range(3000)) + [None]])")
        credit = {main: 19000, number: 20000}  # its EXEC cost some
        for i in range(3000):
            for n in main, number:
                while credit[n] < 40:
                    _, m, payload = agent.wait_for(lambda kind, *_: kind == CREDIT)
                    credit[m] += struct.unpack("<Q", payload)[0]
                agent.send(n, i)
                credit[n] -= 40
        agent.write(frame(CLOSE, number))
        assert agent.receive(main) == [sum(range(3000)), True]
