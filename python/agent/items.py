"""Items by pickle: encode, decode, and the checks that pickle does not make."""
import sys

from .task import get_ident, on_demand, rare
from .wire import BYTES, CUT, MAX_DEPTH, MAX_INT, PICKLE, STR, readv
from .errors import DumpError, LoadError, TOO_DEEP, check_text, refuse
from .arrays import make_array
from .buffers import has_buffer
from .spelling import spell
from .channel import Channel
from .link import link


@rare
def import_pickle():
    """_pickle imports functools only for its `partial`: with the C module in that place
    the import takes 0.4 instead of 2 ms. Not when user code may import it meanwhile."""
    global loads
    try:
        borrow = get_ident() == link.main_ident and not {"functools", "threading"} & set(sys.modules)
        if borrow:
            sys.modules["functools"] = __import__("_functools")
        try:
            import _pickle as pickle
        finally:
            if borrow:
                del sys.modules["functools"]
    except ImportError:  # PyPy
        import pickle
    loads = pickle.loads
    return pickle


PLAIN = {type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset}


@rare
class Pickler(import_pickle().Pickler):
    """Writes the subset of items.md. The C pickler asks us about everything that is
    not exactly of a plain type, so the check costs nothing for those that are."""

    allowed = None  # the callable of the reduction that is being written

    def reducer_override(self, item):
        kind = type(item)
        if kind is complex:
            self.allowed = complex
            return complex, (item.real, item.imag)
        if kind is Channel:
            self.allowed = channel
            return channel, (item.id,)
        if item is self.allowed:
            self.allowed = None
            return NotImplemented
        if kind in PLAIN:  # PyPy's pickler asks about these, too
            return NotImplemented
        refuse(kind)  # but see dump()


picklers = []  # ready for use: (chunks, pickler); making one costs 0.8 us


@rare
def new_pickler():
    chunks = []
    pickler = Pickler(Sink(chunks.append), 4)
    pickler.fast = True  # no memo
    if sys.version_info < (3, 8):
        pickler.dispatch_table = OldReducers()
    return chunks, pickler


@rare
class Sink:
    """The file of a pickler: what it writes goes into a list, and is not copied there."""

    def __init__(self, write):
        self.write = write


@rare
class OldReducers:
    """3.6 and 3.7 have no reducer_override. Classes and functions pass by this table;
    dumps() finds them by the opcode they leave behind."""

    def __getitem__(self, kind):
        if kind is complex:
            return lambda item: (complex, (item.real, item.imag))
        if kind is Channel:
            return lambda item: (channel, (item.id,))
        refuse(kind)


@rare
def dumps(item):
    data = dump(item)
    size = len(data)
    if (
        size > 2 * MAX_DEPTH and may_be_deep(item, data)
        or b"\x93" in data and sys.version_info < (3, 8)  # STACK_GLOBAL
    ):
        audit(item)
    elif b"\xed" in data and type(item) is not float or size > MAX_INT and b"\x8b" in data:  # for looks_bad()
        audit(item, size)
    return data


@rare
def may_be_deep(item, data):
    """Whether there may be more than MAX_DEPTH levels: a tenth of the time of audit()."""
    if sys.version_info < (3, 12):
        # The pickler gives up at the recursion limit, no higher than ours by default.
        return sys.getrecursionlimit() > MAX_DEPTH or not readv
    if data[2] != 0x95 or b"_gangway" in data:
        return True  # not of the C pickler (no FRAME), or no plain objects only: it may refer to all there is
    from gc import get_referents

    level = [item]
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = get_referents(*level)
    return True


@rare
def dump(item):
    try:
        entry = picklers.pop()
    except IndexError:
        entry = new_pickler()
    chunks, pickler = entry
    try:
        pickler.dump(item)
    # What was refused may have a buffer; cyclic, deep, or many frozensets: each is a level for good.
    except (DumpError, KeyError, ValueError, RecursionError):
        chunks = None
    except Exception as error:  # no memory; the pickler is not used again
        refuse("%r: %s: %s" % (type(item), type(error).__name__, error))
    if chunks:
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if b"\x91" not in data:  # FROZENSET
            picklers.append(entry)
    else:
        data = spell(item)
    return data


@on_demand("audit")
def looks_bad(data):
    """Whether a surrogate or a huge int (LONG4) may be in a stream."""
    for mark in b"\xed\x8b":
        at = -1
        for number in range(data.count(mark)):
            at = data.find(mark, at + 1)
            word = int.from_bytes(data[at + 1:at + 5], "little")
            if word & 0xC0E0 == 0x80A0 or MAX_INT < word <= len(data) or number > 9:
                return True  # or so many that a look at the items is faster


@on_demand("audit")
def audit(item, size=0):
    """Refuses what the pickler lets pass: lone surrogates, nesting, huge ints, classes.

    Level by level, without recursion. Called when the stream may hold such a thing.
    size: of the stream, when a surrogate or a huge int is all that it may hold. Then the
    parts of a level of many small items are dumped again, and those that look well are
    well: floats hold any byte, and a look at each item takes ten times as long.
    """
    level = [item]
    depth = 0
    while level:
        below = []
        kinds = set(map(type, level))
        depth += not kinds.isdisjoint((list, tuple, dict, set, frozenset))
        others = kinds - PLAIN - {complex, Channel}
        for value in level:
            kind = type(value)
            if kind in others and not has_buffer(value):
                refuse(repr(kind))
            if kind is str:
                check_text(value)
            elif kind is int:
                if value.bit_length() > 8 * MAX_INT - 1:
                    refuse("an int of more than %d bytes" % MAX_INT)
            elif kind is dict:
                below.extend(value)
                below.extend(value.values())
            elif kind in (list, tuple, set, frozenset):
                below.extend(value)
        if depth > MAX_DEPTH:
            refuse(TOO_DEEP)
        if 0 < size < 1000 * len(below):
            size *= 8  # so that this happens a few times at most
            parts = [below[at:at + 32] for at in range(0, len(below), 32)]
            below = [value for part in parts if looks_bad(dump(part)) for value in part]
        level = below


@rare
def encode(item):
    """Tag and payload of an item that is not a small int."""
    kind = type(item)
    if kind is bytes:
        return BYTES, item
    if kind is str:
        return STR, check_text(item)
    return PICKLE, dumps(item)


loads = None  # pickle's, when something was decoded


@rare
def decode(tag, data):
    if tag == BYTES:
        return data
    collecting = False
    try:
        if tag == STR:
            return str(data, "utf-8")
        if len(data) > CUT:
            import gc

            collecting = gc.isenabled()
            gc.disable()  # plain objects are no garbage: up to 3.11 looking for some takes a third of the time
        return (loads or import_pickle().loads)(data)
    except MemoryError:
        raise
    except Exception as error:
        raise LoadError("bad item: %s: %s" % (type(error).__name__, error)) from None
    finally:
        if collecting:
            gc.enable()


def channel(number):
    """Stands in pickles as _gangway.channel: the channel with this id."""
    return link.channel_by_id(number)


def array(*parts):
    """The same for arrays."""
    return make_array(*parts)
