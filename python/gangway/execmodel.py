"""Execution models: where code runs, and the primitives that fit it."""

from __future__ import annotations

import importlib
import os
import threading
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

GREEN = ("eventlet", "gevent")  # on the far side only
NAMES = ("thread", "main_thread_only") + GREEN


class ExecModel:
    """Threads, under the names that are the same in every model. On the controller's side
    `main_thread_only` is `thread`."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    # The modules that fit the model; imported when somebody wants one.

    @property
    def queue(self) -> types.ModuleType:
        return importlib.import_module("queue")

    @property
    def subprocess(self) -> types.ModuleType:
        return importlib.import_module("subprocess")

    @property
    def socket(self) -> types.ModuleType:
        return importlib.import_module("socket")

    def __repr__(self) -> str:
        return "<ExecModel %r>" % self.backend

    def start(self, func: Callable[..., Any], args: tuple = ()) -> None:
        """Calls func(*args) in a daemon thread of its own."""
        threading.Thread(target=func, args=args, daemon=True).start()

    def get_ident(self) -> int:
        return threading.get_ident()

    def sleep(self, delay: float) -> None:
        """Sleeps for `delay` seconds."""
        time.sleep(delay)

    def fdopen(self, fd: int, mode: str, bufsize: int = 1, closefd: bool = True):
        # Binary files have no line buffering, which 1 would ask for.
        if "b" in mode and bufsize == 1:
            bufsize = -1
        return os.fdopen(fd, mode, bufsize, closefd=closefd)

    def Lock(self):
        """Re-entrant, like RLock()."""
        return threading.RLock()

    def RLock(self):
        return threading.RLock()

    def Event(self) -> threading.Event:
        return threading.Event()


def check_name(name: str) -> str:
    """The name, if it is one. ValueError if not."""
    if name not in NAMES:
        raise ValueError("unknown execmodel %r: there are %s" % (name, ", ".join(NAMES)))
    return name


def get_execmodel(backend: str | ExecModel) -> ExecModel:
    """The model of that name; a model is given back.

    Raises ValueError for an unknown name, and for `gevent` and `eventlet`, which are there on the
    far side only.
    """
    if isinstance(backend, ExecModel):
        return backend
    if check_name(backend) in GREEN:
        raise ValueError(
            "execmodel %r is not available on this side; "
            "set_execmodel('thread', %r) has it on the far side" % (backend, backend))
    return ExecModel(backend)


class RemoteExecModel:
    """A model that is on the far side only: a name, with nothing to be used here."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __repr__(self) -> str:
        return "<ExecModel %r>" % self.backend


def get_remote_execmodel(backend: str | ExecModel) -> ExecModel | RemoteExecModel:
    """The model of gateways by its name. ValueError for an unknown one."""
    return RemoteExecModel(backend) if isinstance(backend, str) and backend in GREEN else get_execmodel(backend)


# The error of a task that main_thread_only refuses (python/agent/task.py; a test compares them).
MAIN_THREAD_ONLY_DEADLOCK_TEXT = (
    "concurrent remote_exec would cause deadlock: this worker runs tasks in its main "
    "thread only (execmodel main_thread_only), and a task is running there")
