"""multiprocessing.connection: two pipes in Python, pickle, no threads."""
import os
from multiprocessing.connection import Connection

from common import LARGE, SMALL, clock, main, on_one_and_two, records


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


def structured():
    result = {}
    for name, size, count in ("10k", SMALL, 2000), ("1m", LARGE, 20):
        item = records(size)

        def body(source, sink):
            for _ in range(source.recv()):
                sink.send(item)

        pid, source, sink = start(body)
        sink.send(count)
        source.recv()
        begin = clock()
        for _ in range(count - 1):
            source.recv()
        result[name + "_to_controller"] = result[name + "_to_agent"] = (count - 1) / (clock() - begin)
        os.waitpid(pid, 0)
    return result


main(globals())
