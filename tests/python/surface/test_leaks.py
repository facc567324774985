"""Cycles of use and drop leave nothing: objects, descriptors, threads, memory. And many threads at once."""

import gc
import os
import sys
import threading
import time

import execnet
import pytest

ECHO = "for item in channel: channel.send(item)"


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def threads():
    return len(os.listdir("/proc/self/task"))


def resident():  # bytes
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def objects():
    """How many there are of each of our types, and of all that the collector knows."""
    gc.collect()
    found = gc.get_objects()
    kinds = "Channel", "Gateway", "Group", "RemoteError", "MultiChannel", "RSync", "Target", "Sending"
    return {kind: sum(type(thing).__name__ == kind for thing in found) for kind in kinds}, len(found)


def more(now, before):
    return [kind for kind in now if now[kind] > before[kind]]


def use_channels(group):
    gateway = group[0]
    channel = gateway.remote_exec(ECHO)
    channel.send({"list": [1, 2.5, "text", b"bytes"], "channel": channel})
    assert channel.receive(20)["channel"] is channel
    channel.close()
    with pytest.raises(execnet.RemoteError):
        gateway.remote_exec("raise ValueError").waitclose(20)
    other = gateway.newchannel()
    gateway.remote_exec("channel.receive().close('error')").send(other)
    with pytest.raises(execnet.RemoteError):
        other.receive(20)


def use_callbacks(group):
    done = threading.Event()
    seen = []

    def callback(item):
        seen.append(item)
        if item is None:
            done.set()

    channel = group[0].remote_exec("for i in range(10): channel.send(i)")
    channel.setcallback(callback, endmarker=None)
    assert done.wait(20) and seen == list(range(10)) + [None]
    lost = group[0].remote_exec("for i in range(3): channel.send(i)")
    lost.setcallback(lambda item: seen.append(lost.id))  # a cycle through the callback
    lost.waitclose(20)


def use_gateways(group):
    gateway = group.makegateway("popen")
    channel = gateway.remote_exec(ECHO)
    channel.send(1)
    assert channel.receive(20) == 1
    gateway.exit()
    gateway.join(20)


def use_groups(group):
    own = execnet.Group()
    own.makegateway("popen").remote_exec(ECHO).setcallback(print)
    own.terminate(5)


def use_killed_gateways(group):
    gateway = group.makegateway("popen")
    channel = gateway.remote_exec(ECHO)
    callback = gateway.remote_exec(ECHO)
    callback.setcallback(lambda item: None, endmarker=None)
    gateway.kill()
    with pytest.raises(EOFError):
        channel.receive(20)
    gateway.exit()
    gateway.join(20)


def use_rsync(group, directory):
    rsync = execnet.RSync(directory, verbose=False)
    rsync.add_target(group[0], directory + "-copy", finishedcallback=lambda: None, delete=True)
    with open(os.path.join(directory, "file"), "w") as file:
        file.write(str(time.time()))
    rsync.send()


def wait_for(reached, seconds=20):
    """What is freed by other threads takes a moment."""
    deadline = time.monotonic() + seconds
    while not reached() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    return reached()


CYCLES = {use_channels: 200, use_callbacks: 100, use_gateways: 20, use_groups: 20, use_killed_gateways: 15, use_rsync: 30}


@pytest.mark.better("is not looked at")
@pytest.mark.parametrize("use", CYCLES, ids=lambda use: use.__name__)
def test_cycles_leave_nothing(any_gateway, group, tmp_path, use, resident_counts):
    (tmp_path / "source").mkdir()
    arguments = [group] + ([str(tmp_path / "source")] if use is use_rsync else [])
    for _ in range(max(5, CYCLES[use] // 5)):  # caches are full, threads exist
        use(*arguments)
    ours, all_objects = objects()
    before = descriptors(), threads(), resident()
    for _ in range(CYCLES[use]):
        use(*arguments)
    # What was still on its way out when the first look was taken may be gone now.
    assert wait_for(lambda: not more(objects()[0], ours)), (objects()[0], ours)
    assert wait_for(lambda: objects()[1] - all_objects < CYCLES[use]), objects()[1] - all_objects
    assert wait_for(lambda: descriptors() <= before[0] and threads() <= before[1]), (descriptors(), threads(), before)
    if resident_counts:
        assert resident() - before[2] < 4 << 20
    status = group[0].remote_status()
    assert status.numexecuting == 0


@pytest.mark.better("is not looked at")
def test_items_leave_no_references(any_gateway):
    channel = any_gateway.remote_exec(ECHO)
    text, number = "text of some length", 10 ** 30
    item = {"text": text, "list": [number, (text, None)], "set": {number}}
    before = [sys.getrefcount(thing) for thing in (text, number, item, None)]
    for _ in range(300):
        channel.send(item)
        assert channel.receive(20) == item
        with pytest.raises(execnet.DumpError):
            channel.send([text, number, item, object()])
    after = [sys.getrefcount(thing) for thing in (text, number, item, None)]
    assert after[:3] == before[:3]
    assert abs(after[3] - before[3]) < 100


def test_eight_threads_hammer_everything(any_gateway, group):
    """Shared: the gateway, a channel that all send to, and one that all receive from."""
    gateways = [any_gateway, group.makegateway("popen")]
    sink = any_gateway.remote_exec("total = 0\nfor item in channel:\n  if item is None: break\n  total += item\nchannel.send(total)")
    well = any_gateway.remote_exec("for i in range(1600): channel.send(i)")
    drawn, errors = [], []
    begin = time.monotonic()

    def work(number):
        try:
            for turn in range(40):
                gateway = gateways[(number + turn) % 2]
                channel = gateway.remote_exec(ECHO)
                for item in range(3):
                    channel.send((number, turn, "x" * turn * 100))
                assert [channel.receive(60)[:2] for item in range(3)] == [(number, turn)] * 3
                called = []
                done = threading.Event()
                gateway.remote_exec("channel.send(%d)" % turn).setcallback(
                    lambda item: done.set() if item is None else called.append(item), endmarker=None)
                sink.send(turn)
                drawn.extend(well.receive(60) for _ in range(5))
                if turn % 10 == number:
                    assert gateway.remote_status().numexecuting >= 0
                    repr(gateway), repr(channel), len(group), gateway._channelfactory.channels()
                if turn % 3 == 0:
                    channel.close()
                assert done.wait(60) and called == [turn]
        except BaseException as error:
            errors.append(error)
            raise

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert not errors and time.monotonic() - begin < 120
    assert sorted(drawn) == list(range(1600))
    sink.send(None)
    assert sink.receive(20) == 8 * sum(range(40))


@pytest.mark.better("prints now and then")
def test_program_ends_with_everything_in_use(run):
    result = run("""if 1:
        import execnet, threading, time
        group = execnet.Group()
        gateways = [group.makegateway(), group.makegateway(), execnet.makegateway()]
        channels = [gateway.remote_exec("while 1: channel.send(channel.gateway.id)") for gateway in gateways]
        class Item: pass
        def callback(item, keep=Item()): keep.channel = channels[0]
        channels[0].setcallback(callback, endmarker=callback)
        cycle = [channels[1]]; cycle.append(cycle)
        def receive():
            try:
                while True: channels[2].receive()
            except (EOFError, OSError): pass
        for _ in range(2): threading.Thread(target=receive, daemon=True).start()
        rsync = execnet.RSync("/tmp")
        rsync.add_target(gateways[0], "never")
        error = gateways[1].remote_exec("raise ValueError")  # nobody will ask for it
        error.setcallback(print)
        time.sleep(0.2)
        print("end", flush=True)
    """)
    assert (result.out, result.err, result.status) == ("end\n", "", 0)
