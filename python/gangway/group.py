"""Group: gateways that are started, found and ended together."""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from . import _gangway, start
from .errors import IdInUseError, NotInTime
from .execmodel import ExecModel, RemoteExecModel, get_execmodel, get_remote_execmodel
from .gateway import Gateway
from .multi_channel import MultiChannel
from .source import prepare
from .xspec import XSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator


# Groups that have gateways live until those have exited or the program ends, whoever else holds them:
# somebody may have a callback there, and nothing else.
occupied: set[Group] = set()


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
        self._plain_core = _gangway.Group()
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards what follows
        self._gateways: list[Gateway] = []
        self._starting: set[str] = set()
        self._counter = 0
        self.set_execmodel(execmodel)
        try:
            self.makegateways(xspecs)
        except BaseException:
            self.terminate(timeout=1.0)
            raise
        self._register_cleanup()

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
            self._core = here.adapt(self._plain_core)
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

    # --- starting
    #
    # makegateway and amakegateway are the same steps; the second one awaits those that take time.

    def makegateway(self, spec: str | XSpec | None = None) -> Gateway:
        """Starts a gateway and waits until it answers. An XSpec is kept as its `spec`, with `id` and
        `execmodel` filled in. `popen` without `python` runs this very interpreter, in its virtual
        environment, with the sys.path that it has now and the working directory in front; with
        `isolated` or `no_site` (Python's -I and -S) it has its own sys.path.

        Raises ValueError for a spec that cannot be started, KeyError for an unknown `via` or
        `installvia`, AssertionError for `python` with a socket, HostNotFound, and OSError for what
        starting a process raises or for one that does not answer.
        """
        return self._start([self._take_id(self._parsed(spec))])[0]

    def makegateways(self, specs: Iterable[str | XSpec | None], fanout: int = 0,
                     return_exceptions: bool = False) -> list[Any]:
        """makegateway() for each of them, at the same time; the ids are given in order.

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
        if fanout or return_exceptions:
            return self._start_each([self._parsed(spec) for spec in specs], fanout, return_exceptions)
        made: list[Gateway] = []
        batch: list[XSpec] = []
        try:
            for spec in map(self._parsed, specs):
                if spec.via is not None or spec.installvia is not None:  # it may need one of those before it
                    ready, batch = batch, []
                    made += self._start(ready)
                batch.append(self._take_id(spec))
            ready, batch = batch, []
            made += self._start(ready)
        except BaseException:
            self._forget(batch, made)
            raise
        return made

    async def amakegateway(self, spec: str | XSpec | None = None) -> Gateway:
        """makegateway() for asyncio: the loop goes on meanwhile, and several may start at once, as in
        `await asyncio.gather(group.amakegateway(), group.amakegateway())`. Cancelled, it leaves nothing."""
        from .event_loop import completed

        spec = self._take_id(self._parsed(spec))
        gateways: list[Gateway] = []
        try:
            start.use_this_interpreter(self._plain_core)
            with start.host_named([spec]):
                core = await completed(self._plain_core.start_launch(start.text_of(spec), spec, start.keys_of(spec)))
                gateway = Gateway(self, spec, core)
                gateways.append(gateway)
                try:
                    await completed(core.start_ready(), core.connect_timeout())
                except NotInTime:
                    core.wait_ready()  # says what is known of the reason
        except BaseException:
            self._forget([spec], gateways)
            raise
        self._register(gateways)
        return gateway

    def _start(self, specs: list[XSpec]) -> list[Gateway]:
        if not specs:
            return []
        gateways: list[Gateway] = []
        try:
            start.use_this_interpreter(self._plain_core)
            with start.host_named(specs):
                cores = self._core.start_all([(start.text_of(spec), spec, start.keys_of(spec)) for spec in specs])
            gateways = [Gateway(self, spec, core) for spec, core in zip(specs, cores)]
        except BaseException:
            self._forget(specs, gateways)
            raise
        self._register(gateways)
        return gateways

    def _start_each(self, specs: list[XSpec], fanout: int, return_exceptions: bool) -> list[Any]:
        taken: list[XSpec] = []
        results: list[Any] = []
        try:
            batch = {spec.id for spec in specs}
            for spec in specs:
                for hop in (spec.via, spec.installvia):
                    if hop is not None and hop not in batch:
                        self[hop]  # KeyError when there is no such member
                taken.append(self._reserve(spec))
            start.use_this_interpreter(self._plain_core)
            starts = [(start.text_of(spec), spec, start.keys_of(spec)) for spec in specs]
            for spec, (core, via, error) in zip(specs, self._core.start_each(starts, fanout)):
                results.append(error or Gateway(self, spec, core))
                if via is not None:
                    spec.via = via
            for at, result in enumerate(results):
                try:
                    with start.host_named([specs[at]]):
                        if isinstance(result, Exception):
                            raise result
                except Exception as error:
                    if not return_exceptions:
                        raise
                    results[at] = error
        except BaseException:
            self._forget(taken, [result for result in results if isinstance(result, Gateway)])
            raise
        made = [result for result in results if isinstance(result, Gateway)]
        self._forget([spec for spec, result in zip(specs, results) if result not in made], [])
        self._register(made)
        return results

    def _parsed(self, spec: str | XSpec | None) -> XSpec:
        spec = spec or self.defaultspec
        if not isinstance(spec, XSpec):
            spec = XSpec(spec)
        start.check_kind(spec)
        return spec

    def _take_id(self, spec: XSpec) -> XSpec:
        for hop in (spec.via, spec.installvia):
            if hop is not None:
                self[hop]  # KeyError when there is no such member
        return self._reserve(spec)

    def _reserve(self, spec: XSpec) -> XSpec:
        """The spec with all that the group fills in; its id is taken until _register or _forget."""
        self.allocate_id(spec)
        if spec.execmodel is None:
            spec.execmodel = self._remote_execmodel.backend
        with self._lock:
            if self._has(spec.id):
                raise IdInUseError("the id %r is in use" % spec.id)
            self._starting.add(spec.id)
        return spec

    def _register(self, gateways: list[Gateway]) -> None:
        with self._lock:
            self._starting.difference_update(gateway.id for gateway in gateways)
            self._gateways += gateways
            if self._gateways:
                occupied.add(self)

    def _forget(self, specs: list[XSpec], gateways: list[Gateway]) -> None:
        with self._lock:
            self._starting.difference_update(spec.id for spec in specs)
        for gateway in gateways:
            gateway.exit()

    def _has(self, id: str) -> bool:
        return id in self._starting or any(gateway.id == id for gateway in self._gateways)

    def _unregister(self, gateway: Gateway) -> None:
        with self._lock:
            if gateway in self._gateways:
                self._gateways.remove(gateway)
            if not self._gateways:
                occupied.discard(self)

    def remote_exec(self, source: Any, **kwargs: Any) -> MultiChannel:
        """Gateway.remote_exec on each member in order, `globals=True` included."""
        prepared = prepare(source, kwargs)
        gateways = list(self)
        for gateway, receiver in [(gateway, gateway._send_modules(prepared)) for gateway in gateways]:
            gateway._await_modules(receiver, prepared)
        return MultiChannel([gateway._start_task(prepared, kwargs) for gateway in gateways])

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

    async def aterminate(self, timeout: float | None = None) -> TerminateReport:
        """terminate() for asyncio. Cancelled, it goes on by itself."""
        from .event_loop import completed

        report = TerminateReport(([], []))
        while True:
            for gateway in list(self):
                self._unregister(gateway)  # the C++ side asks them, hops last
            killed, survivors = await completed(self._plain_core.start_terminate(timeout))
            report.killed.extend(killed)
            report.survivors.extend(survivors)
            if not self._gateways:
                return report

    async def __aenter__(self) -> Group:
        """`async with Group() as group:` terminates it at the end of the block, with a timeout of 1 s."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aterminate(timeout=1.0)

    def _register_cleanup(self) -> None:
        weak = weakref.WeakMethod(self._cleanup_atexit)

        def cleanup() -> None:
            method = weak()
            if method is not None:
                method()

        atexit.register(cleanup)
        weakref.finalize(self, atexit.unregister, cleanup).atexit = False

    def _cleanup_atexit(self) -> None:
        if os.getpid() == self._pid:  # the gateways of a forked child are its parent's
            self.terminate(timeout=1.0)


default_group = Group()
makegateway = default_group.makegateway
amakegateway = default_group.amakegateway
set_execmodel = default_group.set_execmodel
