"""The portable agent: connection, channels and items in pure Python.

Protocol: spec-docs/wire.md and items.md; how it gets here: spec-docs/bootstrap.md.
bundle.py packs keeper.py, task.py and this file. They share one namespace, the
module `_gangway`, and import nothing that start-up can do without.

Whoever waits, leads. A thread that blocks (in receive, waitclose, a send without
credit, or for its next job) takes the `lead` lock if it is free and reads the stream
itself until its own wait is over; the others wait on a lock of their own, their bell.
While nobody waits, the stand-by (the dispatcher thread of task.py) leads. A leader
that leaves passes the lead on only if somebody waits for it, so that a ping-pong
has no hand-over between threads at all.

Who holds which lock:

    lead     whoever reads the stream and handles frames; held while blocked in read
    writer   whoever writes; held while the peer takes its time. Receive paths only
             try it: they leave their frames in the queue, and the holder looks again
    wire     queues and credit; held for a few lines, never while blocked. Re-entrant,
             because a garbage collection inside them may run a user's __del__

The read descriptor is left as we find it. The write descriptor is set non-blocking:
its open file description is ours alone on pipes; on a socket the reads notice it and
poll.
"""
import os
import sys
import time
import _thread
import select
from _collections import deque  # without the rest of collections: 0.7 ms
from itertools import chain, count
from io import BytesIO
from _struct import Struct, error as StructError
from _weakref import ref

VERSION = "0.1.0"
MAX_FRAME = 262144  # bytes of payload that are accepted
CUT = 65536  # bytes of payload that are sent in a frame
MAX_CONTROL = 4096  # control frames queued for a peer that does not read
MAX_DEPTH = 1000
MAX_INT = 1 << 20  # bytes
SMALL = 16384  # bytes of an item that may share a write with others
EAGER = 32  # sends after a wait that go out at once: "send, then os._exit" loses nothing
COALESCE = 32768  # bytes that are collected then
BATCH = 1 << 20  # bytes for one writev: what the pipe takes
MAX_VECTOR = 512  # buffers for one writev; the system's limit is 1,024
TICK = 0.002  # s between two looks of the stand-by
FLUSH_TICK = 1  # ms that collected items wait at most
UNLIMITED = 1 << 62

BEGIN, END = 0x10, 0x20
PICKLE, BYTES, STR, INT, EXEC = 1, 2, 3, 4, 5
HELLO, TERMINATE, PING, PONG, STATUS, STATUS_REPLY = 0x40, 0x41, 0x42, 0x43, 0x44, 0x45
CREDIT, CLOSE, CLOSE_ERROR, LAST_MESSAGE, OPEN, INTERRUPT = 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B
INT_WORD = BEGIN | END | INT | 8 << 8  # kind and length of every INT frame
INT_COST = 40

head_struct = Struct("<II")  # kind and length, channel id
int_struct = Struct("<IIq")
run_struct = Struct("<Qq")  # the same; head as one number, to compare
u64_struct = Struct("<Q")
pack_head = head_struct.pack
unpack_head = head_struct.unpack_from
pack_int = int_struct.pack
unpack_u64 = u64_struct.unpack_from
iter_run = run_struct.iter_unpack

allocate_lock = _thread.allocate_lock
read = os.read  # bound early: user code may replace them
write = os.write
getpid = os.getpid
readv = getattr(os, "readv", None)  # PyPy has neither
writev = getattr(os, "writev", None) or (lambda fd, parts: write(fd, b"".join(parts)))


class RemoteError(Exception):
    def __init__(self, formatted):
        self.formatted = formatted
        Exception.__init__(self)

    def __str__(self):
        return self.formatted

    def __repr__(self):
        return "RemoteError: " + self.formatted

    def warn(self):
        if self.formatted != INTERRUPT_TEXT:
            sys.stderr.write("[%d] Warning: unhandled %r\n" % (getpid(), self))


class TimeoutError(OSError):
    pass


class DataFormatError(Exception):
    pass


class DumpError(DataFormatError):
    pass


class LoadError(DataFormatError):
    pass


class ProtocolError(Exception):
    """The controller is wrong: the connection ends."""


# --- what start-up needs of pickle ---------------------------------------------------

def spell(item):
    """An item in the subset of items.md, without pickle and without recursion: what we say
    about ourselves, and what the C pickler is wrong about (dumps)."""
    out = [b"\x80\4"]
    stack = [(b".", iter([item]))]
    while stack:
        end, values = stack.pop()
        for value in values:
            kind = type(value)
            if kind in SPELLING:
                if len(stack) >= MAX_DEPTH:
                    refuse(TOO_DEEP)
                begin, last = SPELLING[kind]
                out.append(begin)
                stack += (end, values), (last, chain(*value.items()) if kind is dict else iter(value))
                break
            if kind is str:
                value = value.encode("utf-8", "surrogatepass")  # dumps() will look at it
                out += b"X", len(value).to_bytes(4, "little"), value
            elif kind is int:
                size = value.bit_length() // 8 + 1
                out += b"\x8b", size.to_bytes(4, "little"), value.to_bytes(size, "little", signed=True)
            else:
                value = dumps(value)
                out.append(value[11 if value[2] == 0x95 else 2:-1])  # without PROTO, FRAME, STOP
        else:
            out.append(end)
    return b"".join(out)


SPELLING = {list: (b"](", b"e"), tuple: (b"(", b"t"), dict: (b"}(", b"u"), set: (b"\x8f(", b"\x90"), frozenset: (b"(", b"\x91")}
TOO_DEEP = "an item nested deeper than 1000"


def quick_loads(data):
    """A HELLO or EXEC, if it holds nothing unusual. Importing _pickle costs 0.7 ms."""
    stack = []
    marks = []
    push = stack.append
    at = 0
    while True:
        op = data[at]
        at += 1
        size = QUICK_SIZES[op]  # KeyError: something else
        number = int.from_bytes(data[at:at + size], "little")
        at += size
        if op in b"X\x8cC\x8a":
            value = data[at:at + number]
            at += number
            if op == 0x8A:
                push(int.from_bytes(value, "little", signed=True))
            else:
                push(value if op == 67 else str(value, "utf-8"))
        elif op in b"KMJ":
            push(number - (number >> 31 << 32))
        elif op in b"}(]":
            if op == 40:
                marks.append(len(stack))
            else:
                push({} if op == 125 else [])
        elif op in b"us":
            mark = marks.pop() if op == 117 else -2
            values = stack[mark:]
            del stack[mark:]
            stack[-1].update(zip(values[::2], values[1::2]))
        elif op == 0x86:
            stack[-2:] = [tuple(stack[-2:])]
        elif op == 46:
            return stack.pop()


# opcode -> bytes of its number: PROTO FRAME STOP, X 8c C LONG1, K M J, ( } ] s u TUPLE2
QUICK_SIZES = {128: 1, 149: 8, 46: 0, 88: 4, 140: 1, 67: 1, 138: 1, 75: 1, 77: 2, 74: 4, 40: 0, 125: 0, 93: 0,
               115: 0, 117: 0, 134: 0}


def plain_loads(data):
    try:
        return quick_loads(data)
    except Exception:
        return decode(PICKLE, data)


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


# --- items -----------------------------------------------------------------------------

PLAIN = {type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset}


@rare
def refuse(what):
    raise DumpError("can't serialize " + what) from None


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
            if item._link is not link:
                refuse(repr(type(item)))
            self.allowed = channel
            return channel, (item.id,)
        if item is self.allowed:
            self.allowed = None
            return NotImplemented
        if kind in PLAIN:  # PyPy's pickler asks about these, too
            return NotImplemented
        refuse(repr(bytearray if item is bytearray else type(item)))


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
            return lambda item: (channel, (item.id,)) if item._link is link else refuse(repr(type(item)))
        refuse(repr(kind))


@rare
def dumps(item):
    try:
        entry = picklers.pop()
    except IndexError:
        entry = new_pickler()
    chunks, pickler = entry
    try:
        pickler.dump(item)
    except DumpError:
        raise
    except (KeyError, ValueError, RecursionError):  # cyclic, deep, or many frozensets: each is a level for good
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
    size = len(data)
    if (
        b"\xed" in data  # surrogates start with it, and some eastern scripts
        or size > MAX_INT and b"\x8b" in data  # LONG4
        # Up to 3.11 the pickler gives up at the recursion limit, no higher than ours by default.
        or size > 2 * MAX_DEPTH and (sys.version_info >= (3, 12) or sys.getrecursionlimit() > MAX_DEPTH or not readv)
        or b"\x93" in data and sys.version_info < (3, 8)  # STACK_GLOBAL
    ):
        audit(item)
    return data


@rare
def audit(item):
    """Refuses what the pickler lets pass: lone surrogates, nesting, huge ints, classes.

    Level by level, without recursion. Called when the stream may hold such a thing.
    """
    level = [item]
    depth = 0
    while level:
        below = []
        kinds = set(map(type, level))
        depth += not kinds.isdisjoint((list, tuple, dict, set, frozenset))
        for kind in kinds:
            if kind not in PLAIN and kind is not complex and kind is not Channel:
                refuse(repr(kind))
        for value in level:
            kind = type(value)
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
        level = below


@rare
def check_text(text):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        refuse("<class 'str'>: %s" % error)


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
    try:
        if tag == STR:
            return str(data, "utf-8")
        return (loads or import_pickle().loads)(data)
    except MemoryError:
        raise
    except Exception as error:
        raise ProtocolError("an item that cannot be read: %s: %s" % (type(error).__name__, error))


def channel(number):
    """Stands in pickles as _gangway.channel: the channel with this id."""
    return link.channel_by_id(number)


# --- channels --------------------------------------------------------------------------


class Channel:
    """One end of a channel. Any method may be called from any thread."""

    RemoteError = RemoteError
    TimeoutError = TimeoutError

    __slots__ = (
        "id", "_link", "_items", "_taken", "_count", "_mark", "_marks", "_since", "_arrived",
        "_granted", "_arriving", "_credit", "_sendable", "_outgoing", "_ended", "_closed", "_errors",
        "_bells", "_executing", "_task", "__weakref__", "__dict__",
    )

    def __init__(self, link, number):
        self.id = number
        self._link = link
        # Receiving. Items are counted when they arrive and when they are taken; at the
        # number in _mark, the cost up to there is granted again. So a receive costs one
        # comparison, and needs no lock: next() of a count is atomic.
        self._items = deque()
        self._taken = count(1).__next__
        self._count = 0
        self._mark = 0
        self._marks = deque()  # (number of an item, cost to grant with it)
        self._since = 0  # cost of the items after the last mark
        self._arrived = 0  # cost of all that came
        self._granted = link.window or UNLIMITED  # cost that may come
        self._arriving = None  # an Arriving: an item of which only a part is here
        # Sending.
        self._credit = link.window or UNLIMITED
        self._sendable = True  # open, and nobody queues: an item may go straight out
        self._outgoing = deque()  # Outgoing: large items, and those without credit
        # The end.
        self._ended = False  # nothing will come any more
        self._closed = False
        self._errors = []
        self._bells = []  # locks of the threads that wait for this channel
        self._executing = False
        self._task = False

    @property
    def gateway(self):
        return self._link.get_gateway()

    def __repr__(self):
        return "<Channel id=%d %s>" % (self.id, "closed" if self._closed else "open")

    def isclosed(self):
        return self._closed

    def send(self, item):
        """Sends one item. Waits for credit and transport, not for the peer's code."""
        link = self._link
        try:
            if type(item) is int:
                frame = pack_int(INT_WORD, self.id, item)
                size = 16
                cost = INT_COST
            else:
                raise StructError
        except StructError:
            tag, payload = encode(item)
            size = len(payload)
            if size > SMALL:
                return self._send_large(tag, payload)
            cost = size + 32
            frame = pack_head(BEGIN | END | tag | size << 8, self.id) + payload
            size += 8
        with link.wire:
            fits = self._sendable and self._credit >= cost
            if fits:
                self._credit -= cost
                link.burst += 1
                if link.out or link.burst > EAGER or link.control or link.rest or not link.writer.acquire(False):
                    link.out.append(frame)
                    link.out_size += size
                    if link.burst > EAGER and link.out_size < COALESCE:
                        if not link.timer:
                            link.start_timer()
                        return
                    frame = None
        if frame is None:
            link.flush()
        elif fits:
            link.write_now(frame)
        elif frame[0] & 15 == INT:
            self._send_large(INT, frame[8:])
        else:
            self._send_large(tag, payload)

    @rare
    def _send_large(self, tag, payload):
        link = self._link
        if len(payload) > link.peer_max_item:
            refuse("an item of %d bytes: the peer accepts %d" % (len(payload), link.peer_max_item))
        entry = Outgoing(tag, payload)
        with link.wire:
            self._check_sendable()
            if not self._outgoing:
                link.turns.append(self)
            self._outgoing.append(entry)
            self._sendable = False
        link.flush()
        if not entry.done:
            try:
                link.wait(lambda: entry.done or self._closed or link.lost, self._bells, None)
            finally:
                if not entry.done:  # closed, lost, or interrupted
                    self._give_up(entry)
            link.flush()  # not before it is written

    @rare
    def _check_sendable(self):
        if self._closed:
            raise OSError("cannot send to %r" % self)
        if self._link.lost:
            raise OSError("cannot send to %r: %s" % (self, self._link.lost))

    @rare
    def _give_up(self, entry):
        with self._link.wire:
            if entry.offset and not (self._closed or self._link.lost):
                return  # interrupted within the item: the rest has to follow
            try:
                self._outgoing.remove(entry)
            except ValueError:
                pass
            self._sendable = not (self._outgoing or self._closed or self._link.lost)
        self._check_sendable()

    def receive(self, timeout=None):
        """The next item. RemoteError once, then EOFError, at the end."""
        items = self._items
        if not items and timeout is None:
            self._link.lead_for(self, items)
        try:
            item = items.popleft()
        except IndexError:
            item = self._await_item(timeout)
        if self._taken() == self._mark:
            self._grant()
        return item

    @rare
    def _await_item(self, timeout):
        deadline = deadline_of(timeout)
        items = self._items
        while True:
            self._link.wait(lambda: items or self._ended, self._bells, deadline)
            try:
                return items.popleft()
            except IndexError:  # another thread took it, or the end, or the time is over
                if self._ended:
                    self._raise_end()
                    raise EOFError("%r has ended" % self)
                if deadline is not None and monotonic() >= deadline:
                    raise TimeoutError("no item after %r seconds" % timeout)

    @rare
    def _raise_end(self):
        error = self._getremoteerror()
        if error is not None:
            raise error

    @rare
    def _getremoteerror(self):
        try:
            return self._errors.pop(0)
        except IndexError:
            return None if self._closed else self._link.lost

    @rare
    def waitclose(self, timeout=None):
        """Returns when nothing more can arrive; raises the pending error."""
        if not self._link.wait(lambda: self._ended, self._bells, deadline_of(timeout)):
            raise TimeoutError("not closed after %r seconds" % timeout)
        self._raise_end()

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.receive()
        except EOFError:
            raise StopIteration

    next = __next__

    @rare
    def close(self, error=None):
        """Ends the channel on both sides; with a text, in an error at the peer."""
        if self._executing:
            raise OSError("explicit close of %r: the channel of a running task closes with it" % self)
        self._close(error)

    def _close(self, error):
        link = self._link
        with link.wire:
            if self._closed or link.lost:
                return
            link.out.append(pack_head(CLOSE, self.id) if error is None else close_error_frame(self.id, error))
            self._set_closed()
        link.wake(self._bells)
        link.flush()

    def _set_closed(self):
        """Under wire."""
        self._closed = self._ended = True
        self._sendable = False
        self._arriving = None
        self._outgoing.clear()
        self._link.channels.pop(self.id, None)

    def _finish(self, text):
        """The end of the task whose channel this is."""
        link = self._link
        if link.forked:  # a child that came back out of the task: it is nobody's agent
            if text:
                sys.stderr.write(text + "\n")
            leave(1 if text else 0)
        self._executing = False
        if self._task:
            if get_ident() == link.main_ident:
                link.main_idle = True  # in a moment: who sees the CLOSE may rely on it
            self._task = False
            link.executing -= 1
            self._close(text)

    @rare
    def _grant(self):
        """The user has reached a mark."""
        link = self._link
        with link.wire:
            while self._marks and self._marks[0][0] == self._mark:
                self._give(self._marks.popleft()[1])
            self._mark = self._marks[0][0] if self._marks else 0
            self._help_arriving()
        link.flush(False)
        if link.rest:
            link.ring()

    @rare
    def _give(self, amount):
        if amount and not self._closed:
            self._granted += amount
            self._link.push(CREDIT, self.id, u64_struct.pack(amount))

    @rare
    def _set_mark(self):
        """Under wire: the items that came so far are granted when the last is taken."""
        self._marks.append((self._count, self._since))
        self._since = 0
        if not self._mark:
            self._mark = self._count

    @rare
    def _help_arriving(self):
        """Under wire. Lets an item grow that alone exceeds the window (wire.md, 5)."""
        item = self._arriving
        if item is None or item.total - item.filled <= self._granted - self._arrived:
            return
        if self._items:  # not yet: the user has to take them first, and calls us then
            if not self._marks or self._marks[-1][0] != self._count:
                self._set_mark()
            if self._items:
                return
            while self._marks:  # all taken meanwhile, perhaps before the mark stood there
                self._give(self._marks.popleft()[1])
            self._mark = 0
        filled = item.filled  # the leader may read more meanwhile
        self._give(filled - item.granted)
        item.granted = filled

    def __del__(self):
        try:
            link = self._link
            if not self._closed and not link.lost:
                link.dropped.append(self.id)
                link.flush(False)
                if link.rest:
                    link.ring()
            for error in self._errors:
                error.warn()
        except BaseException:  # the interpreter is going down, or the channel never was
            pass


@rare
class Outgoing:
    """An item on its way out."""

    __slots__ = ("word", "view", "offset", "total", "done")

    def __init__(self, tag, payload):
        self.word = tag
        self.view = memoryview(payload)
        self.offset = 0
        self.total = len(payload)
        self.done = False


@rare
class Arriving:
    """An item that comes in several frames, or one that is longer than what was read.

    Its bytes are read straight into a BytesIO over a fresh bytes object. Nobody else
    holds that object, so getbuffer() writes into it and getvalue() gives it away
    without a copy; and bytes(n) is calloc, which takes memory as it is touched.
    """

    __slots__ = ("tag", "total", "cost", "filled", "granted", "file", "view")

    def __init__(self, tag, total):
        self.tag = tag
        self.total = total
        self.cost = 0  # so far
        self.filled = 0
        self.granted = 0
        self.file = BytesIO(bytes(total))
        self.view = self.file.getbuffer()

    def value(self):
        self.view.release()
        return self.file.getvalue()


@rare
def deadline_of(timeout):
    if timeout is None:
        return None
    if timeout < 0:
        raise ValueError("negative timeout")
    return monotonic() + timeout


@rare
def close_error_frame(number, error):
    text = str(error).encode("utf-8", "backslashreplace")[-MAX_ERROR_TEXT:]
    text = text.decode("utf-8", "ignore").encode()  # no half character in front
    return pack_head(CLOSE_ERROR | len(text) << 8, number) + text


@rare
class Gateway:
    """What user code sees of the connection: channel.gateway."""

    def __init__(self, link):
        self._link = link
        self.id = link.name + "-worker"
        self.execmodel = ExecModel(link.execmodel)

    def __repr__(self):
        return "<Gateway id=%r %s, %s model, %d active channels>" % (
            self.id, "not-receiving" if self._link.lost else "receive-live",
            self.execmodel.backend, len(self._link.channels))

    def newchannel(self):
        return self._link.new_channel()

    def join(self, timeout=None):
        self._link.wait(lambda: self._link.lost, self._link.main_bells, deadline_of(timeout))


# --- the connection --------------------------------------------------------------------


class Link:
    """The connection: frames in and out, who leads, and the backend of task.py."""

    # Of the connection.
    greeted = False
    forked = False
    lost = None  # the EOFError that ended the connection
    gateway = None
    last_theirs = -1
    last_ours = 0
    executing = 0
    # Reading; the leader's.
    left = b""  # the beginning of a frame
    frame = None  # (channel, its Arriving, bytes that its current frame lacks, END or 0)
    read_size = 65536
    must_poll = False
    staging = None  # what readv may bring after the rest of a frame
    # Writing; under wire.
    out_size = 0
    burst = 0  # sends since somebody waited
    timer = False  # the stand-by flushes soon
    writing = None  # the thread that holds writer
    rest = None  # a batch that the transport took in part; the writer's
    # Waiting.
    leads = 0  # counts: the stand-by sees that others come and go
    led_for = None  # the bells that `leader`, the last thread to lead in wait(), would listen to
    main_idle = False
    asleep = False  # the stand-by, deeply
    polling = False  # the stand-by leads, and is in poll
    pipe = None  # wakes the stand-by when it polls

    def __init__(self, fd_in, fd_out):
        self.fd_in = fd_in
        self.fd_out = fd_out
        self.pid = getpid()
        self.main_ident = get_ident()
        self.wire = _thread.RLock()
        self.writer = allocate_lock()
        self.lead = allocate_lock()
        self.bell = allocate_lock()  # the stand-by's
        self.bell.acquire()
        self.channels = {}  # id -> weak reference
        self.opening = {}  # id -> Channel that nobody holds yet
        self.control = []  # frames that overtake items
        self.out = []  # small frames, paid for
        self.turns = deque()  # channels with an Outgoing and, as far as known, credit
        self.dropped = []  # ids of channels that were collected
        self.followers = {}  # bells of threads that wait while another leads
        self.main_bells = []
        self.jobs = deque()
        self.main_jobs = deque()  # those that only the main thread may take

    @rare
    def get_gateway(self):
        if self.gateway is None:
            self.gateway = Gateway(self)
        return self.gateway

    # -- waiting and leading

    def wait(self, ready, bells, deadline):
        """Until ready(), leading if nobody else does. False when the time is over."""
        if self.forked:
            raise OSError("the connection belongs to another process, pid %d" % self.pid)
        self.burst = 0
        if self.out or self.control:
            self.flush()
        bell = None
        while not ready():
            if self.lead.acquire(False):
                self.leads += 1
                self.led_for = bells
                self.leader = get_ident()
                try:
                    while not ready():
                        if deadline is None:
                            self.pump(None)
                        else:
                            left = deadline - monotonic()
                            self.pump(max(0, left))
                            if left <= 0:
                                return bool(ready())
                finally:
                    self.pass_lead()
                return True
            if bell is None:
                bell = allocate_lock()
                bell.acquire()
            bells.append(bell)
            self.followers[bell] = True
            try:
                if not ready() and self.lead.locked():
                    timeout = -1 if deadline is None else deadline - monotonic()
                    if deadline is not None and timeout <= 0:
                        return False
                    bell.acquire(True, timeout)
            finally:
                bells.remove(bell)
                self.followers.pop(bell, None)
                if self.followers and not self.lead.locked():
                    self.wake_one()  # we may have been meant to lead, and will not
        return True

    @rare
    def lead_for(self, channel, items):
        """The common case of wait: 1 us less in each round trip."""
        self.burst = 0
        if not (self.out or self.control) and self.lead.acquire(False):
            self.leads += 1
            try:
                while not (items or channel._ended):
                    self.pump(None)
            finally:
                self.pass_lead()

    def pass_lead(self):
        self.lead.release()
        if self.followers:
            self.wake_one()
        elif self.asleep:
            self.ring()

    def wake_one(self):
        try:
            bell, _ = self.followers.popitem()
        except KeyError:
            return
        bell.release()

    def wake(self, bells):
        for bell in list(bells):
            if self.followers.pop(bell, None):
                bell.release()
        if self.led_for is bells and self.leader != get_ident():
            self.push(PING, 0, bytes(8))  # it sits in read: the answer wakes it

    @rare
    def ring(self):
        """Makes the stand-by look around now."""
        if self.polling:
            try:
                write(self.pipe[1], b"!")
            except OSError:
                pass  # full: it is on its way
        else:
            try:
                self.bell.release()
            except RuntimeError:
                pass  # rung already

    @rare
    def start_timer(self):
        """Under wire: something was collected that the stand-by has to see to."""
        self.timer = True
        self.ring()

    # -- the backend of task.py

    def next_job(self, main):
        if not main:
            return self.stand_by()
        self.main_idle = True
        try:
            self.wait(lambda: self.main_jobs or self.jobs or self.lost, self.main_bells, None)
        finally:
            self.main_idle = False
        for jobs in (self.main_jobs, self.jobs):
            try:
                job = jobs.popleft()
                if self.jobs:
                    self.ring()
                return job
            except IndexError:
                pass
        return None if self.lost else self.next_job(True)

    @rare
    def push_job(self, job):
        self.main_jobs.append(job)
        self.wake(self.main_bells)

    @rare
    def stand_by(self):
        """The dispatcher's wait: leads while nobody else does.

        As long as others lead by turns it only looks in every TICK; while one of them
        leads steadily it sleeps until that one leaves. So an idle agent uses no CPU, and
        a ping-pong is disturbed 500 times a second at most (under 1 %).
        """
        if self.pipe is None:
            self.pipe = os.pipe()
            os.set_blocking(self.pipe[1], False)
            self.poll_all = select.poll()
            self.poll_all.register(self.fd_in, select.POLLIN)
            self.poll_all.register(self.pipe[0], select.POLLIN)
        while True:
            if self.jobs and not self.main_idle:
                try:
                    return self.jobs.popleft()
                except IndexError:
                    continue
            if self.lost:
                return None
            seen = self.leads
            self.bell.acquire(True, TICK)
            if self.rest or self.timer:
                self.flush_late()
            if self.lead.locked():
                if seen == self.leads and not self.rest and not self.timer:
                    self.asleep = True
                    if self.lead.locked() and not (self.timer or self.rest or self.lost or self.jobs and not self.main_idle):
                        self.bell.acquire()
                    self.asleep = False
            elif seen == self.leads and self.lead.acquire(False):
                try:
                    self.lead_alone()
                finally:
                    self.pass_lead()

    @rare
    def lead_alone(self):
        """Until a user's thread waits, who leads better, or a job is to be started."""
        while not (self.followers or self.lost or self.jobs and not self.main_idle):
            self.polling = True
            has_rest = bool(self.rest)  # another thread may change it meanwhile
            if has_rest:
                self.poll_all.register(self.fd_out, 4)  # POLLOUT
            timeout = FLUSH_TICK if self.timer else None
            if self.followers or self.lost or self.jobs and not self.main_idle:
                timeout = 0  # came before `polling` was seen
            ready = self.poll_all.poll(timeout)
            self.polling = False
            if has_rest:
                self.poll_all.unregister(self.fd_out)
            for fd, _ in ready:
                if fd == self.fd_in:
                    self.pump(None)
                elif fd == self.pipe[0]:
                    read(fd, 64)
            if self.rest or self.timer:
                self.flush_late()

    @rare
    def flush_late(self):
        """The timer's turn. It stops when a whole tick brought nothing."""
        with self.wire:
            if not self.out and not self.rest:
                self.timer = False
                self.burst = 0
        self.flush(False)

    # -- writing

    @rare
    def push(self, kind, number, payload=b""):
        """Queues a control frame that overtakes items."""
        with self.wire:
            self.control.append(pack_head(kind | len(payload) << 8, number) + payload)
            if len(self.control) > MAX_CONTROL:
                exit_hard(1)  # the peer reads nothing, but has a lot to ask

    def flush(self, may_wait=True):
        """Writes what is queued, as far as credit and (unless may_wait) the transport go."""
        me = get_ident()
        # A __del__ that sends may run while this very thread writes: then only queue.
        while self.writer.acquire(may_wait and self.writing != me):
            self.writing = me
            try:
                batch = self.rest or self.take()
                while batch:
                    self.rest = self.put(batch, may_wait)
                    if self.rest:
                        return
                    batch = self.take()
            finally:
                self.writing = None
                self.writer.release()
            if not (self.control or self.out or self.dropped or self.turns):
                return

    def write_now(self, frame):
        """Writes one frame before anything else. The caller has acquired writer."""
        self.writing = get_ident()
        try:
            self.rest = self.put([frame], True)
        finally:
            self.writing = None
            self.writer.release()
        if self.control or self.out or self.dropped or self.turns:
            self.flush()

    @rare
    def flush_at_end(self):
        """What tasks have sent before the end; bounded, if the peer does not read."""
        deadline = monotonic() + 5
        self.lost = self.lost or True
        while True:
            self.flush(False)
            if not self.rest or monotonic() >= deadline:
                return
            wait_writable(self.fd_out, 100)

    def take(self):
        """The next batch: control frames, small items, then the channels' turns."""
        with self.wire:
            while self.dropped:
                number = self.dropped.pop()
                if self.channels.pop(number, None):
                    self.out.append(pack_head(CLOSE, number))
            batch = self.control
            if batch:
                self.control = []
            if self.out:
                batch = batch + self.out
                self.out = []
                self.out_size = 0
            if len(batch) > 1:
                batch = [b"".join(batch)]
            if self.turns:
                self.take_turns(batch)
            return batch

    @rare
    def take_turns(self, batch):
        room = BATCH
        turns = self.turns
        while turns and room > 0 and len(batch) < MAX_VECTOR:
            channel = turns.popleft()
            size = self.next_frame(channel, batch)
            room -= size
            if size and channel._outgoing:
                turns.append(channel)  # without credit it comes back with CREDIT

    @rare
    def next_frame(self, channel, batch):
        """Appends one frame of the channel's first item; gives its size, 0 without credit."""
        if not channel._outgoing:
            return 0
        item = channel._outgoing[0]
        offset = item.offset
        left = item.total - offset
        credit = channel._credit
        prefix = b""
        word = item.word
        cost = 0
        if not offset and not word & 0xF00:  # not begun
            cost = 32
            if left <= self.cut and credit >= left + 32:
                word |= BEGIN
            else:
                if word == INT or credit < 32 + 8 + 1:
                    return 0
                word |= BEGIN
                prefix = u64_struct.pack(item.total)
                cost = 40
                item.word |= 0x100  # begun
        size = min(left, self.cut - len(prefix), credit - cost)
        if size <= 0 and left:
            return 0
        if size == left:
            word |= END
        channel._credit = credit - cost - size
        batch.append(pack_head(word & 0xFF | size + len(prefix) << 8, channel.id) + prefix)
        if size:
            batch.append(item.view[offset:offset + size])
        item.offset = offset + size
        if size == left:
            channel._outgoing.popleft()
            item.done = True
            if not channel._outgoing:
                channel._sendable = not channel._closed
            self.wake(channel._bells)
        return size + 8

    def put(self, batch, may_wait):
        """Writes a batch; gives what is left of it when it may not wait."""
        while batch:
            try:
                done = write(self.fd_out, batch[0]) if len(batch) == 1 else writev(self.fd_out, batch)
            except BlockingIOError:
                if not may_wait:
                    return batch
                wait_writable(self.fd_out)
                continue
            except OSError as error:
                self.end(EOFError("connection lost: %s" % error))
                return []
            while batch and done >= len(batch[0]):
                done -= len(batch[0])
                del batch[0]
            if done:
                batch[0] = memoryview(batch[0])[done:]
        return batch

    # -- reading; the leader only

    def pump(self, timeout):
        """One read, and what comes of it. False when there was nothing in time."""
        if self.rest:
            self.flush(False)
        if timeout is not None or self.must_poll or self.rest:
            if not self.await_input(timeout):
                return False
        try:
            if self.frame is not None:
                self.read_item()
                return True
            data = read(self.fd_in, self.read_size)
            if len(data) == self.read_size:
                self.read_size = 262144  # a flood: 64 KiB at a time would do, but not 4
            else:
                self.read_size = 4096 if len(data) < 4096 else 65536
        except BlockingIOError:
            self.must_poll = True
            return False
        except OSError as error:
            self.end(EOFError("connection lost: %s" % error))
            return True
        if data:
            self.guarded(self.feed, data)
        else:
            self.end(EOFError("connection lost: end of the stream"))
        return True

    @rare
    def await_input(self, timeout):
        poll = select.poll()
        poll.register(self.fd_in, select.POLLIN)
        if self.rest:
            poll.register(self.fd_out, select.POLLOUT)
        ready = poll.poll(None if timeout is None else 1000 * timeout)
        return any(fd == self.fd_in for fd, _ in ready)

    def guarded(self, handle, *args):
        try:
            handle(*args)
        except ProtocolError as error:
            self.refuse_peer(error)

    @rare
    def refuse_peer(self, error):
        if not self.lost:
            sys.stderr.write("gangway agent: protocol error: %s\n" % error)
            self.end(EOFError("connection lost: protocol error: %s" % error))

    @rare
    def read_item(self):
        """Reads the rest of a frame straight into its item, and some more beside it."""
        channel, item, lacks, last = self.frame
        if self.staging is None:
            self.staging = bytearray(4096)
        got = readv(self.fd_in, (item.view[item.filled:item.filled + lacks], self.staging))
        if not got:
            return self.end(EOFError("connection lost: end of the stream"))
        here = min(got, lacks)
        item.filled += here
        if here < lacks:
            self.frame = channel, item, lacks - here, last
            return
        self.frame = None
        self.guarded(self.item_grown, channel, item, last)
        if got > lacks:
            self.guarded(self.feed, bytes(self.staging[:got - lacks]))

    def feed(self, data):
        """Handles every complete frame, and the part that is here of a large one."""
        if self.left:
            data = self.left + data
            self.left = b""
        position = 0
        end = len(data)
        try:
            while end - position >= 8:
                word, number = unpack_head(data, position)
                body = position + 8
                stop = body + (word >> 8)
                if word == INT_WORD:
                    if stop > end:
                        break
                    position += self.ints(number, data, position, (end - position) // 16)
                    continue
                if stop > end:
                    if word >> 8 > MAX_FRAME:
                        raise ProtocolError("a frame of %d bytes" % (word >> 8))
                    if word & 0xC0 or word >> 8 <= 4096 or not readv or not self.begin_frame(word, number, data, body, end):
                        break
                    position = end
                    break
                if not word & 0xC0:
                    self.item_frame(word, number, data, body, stop)
                elif not word & 0x80:  # else optional, and unknown to us
                    self.control_frame(word & 0xFF, number, data[body:stop])
                position = stop
                if self.lost:
                    break  # TERMINATE: what follows it is void
        finally:
            self.left = data[position:] if position else data

    @rare
    def ints(self, number, data, position, most):
        """A run of INT frames of one channel; gives the bytes that were used."""
        channel = self.find(number)
        if most == 1:
            values = (int_struct.unpack_from(data, position)[2],)
        else:
            values = []
            take = values.append
            head = INT_WORD | number << 32
            for other, value in iter_run(memoryview(data)[position:position + 16 * most]):
                if other != head:
                    break
                take(value)
        n = len(values)
        if channel is not None:
            if channel._arriving:
                raise ProtocolError("a begin within an item")
            self.charge(channel, INT_COST * n)
            self.arrived(channel, values, n, INT_COST * n)
        return 16 * n

    def charge(self, channel, cost):
        channel._arrived += cost
        if channel._arrived > channel._granted:
            raise ProtocolError("more than its credit on channel %d" % channel.id)

    @rare
    def arrived(self, channel, values, n, cost):
        """Complete items for a channel's readers."""
        with self.wire:  # a user's thread may set a mark at the same time
            channel._count += n
            channel._since += cost
            if channel._since >= self.quarter:
                channel._set_mark()
            channel._items.extend(values)
        if channel._bells:
            self.wake(channel._bells)

    @rare
    def begin_frame(self, word, number, data, body, end):
        """An item frame of which only a part is here: its rest is read in place."""
        entry = self.enter_frame(word, number, data, body, word >> 8)
        if entry is None:
            return False
        channel, item, skip = entry
        here = end - body - skip
        item.view[item.filled:item.filled + here] = memoryview(data)[body + skip:end]
        item.filled += here
        self.frame = channel, item, (word >> 8) - skip - here, word & END
        return True

    def item_frame(self, word, number, data, body, stop):
        """A complete item frame."""
        size = stop - body
        if word & 0x3F == BEGIN | END | EXEC:
            channel = self.find_for_exec(number)
            if channel:
                self.charge(channel, size + 32)
                self.execute(channel, plain_loads(data[body:stop]), size + 32)
            return
        self.plain_item_frame(word, number, data, body, stop)

    @rare
    def plain_item_frame(self, word, number, data, body, stop):
        size = stop - body
        if word & 0x30 == 0x30 and 0 < word & 15 < INT:
            channel = self.find(number)
            if channel is not None:
                if channel._arriving:
                    raise ProtocolError("a begin within an item")
                self.charge(channel, size + 32)
                self.arrived(channel, (decode(word & 15, data[body:stop]),), 1, size + 32)
            return
        entry = self.enter_frame(word, number, data, body, size)
        if entry is not None:
            channel, item, skip = entry
            item.view[item.filled:item.filled + size - skip] = memoryview(data)[body + skip:stop]
            item.filled += size - skip
            self.item_grown(channel, item, word & END)

    @rare
    def enter_frame(self, word, number, data, body, size):
        """Checks and charges a frame; gives channel, item and the bytes of its prefix.
        None when the channel is closed here."""
        tag = word & 15
        channel = self.find_for_exec(number) if tag == EXEC and word & BEGIN else self.find(number)
        if channel is None:
            return None
        item = channel._arriving
        skip = 0
        cost = size
        if word & BEGIN:
            if item or tag not in (PICKLE, BYTES, STR, EXEC):
                raise ProtocolError("kind %#x within an item, or unknown" % (word & 0xFF))
            total = size
            if not word & END:
                if size < 9:
                    raise ProtocolError("a first frame of %d bytes" % size)
                total = unpack_u64(data, body)[0]
                skip = 8
            if total > self.max_item:
                raise ProtocolError("an item of %d bytes" % total)
            item = channel._arriving = Arriving(tag, total)
            cost += 32
        elif item is None or item.tag != tag:
            raise ProtocolError("a continuation without a begin on channel %d" % number)
        left = item.total - item.filled - (size - skip)
        if left < 0 or bool(left) == bool(word & END) or left and size == skip:
            raise ProtocolError("an item of another size than announced")
        self.charge(channel, cost)
        item.cost += cost
        return channel, item, skip

    @rare
    def item_grown(self, channel, item, last):
        """A frame of a large item is complete."""
        if channel._arriving is not item:
            return  # closed in between
        if last:
            with self.wire:  # a user's thread may be granting what has come so far
                channel._arriving = None
                cost = item.cost - item.granted
            data = item.value()
            if item.tag == EXEC:
                self.execute(channel, plain_loads(data), cost)
            else:
                self.arrived(channel, (decode(item.tag, data),), 1, cost)
        elif item.total - item.filled > channel._granted - channel._arrived:
            with self.wire:
                channel._help_arriving()
            self.flush(False)

    def execute(self, channel, request, cost):
        """A new job: for the main thread if it is idle, else for the dispatcher."""
        self.opening.pop(channel.id, None)
        channel._task = True
        channel._since += cost  # taken already; granted with the items that follow
        if channel._since >= self.quarter:
            with self.wire:
                channel._give(channel._since)
                channel._since = 0
        self.executing += 1
        self.jobs.append((channel, request))
        if self.main_idle:
            self.wake(self.main_bells)
        elif self.pipe:
            self.ring()

    # -- channels

    def find(self, number):
        """The live channel, or None when it is closed here."""
        reference = self.channels.get(number)
        if reference is not None:
            return reference()
        self.check_known(number)

    def find_for_exec(self, number):
        channel = self.find(number)
        if channel and (channel._arrived or not number & 1):
            raise ProtocolError("an EXEC that is not the first item of channel %d" % number)
        return channel

    def check_known(self, number):
        if number > (self.last_theirs if number & 1 else self.last_ours) or not number:
            raise ProtocolError("channel %d was never opened" % number)

    def open_theirs(self, number):
        if not number & 1 or number <= self.last_theirs or not self.greeted:
            raise ProtocolError("channel %d cannot be opened" % number)
        self.last_theirs = number
        # Held here until its task starts, or an item brings it to the user.
        self.opening[number] = self.add_channel(number)

    def add_channel(self, number):
        new = Channel(self, number)
        self.channels[number] = ref(new)
        return new

    @rare
    def new_channel(self):
        with self.wire:
            if self.lost:
                raise OSError("no new channel: %s" % self.lost)
            if sum(not number & 1 for number in self.channels) >= self.max_channels:
                raise OSError("no new channel: %d are open" % self.max_channels)
            self.last_ours += 2
            new = self.add_channel(self.last_ours)
            self.push(OPEN, new.id)
        self.flush()
        return new

    @rare
    def channel_by_id(self, number):
        """What a reference in an item stands for; a closed channel if it is gone here."""
        found = self.opening.pop(number, None) or self.find(number)
        if found is None:
            found = Channel(self, number)
            found._closed = found._ended = True
            found._sendable = False
        return found

    # -- control frames

    def control_frame(self, kind, number, payload):
        if kind == TERMINATE and not number and not payload and self.greeted:
            self.end(EOFError("terminated by the controller"))
        elif kind == HELLO and not number and not self.greeted:
            greet(self, payload)
        elif kind == OPEN and number and not payload:
            self.open_theirs(number)
        else:
            self.other_frame(kind, number, payload)

    @rare
    def other_frame(self, kind, number, payload):
        size = len(payload)
        # Needs a channel?, size of the payload or None for any
        channel, right_size = {
            PING: (False, 8), PONG: (False, 8), STATUS: (False, 8), CREDIT: (True, 8), CLOSE: (True, 0), CLOSE_ERROR: (True, None),
            LAST_MESSAGE: (True, 0), INTERRUPT: (True, 0)}.get(kind, (None, 0))
        if channel is not bool(number) or right_size not in (None, size) or size > CUT or not self.greeted:
            raise ProtocolError("kind %#x with %d bytes on channel %d" % (kind, size, number))
        if kind == CREDIT:
            self.credit(number, unpack_u64(payload)[0])
        elif kind == PING:
            self.answer(PONG, payload)
        elif kind == STATUS:
            self.answer(STATUS_REPLY, payload + spell({
                "numchannels": len(self.channels), "numexecuting": self.executing, "execmodel": self.execmodel}))
        elif kind == INTERRUPT:
            self.check_known(number)
        elif kind != PONG:
            self.closed_by_peer(kind, number, payload)

    @rare
    def answer(self, kind, payload):
        self.push(kind, 0, payload)
        self.flush(False)

    @rare
    def credit(self, number, amount):
        channel = self.find(number)
        if not self.window or not amount:
            raise ProtocolError("credit of %d with a window of %d" % (amount, self.window))
        if channel is None:
            return
        with self.wire:
            channel._credit += amount
            if channel._credit > self.window:
                raise ProtocolError("credit above the window on channel %d" % number)
            if channel._outgoing and channel not in self.turns:
                self.turns.append(channel)
        if channel._outgoing:
            self.flush(False)

    @rare
    def closed_by_peer(self, kind, number, payload):
        channel = self.find(number)
        if channel is None:
            return
        with self.wire:
            if kind == CLOSE_ERROR:
                channel._errors.append(RemoteError(payload.decode("utf-8", "replace")))
            if kind == LAST_MESSAGE:
                channel._ended = True
                channel._arriving = None
            else:
                channel._set_closed()
        self.wake(channel._bells)

    # -- the end

    def end(self, error):
        with self.wire:
            if self.lost:
                return
            self.lost = error
            self.cut_off()
        while self.followers:
            self.wake_one()
        if self.pipe:
            self.ring()

    def cut_off(self):
        """Every channel is at its end; what has arrived stays."""
        for reference in list(self.channels.values()):
            channel = reference()
            if channel is not None:
                channel._ended = True
                channel._sendable = False
                channel._arriving = None
                channel._outgoing.clear()
        self.opening.clear()
        self.turns.clear()

    @rare
    def after_fork(self):
        """In a child of user code: it must neither speak nor listen on the wire."""
        self.forked = True
        self.wire = _thread.RLock()
        self.writer = allocate_lock()
        self.lead = allocate_lock()
        self.followers = {}
        self.lost = EOFError("the connection belongs to process %d" % self.pid)
        self.cut_off()
        for fd in (self.fd_in, self.fd_out):
            try:
                os.close(fd)
            except OSError:
                pass


# --- start and end ---------------------------------------------------------------------


def greet(self, payload):
    """The controller's HELLO, and ours."""
    config = plain_loads(payload)
    get = config.get
    self.greeted = True
    self.window = get("window", 0)
    self.quarter = self.window // 4 or UNLIMITED
    self.cut = min(CUT, get("max_frame", CUT))
    # The controller may execute code here: its limit may as well be ours.
    self.max_item = self.peer_max_item = get("max_item", 1 << 31)
    self.max_channels = get("max_channels", 1024)
    self.execmodel = get("execmodel", "thread")
    self.debug = get("debug", 0)
    self.name = get("id", "gateway")
    reply = {
        "protocol": (1, 0), "version": VERSION, "max_frame": MAX_FRAME, "max_item": self.max_item,
        "capabilities": [], "agent": "portable", "python": "%d.%d.%d" % sys.version_info[:3],
        "implementation": sys.implementation.name, "pid": self.pid,
        "executable": (sys.executable or "").encode("utf-8", "replace").decode(),
    }
    error = None
    if (config["protocol"][0] != 1 or self.execmodel != "thread"
            or "chdir" in config or "nice" in config or "env" in config):
        error = settle(config)
    if error:
        reply["error"] = error
    if self.debug:
        trace("creating workergateway on %r" % self)
    nonce = "".join(map("{:02x}".format, config["nonce"]))
    marker = "<GW1 %s%s>\n" % (nonce[16:], nonce[:16])
    hello = spell(reply)
    self.control.append(marker.encode() + pack_head(HELLO | len(hello) << 8, 0) + hello)
    self.flush()
    if error:
        leave(1)


@rare
def settle(config):
    """Whatever is not the default; gives the text of what we cannot do."""
    if config["protocol"][0] != 1:
        return "protocol %r: this agent speaks 1.0" % (config["protocol"],)
    if config["execmodel"] not in ("thread", "main_thread_only"):
        return "execmodel %r" % config["execmodel"]
    try:
        for name, value in config.get("env", {}).items():  # UTF-8 whatever the locale says
            os.environb[name.encode()] = value.encode()
        os.nice(config.get("nice", 0))
        if config.get("chdir"):
            path = config["chdir"].encode()
            if not os.path.isdir(path):
                os.mkdir(path)
            os.chdir(path)
    except Exception as error:
        return "%s: %s" % (type(error).__name__, error)


@rare
def trace(text):
    """EXECNET-SURFACE.md, section 11. Never raises."""
    try:
        line = "[%d] %s\n" % (getpid(), text)
        if link.debug == 2:
            sys.stderr.write(line)
        else:
            import tempfile

            with open(os.path.join(tempfile.gettempdir(), "execnet-debug-%d" % getpid()), "a") as file:
                file.write(line)
    except Exception:
        pass


@rare
def wait_writable(fd, timeout=None):
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll(timeout)


def widen(fd):
    """A pipe of 1 MiB moves three times as much as one of 64 KiB (TARGETS.md)."""
    import fcntl

    try:
        fcntl.fcntl(fd, 1031, BATCH)  # F_SETPIPE_SZ
    except OSError:
        pass  # a socket, or the user has too many pipes


def watch_forks(link):
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=link.after_fork)
        return
    fork = os.fork  # 3.6

    def guarded_fork():
        pid = fork()
        if not pid:
            link.after_fork()
        return pid

    os.fork = guarded_fork


def main():
    global link
    sys.path[:] = path  # stage 0 has taken the current directory out
    fd_in, fd_out = take_stdio()
    os.set_blocking(fd_out, False)
    widen(fd_out)
    link = Link(fd_in, fd_out)
    watch_forks(link)
    Tasks(link).serve()
    if link.out or link.rest:
        link.flush_at_end()
    leave()
