"""Channels come and go: OPEN, CREDIT, CLOSE and the other control frames."""
from _weakref import ref

from .task import on_demand, rare, start_new_thread
from .wire import (
    CLOSE, CLOSE_ERROR, CREDIT, CUT, HELLO, INTERRUPT, LAST_MESSAGE, OPEN, PART, PING, PONG, RECONFIGURE, STACKS,
    STACKS_REPLY, STATUS, STATUS_REPLY, STR, TERMINATE, part, unpack_u64)
from .errors import ProtocolError, RemoteError
from .spelling import spell
from .items import decode
from .channel import Channel
from .demand import take_part
from .strings import take_reconfigure
from .status import add_status, stacks_reply
from .boot import greet


@part
class Control:
    """Of Link: the channels and the control frames. The leader's, where a frame is handled."""

    def find(self, number):
        """The live channel, or None when it is closed here."""
        reference = self.channels.get(number)
        if reference is not None:
            return reference()
        self.check_known(number)

    def find_for_exec(self, number):
        channel = self.find(number)
        if channel and (channel._arrived or not number & 1):
            raise ProtocolError("a late EXEC on channel %d" % number)
        return channel

    def check_known(self, number):
        if number > (self.last_theirs if number & 1 else self.last_ours) or not number:
            raise ProtocolError("channel %d was never opened" % number)

    def open_theirs(self, number):
        if not number & 1 or number <= self.last_theirs or not self.greeted:
            raise ProtocolError("channel %d cannot be opened" % number)
        self.last_theirs = number
        # Held here until its task starts, or an item brings it to the user.
        self.opening[number] = self.add_channel(number)

    def add_channel(self, number):
        new = Channel(self, number)
        if self.convert:
            new._convert = self.convert
        self.channels[number] = ref(new)
        return new

    @on_demand("gateway")
    def new_channel(self):
        with self.wire:
            if self.lost:
                raise OSError("no new channel: %s" % self.lost)
            if sum(not number & 1 for number in self.channels) >= self.max_channels:
                raise OSError("no new channel: %d are open" % self.max_channels)
            self.last_ours += 2
            new = self.add_channel(self.last_ours)
            self.push(OPEN, new.id)
        self.flush()
        return new

    @rare
    def channel_by_id(self, number):
        """What a reference in an item stands for; a closed channel if it is gone here."""
        found = self.opening.pop(number, None) or self.find(number) or self.closed.get(number, bool)()
        if not found:
            found = Channel(self, number)
            found._set_closed()
        return found

    # -- control frames

    def control_frame(self, kind, number, payload):
        if kind == TERMINATE and not number and not payload and self.greeted:
            self.end(EOFError("terminated by the controller"))
        elif kind == HELLO and not number and not self.greeted:
            greet(self, payload)
        elif kind == OPEN and number and not payload:
            self.open_theirs(number)
        else:
            self.other_frame(kind, number, payload)

    @rare
    def other_frame(self, kind, number, payload):
        size = len(payload)
        sizes = {
            CREDIT: 8, CLOSE: 0, CLOSE_ERROR: size, LAST_MESSAGE: 0, INTERRUPT: 0, RECONFIGURE: 1,
        } if number else {PING: 8, PONG: 8, STATUS: 8, STACKS: 8, RECONFIGURE: 1, PART: size}
        if sizes.get(kind) != size or size > CUT or not self.greeted:
            raise ProtocolError("kind %#x with %d bytes on channel %d" % (kind, size, number))
        if kind == CREDIT:
            self.credit(number, unpack_u64(payload)[0])
        elif kind == PING:
            self.answer(PONG, payload)
        elif kind == STATUS:
            status = {"numchannels": len(self.channels), "numexecuting": len(self.tasks), "execmodel": self.execmodel}
            try:
                add_status(status)
            except ProtocolError:
                pass  # the controller did not send the part
            self.answer(STATUS_REPLY, payload + spell(status))
        elif kind == STACKS:
            self.answer(STACKS_REPLY, payload + stacks_reply())
        elif kind == RECONFIGURE:
            take_reconfigure(number, payload[0])
        elif kind == PART:
            take_part(payload)
        elif kind == INTERRUPT:
            self.check_known(number)
            if number in self.tasks:
                start_new_thread(self.interrupt_soon, (self.tasks[number][2],))
        elif kind != PONG:
            self.closed_by_peer(kind, number, payload)

    @rare
    def answer(self, kind, payload):
        self.push(kind, 0, payload)
        self.flush(False)

    @rare
    def credit(self, number, amount):
        channel = self.find(number)
        if not self.window or not amount:
            raise ProtocolError("credit of %d, window %d" % (amount, self.window))
        if channel is None:
            return
        with self.wire:
            channel._credit += amount
            if channel._credit > self.window:
                raise ProtocolError("credit above the window on channel %d" % number)
            if channel._outgoing and channel not in self.turns:
                self.turns.append(channel)
        if channel._outgoing:
            self.flush(False)

    @rare
    def closed_by_peer(self, kind, number, payload):
        channel = self.find(number)
        if channel is None:
            return
        with self.wire:
            if kind == CLOSE_ERROR:
                channel._errors.append(RemoteError(decode(STR, payload)))
            if kind == LAST_MESSAGE:
                channel._granted = 0  # an item would be more; what is granted later is no more than what came
                channel._end(True)
            else:
                channel._set_closed()
        self.wake(channel._bells)
