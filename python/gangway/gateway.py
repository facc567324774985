"""Gateway: an interpreter that was started somewhere, and what one can do with it."""

from __future__ import annotations


from . import trace
from .channel import Channel
from .execmodel import ExecModel
from .record import RInfo
from .source import Source, source_of
from .transport import ChannelFactory, Transport
from .xspec import XSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
    from .group import Group

RINFO_SOURCE = """\
import os, sys
channel.send({"executable": sys.executable, "version_info": tuple(sys.version_info), "platform": sys.platform,
              "cwd": os.getcwd(), "pid": os.getpid()})
"""


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
        address = spec.ssh or spec.vagrant_ssh or spec.socket or spec.unix
        if address and address is not True:  # a server that was installed somewhere has none of its own
            self.remoteaddress = address
        core.set_channel_class(Channel)
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

        Raises ValueError for a function that cannot run alone, TypeError for keyword arguments
        without a function, DumpError for those that cannot travel.
        """
        return self._start_task(source_of(source), kwargs)

    def _start_task(self, source: Source, kwargs: dict) -> Channel:
        if kwargs and source.function is None:
            raise TypeError("can't pass kwargs to non-function remote_exec")
        channel = self._core.remote_exec(source.text, source.file, source.function, kwargs or None)
        channel._kept = self  # as long as somebody has it, it has a gateway
        return channel

    def newchannel(self) -> Channel:
        """A channel without a task, to be sent to the far side. OSError when the connection is gone."""
        channel = self._core.newchannel()
        channel._kept = self
        return channel

    def remote_status(self, timeout: float | None = None) -> RInfo:
        """`numchannels`, `numexecuting`, `execmodel` and more, answered while all tasks are busy.
        TimeoutError after `timeout` seconds; its text says for how long the far side has been silent."""
        return RInfo(**self._core.remote_status(timeout))

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
