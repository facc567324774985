"""Channel: what the C++ side does, and what Python adds to it."""

from __future__ import annotations


from .async_channel import AsyncChannel
from .errors import RemoteError, TimeoutError
from .files import open_file
from .interrupting import Interrupting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Channel(AsyncChannel):
    """One of many conversations of a gateway. Users do not make them: remote_exec and newchannel do.

    Safe to use from any thread; what waits releases the GIL and can be ended with Ctrl-C. An item
    is None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset or Channel.

    send(item)                    OSError when the channel is closed or its connection gone, DumpError
                                  for what cannot travel
    receive(timeout=None)         the next item; TimeoutError after `timeout` seconds, EOFError or
                                  RemoteError at the end
    waitclose(timeout=None)       until nothing more can arrive; errors like receive
    close(error=None)             with a text: the other side gets RemoteError(text)
    setcallback(callback, endmarker=...)
                                  callback(item) for each item, callback(endmarker) at the end
    interrupt(timeout=None)       KeyboardInterrupt in the task on the far side; whether it ended in time
    try_send(item)                whether it could be sent without waiting

    In asyncio: areceive, asend, awaitclose, and `async for item in channel`.
    """

    RemoteError = RemoteError
    TimeoutError = TimeoutError
    _INTERNALWAKEUP = 1000  # s; has no effect: nothing here wakes up without need

    def interrupting(self) -> Interrupting:
        """`with channel.interrupting():` when the block is left by cancellation (asyncio), Ctrl-C, or the
        end of a green thread or its timeout, the task on the far side is interrupted. Not for Exceptions."""
        return Interrupting(self)

    def makefile(self, mode: str = "w", proxyclose: bool = False) -> Any:
        """The channel as a text file: "w" sends each write as an item, "r" puts items together.
        Closing the file closes the channel only with `proxyclose`. ValueError for other modes."""
        return open_file(self, mode, proxyclose)
