"""rpyc over two pipes, from Debian's package."""
import os

import rpyc
from rpyc.core.stream import PipeStream
from rpyc.utils.factory import connect_stream

from common import main, on_one_and_two


class Echo(rpyc.Service):
    def exposed_echo(self, item):
        return item


def ping_pong():
    ours, theirs = PipeStream.create_pair()
    pid = os.fork()
    if not pid:
        ours.close()
        connect_stream(theirs, Echo).serve_all()
        os._exit(0)
    theirs.close()
    connection = connect_stream(ours)
    echo = connection.root.echo
    result = on_one_and_two(pid, lambda: echo(1), 2000)
    os.kill(pid, 9)
    return result


main(globals())
