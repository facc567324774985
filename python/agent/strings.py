"""RECONFIGURE: how strings arrive. Items have no Python 2
strings, so of the two options only py3str_as_py2str shows: str becomes bytes, its UTF-8."""
from .wire import RECONFIGURE
from .errors import ProtocolError
from .link import link

PY3STR_AS_PY2STR = 2


def conversion(options):
    return str_to_bytes if options & PY3STR_AS_PY2STR else None


def reconfigure_channel(channel, options):
    """The user's wish, for both sides."""
    with link.wire:
        channel._check_sendable()
        channel._convert = conversion(options)
        link.push(RECONFIGURE, channel.id, bytes([options]))
    link.flush()


def take_reconfigure(number, options):
    """The controller's; 0 is for the channels to come."""
    if options > 3:
        raise ProtocolError("unknown options %#x" % options)
    if number == 0:
        link.convert = conversion(options)
        return
    channel = link.find(number)
    if channel is not None:
        channel._convert = conversion(options)


def str_to_bytes(item):
    """Each str in it, however deep; without recursion, as items may be 1,000 levels deep."""
    stack = [(iter([item]), list, [])]  # what is to come, the container, its new contents
    while True:
        values, kind, done = stack[-1]
        for value in values:
            inner = type(value)
            if inner is str:
                done.append(value.encode("utf-8", "surrogatepass"))
            elif inner is dict:
                stack.append((iter([part for pair in value.items() for part in pair]), dict, []))
                break
            elif inner in (list, tuple, set, frozenset):
                stack.append((iter(value), inner, []))
                break
            else:
                done.append(value)
        else:
            stack.pop()
            if not stack:
                return done[0]
            stack[-1][2].append(dict(zip(done[::2], done[1::2])) if kind is dict else kind(done))
