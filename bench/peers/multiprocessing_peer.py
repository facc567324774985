"""multiprocessing.connection: two pipes in Python, pickle, no threads."""
import os
from multiprocessing.connection import Connection

from common import LARGE, SMALL, clock, main, on_one_and_two, records

MIB = 1 << 20


def start(body):
    there, back = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            body(Connection(there[0], writable=False), Connection(back[1], readable=False))
        except EOFError:
            pass
        finally:
            os._exit(0)
    return pid, Connection(back[0], writable=False), Connection(there[1], readable=False)


def ping_pong():
    def body(source, sink):
        while True:
            sink.send(source.recv())

    pid, source, sink = start(body)

    def round_trip():
        sink.send(1)
        source.recv()

    result = on_one_and_two(pid, round_trip, 3000)
    os.kill(pid, 9)
    return result


def per_second(items, send=Connection.send, receive=Connection.recv):
    """Both ends are the same program: one direction is measured for both."""
    def body(source, sink):
        source.recv()
        for item in items:
            send(sink, item)

    pid, source, sink = start(body)
    sink.send(None)
    receive(source)
    begin = clock()
    for _ in range(len(items) - 1):
        receive(source)
    rate = (len(items) - 1) / (clock() - begin)
    os.waitpid(pid, 0)
    return rate


def small_items(count=200_000):
    rate = per_second(range(count)) / 1e6
    return {"to_controller": rate, "to_agent": rate}


def structured():
    result = {}
    for name, size, count in ("10k", SMALL, 2000), ("1m", LARGE, 20):
        rate = per_second([records(size)] * count)
        result[name + "_to_controller"] = result[name + "_to_agent"] = rate
    return result


def bulk():
    """By send_bytes: nothing is pickled."""
    result = {}
    for name, size, count in ("1m", MIB, 512), ("64m", 64 * MIB, 8):
        rate = per_second([b"x" * size] * count, Connection.send_bytes, Connection.recv_bytes) * size / 1e9
        result[name + "_to_controller"] = result[name + "_to_agent"] = rate
    return result


main(globals())
