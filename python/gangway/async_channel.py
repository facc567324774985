"""What a channel does in asyncio."""

from __future__ import annotations

import time

from . import _gangway
from ._gangway import NOTHING
from .errors import NotInTime, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Items in a row that were there already, or could go at once, before other tasks of the loop get their
# turn: a peer that is as fast as this side would keep them out for ever. 64 take less than a millisecond.
BURST = 64


def deadline_of(timeout: float | None) -> float | None:
    """When `timeout` seconds are over. ValueError for a negative timeout."""
    if timeout is None:
        return None
    if timeout < 0:
        raise ValueError("negative timeout")
    return time.monotonic() + timeout


def rest_of(deadline: float | None) -> float | None:
    """The seconds until then."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class AsyncChannel(_gangway.Channel):
    """The coroutines of a Channel. They may be used from several loops and threads at once, and beside the
    methods that block."""

    _burst = 0

    async def areceive(self, timeout: float | None = None) -> Any:
        """receive() for asyncio: the next item; TimeoutError after `timeout` seconds, EOFError or RemoteError
        at the end. Cancelling it loses no item: what arrives at that moment is for the next receiver."""
        deadline = deadline_of(timeout)
        await self._give_way()
        item = self._try_receive()
        while item is NOTHING:
            from .event_loop import completed

            self._burst = 0
            try:
                item = await completed(self._start_receive(), rest_of(deadline))
            except NotInTime:
                raise TimeoutError("no item after %r seconds" % timeout) from None
        return item

    async def asend(self, item: Any) -> None:
        """send() for asyncio: waits for credit and transport without blocking the loop. When it is cancelled
        nothing was sent, or the item is on its way; never a part of it. It must not be changed meanwhile."""
        await self._give_way()
        operation = self._start_send(item)
        if operation is not None:
            from .event_loop import completed

            self._burst = 0
            await completed(operation)

    async def awaitclose(self, timeout: float | None = None) -> None:
        """waitclose() for asyncio: until nothing more can arrive; errors like areceive."""
        from .event_loop import completed

        deadline = deadline_of(timeout)
        ended = False
        while not ended:
            try:
                ended = await completed(self._start_waitclose(), rest_of(deadline))
            except NotInTime:
                raise TimeoutError("not closed after %r seconds" % timeout) from None

    def __aiter__(self) -> AsyncChannel:
        return self

    async def __anext__(self) -> Any:
        """async for: the items until the end; RemoteError is raised."""
        try:
            return await self.areceive()
        except EOFError:
            raise StopAsyncIteration from None

    async def _give_way(self) -> None:
        self._burst += 1
        if self._burst > BURST:
            from .event_loop import let_others_run

            self._burst = 0
            await let_others_run()
