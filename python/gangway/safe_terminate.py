"""Ending many things at once, each with its own way to be killed."""

from __future__ import annotations

import time

from .execmodel import ExecModel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable


def countdown(timeout: float | None) -> Callable[[], float | None]:
    """Gives the seconds that are left; None for ever."""
    if timeout is None:
        return lambda: None
    deadline = time.monotonic() + timeout
    return lambda: max(0.0, deadline - time.monotonic())


def safe_terminate(execmodel: ExecModel, timeout: float | None,
                   functions: Iterable[tuple[Callable[[], Any], Callable[[], Any]]]) -> None:
    """Calls each `wait` of the (wait, kill) pairs in a thread of its own, and the kill of those that
    have not ended after `timeout` seconds. Waits for the kills not longer than that again."""
    waits = []
    for wait, kill in functions:
        ended = execmodel.Event()

        def run(wait=wait, ended=ended):
            try:
                wait()
            finally:
                ended.set()

        execmodel.start(run)
        waits.append((ended, kill))
    rest = countdown(timeout)
    late = [(ended, kill) for ended, kill in waits if not ended.wait(rest())]
    for _, kill in late:
        execmodel.start(kill)
    rest = countdown(timeout)
    for ended, _ in late:
        ended.wait(rest())
