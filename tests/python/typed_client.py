"""A client as mypy --strict has to accept it: test_types.py. It is checked, and run."""
from __future__ import annotations

from typing import Any

import gangway
from gangway import Channel, Gateway, Group, MultiChannel, RemoteError, TimeoutError, XSpec


def work(channel: Channel, count: int) -> None:
    for number in range(count):
        channel.send(number)


def status(gateway: Gateway) -> int:
    executing: int = gateway.remote_status(timeout=10).numexecuting
    return executing


def main() -> None:
    with_spec: XSpec = XSpec("popen//id=typed")
    group: Group = Group(["popen"])
    gateway: Gateway = group.makegateway(with_spec)
    name: str = gateway.id
    channel: Channel = gateway.remote_exec(work, globals=True, count=3)
    items: list[Any] = [item for item in channel]
    channel = gateway.remote_exec("channel.send(1); 1/0")
    first: Any = channel.receive(timeout=10.0)
    try:
        channel.waitclose(10)
    except RemoteError as error:
        text: str = error.formatted
    except TimeoutError:
        raise
    channels: MultiChannel = group.remote_exec("channel.send(channel.receive())")
    channels.send_each(bytearray(b"x"))
    everything: list[Any] = channels.receive_each()
    document: bytes = gangway.dumps([1, "a"])
    assert gangway.loads(document) == [1, "a"] and everything == [b"x", b"x"]
    assert items == [0, 1, 2] and first == 1 and "ZeroDivisionError" in text and name == "typed"
    assert status(gateway) >= 0 and gateway.hasreceiver() and channel.isclosed()
    channel.setcallback(print, endmarker=None)
    for member in group:
        member.exit()
    killed: list[str] = group.terminate(timeout=5).killed
    assert killed == []


if __name__ == "__main__":
    main()
