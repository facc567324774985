"""Waits that take the remote code with them when they are given up."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from .channel import Channel


class Interrupting:
    """What Channel.interrupting() gives."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __enter__(self) -> Channel:
        return self._channel

    def __exit__(self, type: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        # Cancelled tasks, Ctrl-C, killed greenlets, and timeouts around the block: none is an Exception.
        if type is None or issubclass(type, Exception):
            return
        try:
            self._channel.interrupt()
        except OSError:
            pass  # there is nobody any more
