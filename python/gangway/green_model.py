"""The execution models gevent and eventlet on this side."""

from __future__ import annotations

import importlib
import types

from . import green
from .execmodel import ExecModel
from .green_channel import EventletChannel, GeventChannel
from .safe_terminate import countdown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from . import _gangway


class Condition:
    """As much of threading.Condition as ExecModel.Condition promises."""

    def __init__(self, model: ExecModel) -> None:
        self._model = model
        self._lock = model.RLock()
        self._waiting: list = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        rest = countdown(timeout)
        while not (result := predicate()) and rest() != 0:
            event = self._model.Event()
            self._waiting.append(event)
            self._lock.release()
            try:
                event.wait(rest())
            finally:
                self._lock.acquire()
                if event in self._waiting:
                    self._waiting.remove(event)
        return result

    def notify_all(self) -> None:
        while self._waiting:
            self._waiting.pop().set()


class GreenModel(ExecModel):
    """Green threads, under the names that are the same in every model. ImportError when the library is
    not there."""

    _modules: dict[str, str]  # what is there under which name
    _locks: str
    _event: str
    _port: Callable[[], green.HubPort]

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        try:
            self._library = importlib.import_module(backend)
        except ImportError as error:
            raise ImportError("execmodel %r: %s; set_execmodel('thread', %r) has it on the far side only"
                              % (backend, error, backend)) from error

    @property
    def queue(self) -> types.ModuleType:
        return importlib.import_module(self._modules["queue"])

    @property
    def subprocess(self) -> types.ModuleType:
        return importlib.import_module(self._modules["subprocess"])

    @property
    def socket(self) -> types.ModuleType:
        return importlib.import_module(self._modules["socket"])

    def start(self, func: Callable[..., Any], args: tuple = ()) -> None:
        """Calls func(*args) in a green thread of its own."""
        self._library.spawn(func, *args)

    def get_ident(self) -> int:
        """Of the green thread."""
        from greenlet import getcurrent

        return id(getcurrent())

    def sleep(self, delay: float) -> None:
        self._library.sleep(delay)

    def Lock(self):
        return importlib.import_module(self._locks).RLock()

    def RLock(self):
        return importlib.import_module(self._locks).RLock()

    def Event(self):
        return importlib.import_module(self._event).Event()

    def Condition(self):
        return Condition(self)

    def adapt(self, core: _gangway.Group) -> Any:
        return green.GreenGroup(core, self._port)


class GeventModel(GreenModel):
    _modules = {"queue": "gevent.queue", "subprocess": "gevent.subprocess", "socket": "gevent.socket"}
    _locks = "gevent.lock"
    _event = "gevent.event"
    _port = staticmethod(green.gevent_port)
    channel_class = GeventChannel


class EventletModel(GreenModel):
    _modules = {"queue": "eventlet.queue", "subprocess": "eventlet.green.subprocess", "socket": "eventlet.green.socket"}
    _locks = _event = "eventlet.green.threading"
    _port = staticmethod(green.eventlet_port)
    channel_class = EventletChannel
