"""Views of a gateway under the names of execnet's internals, for programs that reach for them."""

from __future__ import annotations


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from .channel import Channel
    from .gateway import Gateway


class Transport:
    """gateway._io: the process and its streams."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        if hasattr(gateway, "remoteaddress"):
            self.remoteaddress = gateway.remoteaddress

    def wait(self) -> int | None:
        """Waits for the end of the process; its exit status, negative for a signal, None when unknown."""
        self._gateway.join()
        death = self._gateway.death()
        if death.get("signal") is not None:
            return -death["signal"]
        return death.get("exit_status")

    def kill(self) -> None:
        self._gateway.kill()

    def close_write(self) -> None:
        """Asks the far side to end: there is no other reason to close."""
        self._gateway._core.exit()

    def close_read(self) -> None:
        self._gateway._core.exit()


class ChannelFactory:
    """gateway._channelfactory: the channels that are alive."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def channels(self) -> list[Channel]:
        return list(self.gateway._core.live_channels())

    @property
    def _channels(self) -> dict[int, Channel]:
        return {channel.id: channel for channel in self.channels()}

    @property
    def finished(self) -> bool:
        return not self.gateway.hasreceiver()

    def new(self, id: int | None = None) -> Channel:
        """A new channel, or the living one with that id. KeyError when there is none."""
        return self.gateway.newchannel() if id is None else self._channels[id]

    def __contains__(self, key: Any) -> bool:
        return key in self._channels
