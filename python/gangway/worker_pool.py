"""WorkerPool: functions that run in threads, and replies that hold their results."""

from __future__ import annotations

from collections import deque

from .execmodel import ExecModel, get_execmodel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class Reply:
    """The result of a spawned function, now or later."""

    def __init__(self, task: tuple[Callable[..., Any], tuple, dict], execmodel: ExecModel) -> None:
        self.task = task
        self._finished = execmodel.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def running(self) -> bool:
        return not self._finished.is_set()

    def get(self, timeout: float | None = None) -> Any:
        """What the function returned, or raises what it raised, each time. OSError after `timeout`
        seconds."""
        self.waitfinish(timeout)
        if self._error is not None:
            raise self._error
        return self._result

    def waitfinish(self, timeout: float | None = None) -> None:
        """Waits for the end of the function. OSError after `timeout` seconds."""
        if not self._finished.wait(timeout):
            raise OSError("timeout waiting for %r" % (self.task,))

    def run(self) -> None:
        func, args, kwargs = self.task
        try:
            self._result = func(*args, **kwargs)
        except BaseException as error:
            self._error = error
        finally:
            self._finished.set()


class WorkerPool:
    """Runs each function in a thread of its own, or, with `hasprimary`, in the thread that called
    integrate_as_primary_thread() while that one is idle. Safe to use from any thread."""

    def __init__(self, execmodel: str | ExecModel, hasprimary: bool = False) -> None:
        self.execmodel = get_execmodel(execmodel)
        self._changed = self.execmodel.Condition()  # guards what follows
        self._running: set[Reply] = set()
        self._for_primary: deque[Reply] = deque()
        self._hasprimary = hasprimary
        self._primary_idle = False
        self._shutdown = False

    def active_count(self) -> int:
        """How many functions have not ended."""
        with self._changed:
            return len(self._running)

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Reply:
        """Calls func(*args, **kwargs) in another thread. ValueError after trigger_shutdown()."""
        reply = Reply((func, args, kwargs), self.execmodel)
        with self._changed:
            if self._shutdown:
                raise ValueError("pool is shutting down")
            self._running.add(reply)
            if self._primary_idle:
                self._primary_idle = False
                self._for_primary.append(reply)
                self._changed.notify_all()
                return reply
        try:
            self.execmodel.start(self._run, (reply,))
        except BaseException:
            self._forget(reply)
            raise
        return reply

    def _run(self, reply: Reply) -> None:
        try:
            reply.run()
        finally:
            self._forget(reply)

    def _forget(self, reply: Reply) -> None:
        with self._changed:
            self._running.discard(reply)
            self._changed.notify_all()

    def integrate_as_primary_thread(self) -> None:
        """Runs functions in the calling thread until trigger_shutdown()."""
        if not self._hasprimary:
            raise ValueError("this pool was made without hasprimary")
        while True:
            with self._changed:
                self._primary_idle = True
                self._changed.wait_for(lambda: self._for_primary or self._shutdown)
                self._primary_idle = False
                if not self._for_primary:
                    return
                reply = self._for_primary.popleft()
            self._run(reply)

    def trigger_shutdown(self) -> None:
        """No new functions; those that run go on. Ends integrate_as_primary_thread()."""
        with self._changed:
            self._shutdown = True
            self._changed.notify_all()

    def waitall(self, timeout: float | None = None) -> bool:
        """Waits until nothing runs; False when that takes more than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def terminate(self, timeout: float | None = None) -> bool:
        """trigger_shutdown() and waitall(timeout)."""
        self.trigger_shutdown()
        return self.waitall(timeout)
