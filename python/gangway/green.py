"""Waits of the package in green threads: one thread of a hub waits, the others go on.

As in asyncio (event_loop.py), the C++ side makes a descriptor readable when something is over, and the
hub watches that while somebody waits. A hub belongs to one thread; each thread that waits has its own.
"""

from __future__ import annotations

import os
import sys

from . import _gangway
from .errors import NotInTime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class HubPort:
    """The port of one hub, and how green threads wait there. Of the hub's thread, but for call()."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.core = _gangway.Port()
        self.pid = os.getpid()
        self._users = 0

    # What the libraries do differently.

    def watch(self) -> None:
        raise NotImplementedError

    def unwatch(self) -> None:
        raise NotImplementedError

    def flag(self) -> tuple[Callable[[], Any], Callable[[float | None], Any]]:
        """Functions: one that sets it, and one that waits for that and says whether it was in time."""
        raise NotImplementedError

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        raise NotImplementedError

    # The rest is common.

    def acquire(self) -> None:
        """From now on something may come that the hub must look for."""
        self._users += 1
        if self._users == 1:
            self.watch()

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            self.unwatch()

    def completed(self, operation: _gangway.Operation, timeout: float | None = None) -> Any:
        """Starts the operation, and gives its result. NotInTime after `timeout` seconds. Whatever ends the
        wait of the green thread, nobody waits for it any more then."""
        done, wait = self.flag()
        self.acquire()
        try:
            operation.start(self.core, done)
            if not wait(timeout):
                raise NotInTime
            return operation.result()
        finally:
            operation.cancel()  # does nothing when the result was there
            self.release()

    def call(self, function: Callable[..., Any], args: tuple) -> Any:
        """Calls it in a green thread of this hub, while the thread of the caller waits for it. On the hub's
        own thread, calls it."""
        if self.core.on_thread():
            return function(*args)
        outcome: list = []
        handoff = _gangway.Handoff()

        def run() -> None:
            try:
                outcome.append(function(*args))
            except BaseException:
                outcome.append(None)
                outcome.append(sys.exc_info()[1])
            finally:
                handoff.release()

        self.core.call_soon(lambda: self.spawn(run))
        if not handoff.wait():
            return None  # the interpreter ends, and nobody will
        if len(outcome) == 2:
            raise outcome[1]
        return outcome[0]


class GeventPort(HubPort):
    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self._watcher = hub.loop.io(self.core.fileno(), 1)  # 1: readable

    def watch(self) -> None:
        self._watcher.start(self.core.run)

    def unwatch(self) -> None:
        self._watcher.stop()

    def flag(self):
        import gevent.event

        event = gevent.event.Event()
        return event.set, event.wait

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        import gevent

        gevent.spawn(function, *args)


class EventletPort(HubPort):
    def watch(self) -> None:
        def nothing(*_: Any) -> None:  # nobody closes this descriptor under the hub
            pass

        self._listener = self.hub.add(self.hub.READ, self.core.fileno(), lambda _: self.core.run(), nothing, nothing)

    def unwatch(self) -> None:
        self.hub.remove(self._listener)

    def flag(self):
        import eventlet.event

        event = eventlet.event.Event()
        return lambda: event.send(True), event.wait

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        import eventlet

        eventlet.spawn_n(function, *args)


def gevent_port() -> HubPort:
    """The port of this thread's hub."""
    import gevent

    return port_of(gevent.get_hub(), GeventPort)


def eventlet_port() -> HubPort:
    """The port of this thread's hub."""
    import eventlet.hubs

    return port_of(eventlet.hubs.get_hub(), EventletPort)


def port_of(hub: Any, make: type[HubPort]) -> HubPort:
    port = vars(hub).get("_gangway_port")
    if port is None or port.pid != os.getpid():  # a forked child has the hub, and its parent the port
        port = hub._gangway_port = make(hub)
    return port


class GreenGateway:
    """_gangway.Gateway, whose waits are for the hub."""

    def __init__(self, core: _gangway.Gateway, port: Callable[[], HubPort]) -> None:
        self._core = core
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def remote_exec(self, *args: Any) -> Any:
        channel, operation = self._core.start_remote_exec(*args)
        if operation is not None:
            self._port().completed(operation)
        return channel

    def remote_status(self, timeout: float | None = None) -> dict:
        return self._port().completed(self._core.start_remote_status(timeout))

    def stacks(self, timeout: float | None = None) -> str:
        return self._port().completed(self._core.start_stacks(timeout))

    def join(self, timeout: float | None = None) -> bool:
        return self._port().completed(self._core.start_join(timeout))

    def set_output(self, function: Callable[..., Any] | None) -> None:
        self._core.set_output(self._in_hub(function) if callable(function) else function)

    def _in_hub(self, function: Callable[..., Any]) -> Callable[..., Any]:
        port = self._port()
        port.acquire()  # for as long as the hub lives: output has no end
        return lambda *args: port.call(function, args)


class GreenGroup:
    """_gangway.Group, whose waits are for the hub."""

    def __init__(self, core: _gangway.Group, port: Callable[[], HubPort]) -> None:
        self._core = core
        self._port = port

    def start_all(self, starts: list[tuple[str | bytes, object, dict[str, Any] | None]]) -> list[GreenGateway]:
        port = self._port()
        cores: list[_gangway.Gateway] = []
        try:
            for at, (text, spec, keys) in enumerate(starts):
                # Not more at a time than are good for them: wait for the one that has had most time.
                if at >= _gangway.PARALLEL_STARTS:
                    self._await_ready(cores[at - _gangway.PARALLEL_STARTS])
                cores.append(port.completed(self._core.start_launch(text, spec, keys)))
            for core in cores[-_gangway.PARALLEL_STARTS:]:
                self._await_ready(core)
        except BaseException:
            for core in cores:
                core.exit()
            raise
        return [GreenGateway(core, self._port) for core in cores]

    def start_each(self, starts: list[tuple[str | bytes, object, dict[str, Any] | None]], fanout: int) -> list[Any]:
        return [(core and GreenGateway(core, self._port), via, error)
                for core, via, error in self._port().completed(self._core.start_fan_out(starts, fanout))]

    def _await_ready(self, core: _gangway.Gateway) -> None:
        try:
            self._port().completed(core.start_ready(), core.connect_timeout())
        except NotInTime:
            core.wait_ready()  # says what is known of the reason

    def terminate(self, timeout: float | None = None) -> tuple[list[str], list[str]]:
        return self._port().completed(self._core.start_terminate(timeout))
