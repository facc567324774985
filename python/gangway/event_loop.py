"""Operations of the C++ side in asyncio: what the coroutines of Channel, Gateway and Group await.

One descriptor for each loop says that something is over; no thread waits for anything. Imported
when the first coroutine runs, because it imports asyncio.
"""

from __future__ import annotations

import asyncio
import functools
import os
import weakref

from . import _gangway
from .errors import NotInTime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The loop has its port as a reader, and nobody else has it: it ends with the loop.
_ports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[_gangway.Port]]
_ports = weakref.WeakKeyDictionary()
# A forked child that goes on with its parent's loop must not take what its parent is told.
os.register_at_fork(after_in_child=_ports.clear)


def port_of(loop: asyncio.AbstractEventLoop) -> _gangway.Port:
    known = _ports.get(loop)
    port = None if known is None else known()
    if port is None:
        port = _gangway.Port()
        loop.add_reader(port.fileno(), port.run)
        _ports[loop] = weakref.ref(port)
    return port


def wake(future: asyncio.Future[bool], over: bool = True) -> None:
    if not future.done():
        future.set_result(over)


async def completed(operation: _gangway.Operation, timeout: float | None = None) -> Any:
    """Starts it, and gives its result. NotInTime after `timeout` seconds. Cancelled or late, nobody waits
    for it any more."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    operation.start(port_of(loop), functools.partial(wake, future))
    timer = None if timeout is None else loop.call_later(timeout, wake, future, False)
    try:
        if not await future:
            raise NotInTime
        return operation.result()
    finally:
        operation.cancel()  # does nothing when the result was there
        if timer is not None:
            timer.cancel()


async def let_others_run() -> None:
    await asyncio.sleep(0)
