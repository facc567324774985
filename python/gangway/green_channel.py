"""What a channel does in green threads (green.py)."""

from __future__ import annotations

import weakref

from . import green
from ._gangway import NOTHING
from .async_channel import deadline_of, rest_of
from .channel import Channel
from .errors import NotInTime, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

END = object()  # of a channel with a callback
NO_ENDMARKER = object()


class GreenChannel(Channel):
    """A Channel whose waits are for the hub. Callbacks run in green threads of the hub where they were set,
    one at a time for each gateway."""

    _in_callback: Any = None  # the green thread

    @staticmethod
    def _port() -> green.HubPort:
        raise NotImplementedError

    @staticmethod
    def _current() -> Any:
        from greenlet import getcurrent

        return getcurrent()

    def send(self, item: Any) -> None:
        operation = self._start_send(item)
        if operation is not None:
            self._port().completed(operation)

    def receive(self, timeout: float | None = None) -> Any:
        deadline = deadline_of(timeout)
        item = self._try_receive()
        while item is NOTHING:
            try:
                item = self._port().completed(self._start_receive(), rest_of(deadline))
            except NotInTime:
                raise TimeoutError("no item after %r seconds" % timeout) from None
        return item

    def __next__(self) -> Any:
        try:
            return self.receive()
        except EOFError:
            raise StopIteration from None

    next = __next__

    def waitclose(self, timeout: float | None = None) -> None:
        if self._in_callback is not None and self._in_callback is self._current():
            raise OSError("waitclose on %r in its own callback would wait for itself" % self)
        deadline = deadline_of(timeout)
        ended = False
        while not ended:
            try:
                ended = self._port().completed(self._start_waitclose(), rest_of(deadline))
            except NotInTime:
                raise TimeoutError("not closed after %r seconds" % timeout) from None

    def interrupt(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().interrupt()
        return self._port().completed(self._start_interrupt(timeout))

    def setcallback(self, callback: Callable[[Any], Any], endmarker: Any = NO_ENDMARKER) -> None:
        if not callable(callback):
            raise TypeError("%r is not callable" % (callback,))
        port = self._port()
        this = weakref.ref(self)
        watched = [port]  # until the end

        def unwatch() -> None:
            if watched:
                watched.pop().release()

        def run(item: Any) -> None:
            channel = this()
            if channel is not None:
                channel._in_callback = channel._current()
            try:
                if item is not END:
                    callback(item)
                elif endmarker is not NO_ENDMARKER:
                    callback(endmarker)
            finally:
                if channel is not None:
                    channel._in_callback = None
                if item is END:
                    unwatch()

        port.acquire()
        try:
            super().setcallback(lambda item: port.call(run, (item,)), END)
        except BaseException:
            unwatch()
            raise


class GeventChannel(GreenChannel):
    _port = staticmethod(green.gevent_port)


class EventletChannel(GreenChannel):
    _port = staticmethod(green.eventlet_port)
