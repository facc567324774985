"""Parts on demand: what the bundle leaves out (spec-docs/wire.md, section 8)."""
import zlib

from .task import get_ident, rare
from .wire import NEED
from .errors import ProtocolError
from .link import link

CONTENTS = ""  # "part name name ...;part ...": what leads into each part; bundle.py knows it
parts_known = {}  # name -> False when it was asked for, True when it has come
part_bells = []


@rare
def need(name):
    """Gets the part with this function, class or method. Waits like any other wait: the
    thread leads if nobody else does. Never under `wire` or `writer`."""
    for entry in CONTENTS.split(";"):
        part, *names = entry.split()
        if name in names and not parts_known.get(part):
            break
    else:
        raise AttributeError(name)
    if link.leader == get_ident():  # a frame of the controller's needs it, and nothing is read meanwhile
        raise ProtocolError("the part %r was not sent" % part)
    if link.lost:
        raise OSError("no part %r: %s" % (part, link.lost))
    if part not in parts_known:
        parts_known[part] = False
        link.push(NEED, 0, part.encode())
    link.wait(lambda: parts_known[part] or link.lost, part_bells, None)
    if not parts_known[part]:
        raise OSError("no part %r: %s" % (part, link.lost))


@rare
def take_part(payload):
    """The leader's, also for a part that nobody asked for."""
    try:
        part = payload[1:1 + payload[0]].decode()
        if not parts_known.get(part):
            exec(zlib.decompress(payload[1 + payload[0]:]), globals())
            parts_known[part] = True
    except Exception as error:
        raise ProtocolError("a PART that cannot be used: %s: %s" % (type(error).__name__, error))
    link.wake(part_bells)
