"""Channel.setcallback(): what becomes of items that nobody receives.

The items of such a channel stay in its queue, and are paid for when they leave it, as ever.
`link.calls` has a token for each of them, and one more when the channel ends: the channel,
in the order of arrival. The callback thread, one for all channels, waits for tokens, which
makes it the leader while nobody else waits. While a callback runs, others lead.

The user may drop a channel with a callback: its last act is to send LAST_MESSAGE and to
stay in `link.listening` until the peer ends it.
"""
from _collections import deque  # without the rest of collections: 0.7 ms
from _weakref import ref

from .task import ensure_threading, error_text, get_ident, sleep, start_new_thread
from .wire import LAST_MESSAGE, allocate_lock, pack_head
from .errors import RemoteError
from .transfer import Undecoded
from .link import link


class Callback:
    """Takes the place of a channel's queue. Has no reference to the channel, which is to be
    collected when the user has dropped it."""

    def __init__(self, queue, function, endmarker):
        self.queue = queue
        self.function = function
        self.endmarker = endmarker  # Callback itself: none

    def __bool__(self):
        return True  # so that receive() comes to popleft()

    def __len__(self):
        return len(self.queue)

    def extend(self, values):
        self.queue.extend(values)

    def popleft(self):
        raise OSError("cannot receive: the channel has a callback")

    def put(self, channel, n):
        """Under wire: n tokens."""
        link.calls.extend([channel] * n)
        link.wake(link.call_bells)

    def take(self, channel):
        """Hands over one item, in whatever thread this is."""
        item = self.queue.popleft()
        if channel._taken() == channel._mark:
            channel._grant()
        self.function(item.decode() if type(item) is Undecoded else item)

    def handle(self, channel):
        """One token; the callback thread's."""
        try:
            if self.queue:
                self.take(channel)
            elif channel._ended and channel._callback:
                self.finish(channel)
        except BaseException as error:
            text = error_text(error)
            self.queue.clear()
            channel._errors.append(RemoteError(text))
            channel._close(text)

    def finish(self, channel):
        """The endmarker, once, then whoever waits for the end."""
        try:
            if self.endmarker is not Callback:
                self.function(self.endmarker)
        finally:
            channel._callback = None
            link.wake(channel._bells)
            link.flush()
            if link.calls is not None and link.listening.pop(channel.id, None):  # the user has dropped it before
                channel._close(None)
                for error in channel._errors:
                    error.warn()

    def awaited(self):
        """Is it for waitclose() to wait for the endmarker? Not where it is handed over."""
        return get_ident() != link.caller

    def outlive(self, channel):
        """The last act of a channel that the user has dropped."""
        link.listening[channel.id] = channel
        with link.wire:
            link.out.append(pack_head(LAST_MESSAGE, channel.id))
        link.flush(False)
        if link.rest:
            link.ring()


class Reference:
    """To a channel with a callback. Between the moment when a weak reference dies and
    outlive() it would be nowhere, and what arrives for it lost."""

    def __init__(self, channel):
        self.number = channel.id
        self.weak = ref(channel)

    def __call__(self):
        for _ in range(1000):
            channel = self.weak() or link.listening.get(self.number)
            if channel is not None:
                return channel
            sleep(0.001)


def set_callback(channel, function, endmarker):
    if not callable(function):
        raise TypeError("%r is not callable" % (function,))
    if link.calls is None:
        ensure_threading(link.main_ident)  # here, as its part may not come any more when the thread begins
    with link.wire:
        queue = channel._items
        if type(queue) is Callback:
            raise OSError("%r has a callback already" % channel)
        queue = moved(queue)
        callback = channel._items = Callback(queue, function, endmarker)
    link.wake(channel._bells)  # who receives here is to have its error now
    link.flush()
    try:
        for _ in range(len(queue)):
            callback.take(channel)
        if go_live(channel, callback):
            link.flush()
            return
        while callback.queue:  # nothing is added any more
            callback.take(channel)
    except BaseException:
        channel._items = callback.queue
        raise
    callback.finish(channel)


def moved(queue):
    """A queue of its own: who is about to receive finds the old one empty, and then that there is a callback."""
    new = deque()
    try:
        while True:
            new.append(queue.popleft())
    except IndexError:
        return new


def go_live(channel, callback):
    """From here on it is the callback thread's. False when the channel has ended."""
    with link.wire:
        if channel._ended:
            return False
        if link.calls is None:
            link.listening = {}
            link.call_bells = []
            link.calls = deque()
            link.caller_ended = allocate_lock()
            link.caller_ended.acquire()
            link.caller = start_new_thread(call_back, ())
        link.channels[channel.id] = Reference(channel)
        channel._callback = callback
        callback.put(channel, len(callback.queue))
        return True


def call_back():
    """The callback thread."""
    try:
        link.caller = get_ident()
        while True:
            link.wait(lambda: link.calls or link.lost, link.call_bells, None)
            with link.wire:  # end() says that the connection is lost before it tells the channels
                pass
            try:
                channel = link.calls.popleft()
            except IndexError:
                return
            channel._items.handle(channel)
            channel = None
    finally:
        link.caller_ended.release()


def await_callbacks():
    """The main thread's, at the end: what has arrived, and the endmarkers, are still handed over."""
    try:
        link.caller_ended.acquire()
    except KeyboardInterrupt:
        pass
