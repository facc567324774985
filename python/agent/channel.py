"""Channels, as user code sees them: one end, both directions, flow control and end."""
import sys
from _collections import deque  # without the rest of collections: 0.7 ms
from itertools import count
from _struct import error as StructError
from _weakref import ref

from .task import ExecModel, MAX_ERROR_TEXT, get_ident, leave, monotonic, on_demand, rare
from .wire import (
    BEGIN, CLOSE, CLOSE_ERROR, COALESCE, CREDIT, EAGER, END, INT, INT_COST, INT_WORD, SMALL, UNLIMITED,
    pack_head, pack_int, u64_struct)
from .errors import TimeoutError, refuse
from .callbacks import Callback, set_callback
from .strings import reconfigure_channel
from .files import open_file
from .items import encode
from .transfer import Outgoing, Undecoded


class Channel:
    """One end of a channel. Any method may be called from any thread."""

    RemoteError = RemoteError
    TimeoutError = TimeoutError
    _callback = None  # a Callback, until the end of the channel was told
    _convert = None  # what items go through when they arrive: RECONFIGURE

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
                    if link.burst > EAGER and link.out_size < COALESCE and (link.timer or link.is_flooded()):
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
            self._link.lead_for(self)
        try:
            item = items.popleft()
        except IndexError:
            item = self._await_item(timeout)
        if self._taken() == self._mark:
            self._grant()
        return item.decode() if type(item) is Undecoded else item

    @rare
    def _await_item(self, timeout):
        deadline = deadline_of(timeout)
        while True:
            self._link.wait(lambda: self._items or self._ended, self._bells, deadline)
            try:
                return self._items.popleft()
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
        if not self._link.wait(lambda: self._ended and not (self._callback and self._callback.awaited()), self._bells, deadline_of(timeout)):
            raise TimeoutError("not closed after %r seconds" % timeout)
        self._raise_end()

    @on_demand("files")
    def makefile(self, mode="w", proxyclose=False):
        """A file that writes ("w") or reads ("r") this channel."""
        return open_file(self, mode, proxyclose)

    @on_demand("callbacks")
    def setcallback(self, callback, endmarker=Callback):
        """Hands what arrives to callback, in a thread that serves all callbacks; what is queued
        here and now. With an endmarker that comes last, once, however the channel ends."""
        set_callback(self, callback, endmarker)

    @on_demand("strings")
    def reconfigure(self, py2str_as_py3str=True, py3str_as_py2str=False):
        """How strings arrive from now on, here and at the peer: with py3str_as_py2str as bytes."""
        reconfigure_channel(self, bool(py2str_as_py3str) + 2 * bool(py3str_as_py2str))

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
            raise OSError("explicit close of %r: its task is running" % self)
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
        self._closed = True
        self._end()
        self._link.closed[self.id] = ref(self)
        self._link.channels.pop(self.id, None)

    def _end(self, may_send=False):
        """Under wire: nothing more will come."""
        self._ended = True
        self._arriving = None
        if not may_send:
            self._sendable = False
            self._outgoing.clear()
        if self._callback:
            self._callback.put(self, 1)

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
            del link.tasks[self.id]
            self._close(text)

    @rare
    def _grant(self):
        """The user has reached a mark."""
        link = self._link
        with link.wire:
            while self._marks:
                self._mark = self._marks[0][0]
                if self._mark > self._count - len(self._items):
                    break
                self._give(self._marks.popleft()[1])  # other threads may have gone past it already
            else:
                self._mark = 0
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
        if len(self._items):  # not yet: the user has to take them first, and calls us then
            if not self._marks or self._marks[-1][0] != self._count:
                self._set_mark()
            if len(self._items):
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
            link.closed.pop(self.id, None)
            if not self._closed and not link.lost:
                if self._callback:
                    return self._callback.outlive(self)
                link.dropped.append(self.id)
                link.flush(False)
                if link.rest:
                    link.ring()
            for error in self._errors:
                error.warn()
        except BaseException:  # the interpreter is going down, or the channel never was
            pass


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


@on_demand("gateway")
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
