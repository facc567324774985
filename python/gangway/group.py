"""Group: gateways that are started, found and ended together."""

from __future__ import annotations

import atexit
import os
import threading

from . import _gangway, start
from .errors import IdInUseError
from .execmodel import ExecModel, RemoteExecModel, get_execmodel, get_remote_execmodel
from .gateway import Gateway
from .multi_channel import MultiChannel
from .source import source_of
from .xspec import XSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator


class TerminateReport(tuple):
    """What Group.terminate had to do: (killed, survivors). Both empty: everybody went when asked."""

    @property
    def killed(self) -> list[str]:
        """The ids of those that had to be killed."""
        return self[0]

    @property
    def survivors(self) -> list[str]:
        """Ids and processes that are still there."""
        return self[1]

    def __repr__(self) -> str:
        return "TerminateReport(killed=%r, survivors=%r)" % self


class Group:
    """A container of gateways, in the order in which they were made: len, iteration over a snapshot,
    group[index], group["id"], group[gateway], `in`. Safe to use from any thread.

    A gateway leaves its group on exit(), not when its process dies. At the end of the program what
    is left is terminated, with a timeout of 1 s.
    """

    defaultspec = "popen"  # what makegateway() starts

    def __init__(self, xspecs: Iterable[str | XSpec] = (), execmodel: str = "thread") -> None:
        self._core = _gangway.Group()
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards what follows
        self._gateways: list[Gateway] = []
        self._starting: set[str] = set()
        self._counter = 0
        self.set_execmodel(execmodel)
        try:
            for spec in xspecs:
                self.makegateway(spec)
        except BaseException:
            self.terminate(timeout=1.0)
            raise
        atexit.register(self._cleanup_atexit)

    def __repr__(self) -> str:
        return "<Group %r>" % ([gateway.id for gateway in self],)

    def __len__(self) -> int:
        return len(self._gateways)

    def __iter__(self) -> Iterator[Gateway]:
        return iter(list(self._gateways))

    def __getitem__(self, key: int | str | Gateway) -> Gateway:
        if isinstance(key, int):
            return self._gateways[key]
        for gateway in self:
            if gateway is key or gateway.id == key:
                return gateway
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(gateway is key or gateway.id == key for gateway in self)

    @property
    def execmodel(self) -> ExecModel:
        """The model of this side."""
        return self._execmodel

    @property
    def remote_execmodel(self) -> ExecModel | RemoteExecModel:
        """The model of gateways whose spec has none."""
        return self._remote_execmodel

    def set_execmodel(self, execmodel: str, remote_execmodel: str | None = None) -> None:
        """Sets both models; the second is the first when it is left out.

        Raises ValueError for an unknown name, and when the group has gateways; then nothing changes.
        """
        here = get_execmodel(execmodel)
        there = here if remote_execmodel is None else get_remote_execmodel(remote_execmodel)
        with self._lock:
            if self._gateways or self._starting:
                raise ValueError("the execution models cannot be set: the group has gateways already")
            self._execmodel = here
            self._remote_execmodel = there

    def allocate_id(self, spec: XSpec) -> None:
        """Gives the spec the next "gw" + number, unless it has an id. ValueError when that is in use."""
        with self._lock:
            if spec.id is not None:
                return
            id = "gw%d" % self._counter
            self._counter += 1
            if self._has(id):
                raise IdInUseError("the id %r is in use" % id)
            spec.id = id

    def makegateway(self, spec: str | XSpec | None = None) -> Gateway:
        """Starts a gateway and waits until it answers. An XSpec is kept as its `spec`, with `id` and
        `execmodel` filled in.

        Raises ValueError for a spec that cannot be started, KeyError for an unknown `via`,
        HostNotFound, and OSError for what starting a process raises or for one that does not answer.
        """
        spec = self._spec_of(spec)
        if spec.via is not None:
            self[spec.via]  # KeyError when there is no such member
        self._reserve(spec)
        gateway = None
        try:
            gateway = Gateway(self, spec, self._core.start(start.text_of(spec), spec))
            start.prepare(gateway)
        except BaseException:
            self._release(spec)
            if gateway is not None:
                gateway.exit()
            raise
        self._register(gateway)
        return gateway

    def makegateways(self, specs: Iterable[str | XSpec], fanout: int = 0,
                     return_exceptions: bool = False) -> list[Any]:
        """Starts all of them at the same time.

        With `fanout` N this program starts the first N only, and each gateway starts N more through
        itself (`via`, which their specs have then): hundreds of hosts come up in about log N of the
        time. Each of the first ones must be able to reach those behind it, and what goes through a
        gateway occupies a task of it. If one cannot be started, those behind it are started by the
        next one above it.

        Raises what makegateway() raises for the first that fails, and ends the others; with
        `return_exceptions` the exception is in the place of its gateway, and the others stay.
        """
        if fanout < 0:
            raise ValueError("fanout=%d: a number of gateways, or 0" % fanout)
        specs = [self._spec_of(spec) for spec in specs]
        ours = []
        results: list[Any] = []
        try:
            for spec in specs:
                self._reserve(spec)
                ours.append(spec)
            texts = [start.text_of(spec) for spec in specs]
            for spec, (core, via, error) in zip(specs, self._core.start_each(texts, specs, fanout)):
                results.append(error or Gateway(self, spec, core))
                if via is not None:
                    spec.via = via
            for at, result in enumerate(results):
                try:
                    if isinstance(result, Exception):
                        raise result
                    start.prepare(result)
                except Exception as error:
                    if not return_exceptions:
                        raise
                    results[at] = error
        except BaseException:
            for result in results:
                if isinstance(result, Gateway):
                    result.exit()
            for spec in ours:
                self._release(spec)
            raise
        for spec, result in zip(specs, results):
            if isinstance(result, Gateway):
                self._register(result)
            else:
                self._release(spec)
        return results

    def _spec_of(self, spec: str | XSpec | None) -> XSpec:
        spec = spec or self.defaultspec
        if not isinstance(spec, XSpec):
            spec = XSpec(spec)
        start.check_kind(spec)
        return spec

    def _reserve(self, spec: XSpec) -> None:
        """Fills in what the spec lacks, and holds its id until _register() or _release()."""
        self.allocate_id(spec)
        if spec.execmodel is None:
            spec.execmodel = self._remote_execmodel.backend
        with self._lock:
            if self._has(spec.id):
                raise IdInUseError("the id %r is in use" % spec.id)
            self._starting.add(spec.id)

    def _release(self, spec: XSpec) -> None:
        with self._lock:
            self._starting.discard(spec.id)

    def _has(self, id: str) -> bool:
        return id in self._starting or any(gateway.id == id for gateway in self._gateways)

    def _register(self, gateway: Gateway) -> None:
        with self._lock:
            self._starting.discard(gateway.id)
            self._gateways.append(gateway)

    def _unregister(self, gateway: Gateway) -> None:
        with self._lock:
            if gateway in self._gateways:
                self._gateways.remove(gateway)

    def remote_exec(self, source: Any, **kwargs: Any) -> MultiChannel:
        """Gateway.remote_exec on each member in order."""
        prepared = source_of(source)
        return MultiChannel([gateway._start_task(prepared, kwargs) for gateway in self])

    def terminate(self, timeout: float | None = None) -> TerminateReport:
        """Ends every gateway: asks, waits up to `timeout` seconds, kills. Returns within the timeout
        plus two seconds; without a timeout it waits for ever and never kills. Gateways that were
        exited before are waited for as well. May be called again at any time."""
        report = TerminateReport(([], []))
        while True:
            leaving = list(self)
            killed, survivors = self._core.terminate(timeout)  # asks hops last
            for gateway in leaving:
                gateway.exit()
            report.killed.extend(killed)
            report.survivors.extend(survivors)
            if not self._gateways:  # nobody has started one meanwhile
                return report

    def _cleanup_atexit(self) -> None:
        if os.getpid() == self._pid:  # the gateways of a forked child are its parent's
            self.terminate(timeout=1.0)


default_group = Group()
makegateway = default_group.makegateway
set_execmodel = default_group.set_execmodel
