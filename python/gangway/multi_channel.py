"""MultiChannel: several channels as one."""

from __future__ import annotations


from .channel import Channel
from .errors import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence

NO_ENDMARKER = object()


class MultiChannel:
    """A sequence of channels, of any gateways."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels
        self._queue: Any = None

    def __len__(self) -> int:
        return len(self._channels)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels)

    def __getitem__(self, key: int) -> Channel:
        return self._channels[key]

    def __contains__(self, channel: object) -> bool:
        return channel in self._channels

    def __repr__(self) -> str:
        return "<MultiChannel %r>" % (list(self._channels),)

    def send_each(self, item: Any) -> None:
        """Sends the item on each channel."""
        for channel in self._channels:
            channel.send(item)

    def receive_each(self, withchannel: bool = False) -> list:
        """The next item of each channel, in their order; (channel, item) with `withchannel`. Blocks
        on each. Not after make_receive_queue()."""
        assert self._queue is None, "the items go to the queue of make_receive_queue()"
        items = []
        for channel in self._channels:
            item = channel.receive()
            items.append((channel, item) if withchannel else item)
        return items

    def make_receive_queue(self, endmarker: Any = NO_ENDMARKER) -> Any:
        """One queue for (channel, item) of all channels, and (channel, endmarker) for each that has
        ended if an endmarker is given. The same queue each time; None without channels."""
        if self._queue is None and len(self._channels):
            queue = self._channels[0].gateway.execmodel.queue.Queue()
            self._queue = queue
            for channel in self._channels:
                def put(item: Any, channel: Channel = channel) -> None:
                    queue.put((channel, item))

                if endmarker is NO_ENDMARKER:
                    channel.setcallback(put)
                else:
                    channel.setcallback(put, endmarker=endmarker)
        return self._queue

    def waitclose(self) -> None:
        """Waits for the end of all channels, then raises the first RemoteError, if there was one."""
        first = None
        for channel in self._channels:
            try:
                channel.waitclose()
            except RemoteError as error:
                first = first or error
        if first is not None:
            raise first
