"""Gateway: an interpreter that was started somewhere, and what one can do with it."""

from __future__ import annotations


from . import trace
from .execmodel import ExecModel
from .record import RInfo
from .source import Source, prepare
from .transport import ChannelFactory, Transport
from .xspec import XSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
    from .channel import Channel
    from .group import Group

RINFO_SOURCE = """\
import os, sys
channel.send({"executable": sys.executable, "version_info": tuple(sys.version_info), "platform": sys.platform,
              "cwd": os.getcwd(), "pid": os.getpid()})
"""


def _task_of(source: Source, kwargs: dict) -> tuple:
    """The arguments of the C++ side."""
    return source.text, source.file, source.function, kwargs or None


class Gateway:
    """Made by makegateway(). Safe to use from any thread. It lives in its group until exit().

    What uses an interpreter that is gone raises OSError (EOFError where items were to come); the
    text says how it ended.
    """

    id: str
    spec: XSpec
    remoteaddress: str  # not with popen
    _cache_rinfo: RInfo

    def __init__(self, group: Group, spec: XSpec, core: Any) -> None:
        self.id = spec.id
        self.spec = spec
        self._group = group
        self._execmodel = group.execmodel
        self._core = core
        self._modules: dict[str, tuple[str, str, bool]] = {}  # that the far side got from us
        address = spec.ssh or spec.vagrant_ssh or spec.socket or spec.unix
        if address and address is not True:  # a server that was installed somewhere has none of its own
            self.remoteaddress = address
        core.set_channel_class(group.execmodel.channel_class)
        core.set_owner(self)

    def __repr__(self) -> str:
        return "<Gateway id=%r %s, %s model, %d active channels>" % (
            self.id, "receive-live" if self.hasreceiver() else "not-receiving",
            self._execmodel.backend, len(self._core.live_channels()))

    @property
    def execmodel(self) -> ExecModel:
        """The model of this side: locks, events and queues that fit it."""
        return self._execmodel

    def remote_exec(self, source: Any, **kwargs: Any) -> Channel:
        """Starts a task on the far side, and gives its channel at once.

        `source` is a text, a function `f(channel, **kwargs)`, or a module. Errors of the task come
        as RemoteError out of receive() and waitclose().

        A function is sent without what is around it. With `globals=True` (unless the function has a
        parameter of that name) what it uses goes along: functions and classes of its file, constants, and
        the modules of the program as source, which the far side gets before the call returns (gangway.ship).

        Raises ValueError for a function that cannot be sent and says which name is the reason,
        TypeError for keyword arguments without a function, DumpError for those that cannot travel.
        """
        prepared = prepare(source, kwargs)
        self._await_modules(self._send_modules(prepared), prepared)
        return self._start_task(prepared, kwargs)

    async def aremote_exec(self, source: Any, **kwargs: Any) -> Channel:
        """remote_exec() for asyncio: the same, but large arguments do not block the loop while they go out."""
        prepared = prepare(source, kwargs)
        receiver = self._send_modules(prepared)
        if receiver is not None:
            await receiver.awaitclose()
            self._modules.update(prepared.modules or {})
        channel, operation = self._core.start_remote_exec(*_task_of(prepared, kwargs))
        channel._kept = self
        if operation is not None:
            from .event_loop import completed

            await completed(operation)
        return channel

    def _start_task(self, source: Source, kwargs: dict) -> Channel:
        channel = self._core.remote_exec(*_task_of(source, kwargs))
        channel._kept = self  # as long as somebody has it, it has a gateway
        return channel

    def _send_modules(self, source: Source) -> Channel | None:
        """The channel of the task that receives those modules that the far side lacks."""
        missing = {name: entry for name, entry in (source.modules or {}).items() if self._modules.get(name) != entry}
        if not missing:
            return None
        from .ship import RECEIVER

        receiver = Source(RECEIVER, "<gangway modules>", "receive_modules")
        return self._start_task(receiver, {"modules": missing})

    def _await_modules(self, channel: Channel | None, source: Source) -> None:
        if channel is not None:
            channel.waitclose()
            self._modules.update(source.modules or {})

    def newchannel(self) -> Channel:
        """A channel without a task, to be sent to the far side. OSError when the connection is gone."""
        channel = self._core.newchannel()
        channel._kept = self
        return channel

    def remote_status(self, timeout: float | None = None) -> RInfo:
        """`numchannels`, `numexecuting`, `execmodel`, `executable` and more, answered while all tasks are busy.
        TimeoutError after `timeout` seconds; its text says for how long the far side has been silent."""
        return RInfo(**self._core.remote_status(timeout))

    async def aremote_status(self, timeout: float | None = None) -> RInfo:
        """remote_status() for asyncio."""
        from .event_loop import completed

        return RInfo(**await completed(self._core.start_remote_status(timeout)))

    def hasreceiver(self) -> bool:
        """True while the connection lives."""
        return self._core.hasreceiver()

    def exit(self) -> None:
        """Leaves the group and asks the far side to end, without waiting. Never raises."""
        self._group._unregister(self)
        self._core.exit()

    def join(self, timeout: float | None = None) -> bool:
        """Waits up to `timeout` seconds until the far side is gone; whether it is."""
        return self._core.join(timeout)

    def kill(self) -> None:
        """Ends the far side's processes at once. It stays in its group until exit()."""
        self._core.kill()

    def death(self) -> dict:
        """How the far side's process ended, as far as that is known by now."""
        return self._core.death()

    def unresponsive(self) -> float | None:
        """For how many seconds the far side has not answered, if that is too long; it is not killed."""
        return self._core.unresponsive()

    def stacks(self, timeout: float | None = None) -> str:
        """The Python stacks of all threads of the far side. TimeoutError as for remote_status."""
        return self._core.stacks(timeout)

    def set_output(self, function: Callable[..., Any] | None) -> None:
        """Calls function(channel, stream, text) for each line that tasks print, when the spec has
        stdout=callback or stderr=callback; ValueError when it has not. `channel` is the id of the
        task's channel, 0 when it is not known; `stream` is "stdout" or "stderr". None drops them."""
        self._core.set_output(function)

    def reconfigure(self, py2str_as_py3str: bool = True, py3str_as_py2str: bool = False) -> None:
        """How both sides read strings on channels that are made afterwards. Only the second shows:
        with it a str arrives as bytes."""
        self._core.reconfigure(py2str_as_py3str, py3str_as_py2str)

    def remote_init_threads(self, num: int | None = None) -> None:
        """Does nothing, and says so."""
        print("WARNING: remote_init_threads() does nothing: tasks have threads by themselves")

    def _rinfo(self, update: bool = False) -> RInfo:
        """`executable`, `version_info`, `platform`, `cwd` and `pid` of the far side, as they were when
        asked for the first time, or at the last `update`."""
        if update or not hasattr(self, "_cache_rinfo"):
            channel = self.remote_exec(RINFO_SOURCE)
            self._cache_rinfo = RInfo(**channel.receive())
            channel.waitclose()
        return self._cache_rinfo

    # What programs reach for although it was never promised.

    @property
    def _io(self) -> Transport:
        return Transport(self)

    @property
    def _channelfactory(self) -> ChannelFactory:
        return ChannelFactory(self)

    def _trace(self, *words: object) -> None:
        trace.trace(self.id, *words)
