"""Gangway: starts Python interpreters, and gives channels into the code that runs there.

    import gangway

    gateway = gangway.makegateway("popen")
    channel = gateway.remote_exec("channel.send(sum(channel.receive()))")
    channel.send([1, 2, 3])
    assert channel.receive() == 6

In asyncio the same is awaited: amakegateway, areceive, asend, `async for item in channel`,
`async with gangway.Group()` (spec-docs/event-loops.md).

The names and what they do are execnet's; `python -m gangway.as_execnet PROGRAM` runs a program
that imports execnet on this package. Other transports than popen are not there yet.
"""

from . import _gangway
from .errors import DataFormatError, DumpError, HostNotFound, LoadError, RemoteError, TimeoutError

_gangway.set_errors({error.__name__: error for error in (
    DataFormatError, DumpError, HostNotFound, LoadError, RemoteError, TimeoutError)})

from .channel import Channel  # noqa: E402  the classes above have to be known first
from .dump import dump, dumps, load, loads  # noqa: E402
from .gateway import Gateway  # noqa: E402
from .group import Group, amakegateway, default_group, makegateway, set_execmodel  # noqa: E402
from .multi_channel import MultiChannel  # noqa: E402
from .rsync import RSync  # noqa: E402
from .xspec import XSpec  # noqa: E402

# Of the execnet whose behaviour this is: programs compare it. Gangway's own is gangway.build.VERSION.
__version__ = "2.1.2"

__all__ = [
    "Channel",
    "DataFormatError",
    "DumpError",
    "Gateway",
    "Group",
    "HostNotFound",
    "LoadError",
    "MultiChannel",
    "RSync",
    "RemoteError",
    "TimeoutError",
    "XSpec",
    "__version__",
    "amakegateway",
    "default_group",
    "dump",
    "dumps",
    "load",
    "loads",
    "makegateway",
    "set_execmodel",
]
