"""execnet, from Debian's package, controller and worker in Python; or what PYTHONPATH has in its place,
with the spec of the command line."""
import os
import sys
import threading
import time

import execnet

from common import ECHO, LARGE, SEND_INTS, SMALL, TAKE, clock, main, median, on_one_and_two, records, resident_mb

MIB = 1 << 20


SPEC = (sys.argv[2:] or ["popen"])[0]


def start():
    gateway = execnet.makegateway(SPEC)
    return gateway, gateway.remote_exec("import os; channel.send(os.getpid())").receive()


def start_up():
    times = []
    for _ in range(5):
        begin = clock()
        group = execnet.Group()
        group.makegateway("popen").remote_exec("channel.send(1)").receive()
        group.terminate(10)
        times.append((clock() - begin) * 1e3)
    return {"ms": median(times)}


def fifty():
    group = execnet.Group()
    begin = clock()
    gateways = [group.makegateway("popen") for _ in range(50)]
    channels = [gateway.remote_exec("import os; channel.send(os.getpid())") for gateway in gateways]
    pids = [channel.receive() for channel in channels]
    seconds = clock() - begin
    threads = len(os.listdir("/proc/self/task"))
    memory = sum(map(resident_mb, pids)) / len(pids)
    begin = clock()
    group.terminate(10)
    return {"s": seconds + clock() - begin, "rss_mb": memory, "threads": threads}


def remote_exec():
    gateway, pid = start()
    return on_one_and_two(pid, lambda: gateway.remote_exec("channel.send(1)").receive(), 1000)


def ping_pong():
    gateway, pid = start()
    channel = gateway.remote_exec(ECHO)

    def round_trip():
        channel.send(1)
        channel.receive()

    return on_one_and_two(pid, round_trip, 3000)


def small_items(count=50_000):
    gateway, _ = start()
    channel = gateway.remote_exec(SEND_INTS)
    channel.send(count)
    begin = clock()
    for _ in range(count):
        channel.receive()
    down = count / (clock() - begin) / 1e6
    channel = gateway.remote_exec(TAKE)
    channel.send(count)
    begin = clock()
    for i in range(count):
        channel.send(i)
    channel.receive()
    return {"to_controller": down, "to_agent": count / (clock() - begin) / 1e6}


def structured():
    gateway, _ = start()
    result = {}
    for name, size, count in ("10k", SMALL, 200), ("1m", LARGE, 4):
        item = records(size)
        channel = gateway.remote_exec("item, n = channel.receive(), channel.receive()\nfor i in range(n): channel.send(item)")
        channel.send(item)
        channel.send(count)
        channel.receive()
        begin = clock()
        for _ in range(count - 1):
            channel.receive()
        result[name + "_to_controller"] = (count - 1) / (clock() - begin)
        channel = gateway.remote_exec(TAKE)
        channel.send(count)
        begin = clock()
        for _ in range(count):
            channel.send(item)
        channel.receive()
        result[name + "_to_agent"] = count / (clock() - begin)
    return result


def bulk():
    gateway, _ = start()
    result = {}
    for name, size, count in ("1m", MIB, 256), ("64m", 64 * MIB, 4):
        channel = gateway.remote_exec(
            "size, n = channel.receive()\nitem = b'x' * size\nchannel.send(0)\nchannel.receive()\n"
            "for i in range(n): channel.send(item)")
        channel.send((size, count))
        channel.receive()
        channel.send(0)
        begin = clock()
        for _ in range(count):
            channel.receive()
        result[name + "_to_controller"] = size * count / (clock() - begin) / 1e9
        item = b"x" * size
        channel = gateway.remote_exec(TAKE)
        channel.send(count)
        begin = clock()
        for _ in range(count):
            channel.send(item)
        channel.receive()
        result[name + "_to_agent"] = size * count / (clock() - begin) / 1e9
    return result


def busy_ping():
    """execnet has no ping: an echo on a second channel."""
    gateway, _ = start()
    echo = gateway.remote_exec(ECHO)

    def ping():
        begin = clock()
        echo.send(1)
        echo.receive()
        return (clock() - begin) * 1e6

    for _ in range(100):
        ping()
    idle = [ping() for _ in range(500)]
    channel = gateway.remote_exec("channel.send(len(channel.receive()))\nchannel.send(bytes(channel.receive()))")
    result = {"idle_us": median(idle)}
    for key, item in ("up", b"x" * (256 * MIB)), ("down", 256 * MIB):
        done = []

        def carry():
            channel.send(item)
            channel.receive()
            done.append(True)

        carrier = threading.Thread(target=carry)
        carrier.start()
        times = []
        while not done:
            times.append(ping())
        carrier.join()
        result[key + "_us"] = median(times)
        result[key + "_max_ms"] = max(times) / 1e3
    return result


def unread():
    result = {}
    gateway, pid = start()
    channel = gateway.remote_exec(
        "item = b'x' * 0x100000\nchannel.send(0)\nchannel.receive()\nfor i in range(1024): channel.send(item)\n"
        "channel.gateway.newchannel().close()")
    channel.receive()
    before = resident_mb(os.getpid()), resident_mb(pid)
    channel.send(0)
    last = -1
    while resident_mb(os.getpid()) > last + 1:
        last = resident_mb(os.getpid())
        time.sleep(0.3)
    result["down_controller_mb"] = resident_mb(os.getpid()) - before[0]
    result["down_agent_mb"] = resident_mb(pid) - before[1]
    gateway.exit()
    gateway, pid = start()
    channel = gateway.remote_exec("import time\nchannel.send(0)\ntime.sleep(20)")
    channel.receive()
    item = b"x" * MIB
    before = resident_mb(os.getpid()), resident_mb(pid)
    for _ in range(1024):
        channel.send(item)
    last = -1
    while resident_mb(pid) > last + 1:
        last = resident_mb(pid)
        time.sleep(0.3)
    result["up_controller_mb"] = max(0, resident_mb(os.getpid()) - before[0])
    result["up_agent_mb"] = resident_mb(pid) - before[1]
    print(*("%s=%.9g" % pair for pair in result.items()), flush=True)
    os.kill(pid, 9)
    os._exit(0)


def held_gil():
    gateway, _ = start()
    idle = []
    for _ in range(50):
        begin = clock()
        gateway.remote_status()
        idle.append((clock() - begin) * 1e3)
    channel = gateway.remote_exec("import ctypes\nsleep = ctypes.PyDLL(None).usleep\nchannel.send(0)\nsleep(2000000)")
    channel.receive()
    time.sleep(0.05)
    begin = clock()
    gateway.remote_status()
    return {"idle_ms": median(idle), "status_ms": (clock() - begin) * 1e3}


def via():
    group = execnet.Group()
    group.makegateway("popen//id=hub")
    direct = group.makegateway("popen")
    group.makegateway("popen//via=hub").remote_exec("channel.send(1)").receive()
    begin = clock()
    nested = group.makegateway("popen//via=hub")
    nested.remote_exec("channel.send(1)").receive()
    result = {"start": (clock() - begin) * 1e3}
    for prefix, gateway in ("", nested), ("direct_", direct):
        channel = gateway.remote_exec(ECHO)
        for count in 300, 3000:
            begin = clock()
            for i in range(count):
                channel.send(i)
                channel.receive()
        result[prefix + "trip"] = (clock() - begin) / count * 1e6
        channel = gateway.remote_exec("item = b'x' * 1048576\nfor i in range(channel.receive()): channel.send(item)")
        begin = clock()
        channel.send(128)
        for _ in range(128):
            channel.receive()
        result[prefix + "to_controller"] = 128 * MIB / (clock() - begin) / 1e9
        item = b"x" * MIB
        channel = gateway.remote_exec(TAKE)
        begin = clock()
        channel.send(128)
        for _ in range(128):
            channel.send(item)
        channel.receive()
        result[prefix + "to_agent"] = 128 * MIB / (clock() - begin) / 1e9
    group.terminate(10)
    return result


main(globals())
