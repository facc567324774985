"""ZeroMQ, PUSH to PULL over a unix socket, from Debian's package."""
import os
import tempfile

import zmq

from common import clock, main


def small_items(count=100_000):
    with tempfile.TemporaryDirectory() as directory:
        address = "ipc://%s/pipe" % directory
        pid = os.fork()
        if not pid:
            context = zmq.Context()
            sink = context.socket(zmq.PUSH)
            sink.set_hwm(0)
            sink.connect(address)
            for i in range(count + 1):
                sink.send(b"%08d" % i)
            sink.close()
            context.term()  # when everything is sent
            os._exit(0)
        source = zmq.Context().socket(zmq.PULL)
        source.set_hwm(0)
        source.bind(address)
        source.recv()
        begin = clock()
        for _ in range(count):
            int(source.recv())
        rate = count / (clock() - begin) / 1e6
        os.waitpid(pid, 0)
    return {"to_controller": rate, "to_agent": rate}


main(globals())
