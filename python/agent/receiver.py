"""Frames that carry items, and what becomes of them."""
from .task import monotonic, rare
from .wire import BEGIN, BYTES, END, EXEC, INT, LATER, PICKLE, STR, part, unpack_u64
from .errors import LoadError, ProtocolError
from .spelling import plain_loads
from .items import decode
from .transfer import Arriving, Undecoded


@part
class Receiver:
    """Of Link: item frames. The leader's, like all that reads."""

    def charge(self, channel, cost):
        channel._arrived += cost
        if channel._arrived > channel._granted:
            raise ProtocolError("more than its credit on channel %d" % channel.id)

    @rare
    def arrived(self, channel, values, n, cost):
        """Complete items for a channel's readers."""
        with self.wire:  # a user's thread may set a mark at the same time
            channel._count += n
            channel._since += cost
            if channel._since >= self.quarter:
                channel._set_mark()
            channel._items.extend(values)
            if channel._callback:
                channel._callback.put(channel, n)
        if channel._bells:
            self.wake(channel._bells)

    @rare
    def begin_frame(self, word, number, data, body, end):
        """An item frame of which only a part is here: its rest is read in place."""
        entry = self.enter_frame(word, number, data, body, word >> 8)
        if entry is None:
            return False
        channel, item, skip = entry
        here = end - body - skip
        item.view[item.filled:item.filled + here] = memoryview(data)[body + skip:end]
        item.filled += here
        self.frame = channel, item, (word >> 8) - skip - here, word & END
        return True

    def item_frame(self, word, number, data, body, stop):
        """A complete item frame."""
        size = stop - body
        if word & 0x3F == BEGIN | END | EXEC:
            channel = self.find_for_exec(number)
            if channel:
                self.charge(channel, size + 32)
                self.execute(channel, plain_loads(data[body:stop]), size + 32)
            return
        self.plain_item_frame(word, number, data, body, stop)

    @rare
    def plain_item_frame(self, word, number, data, body, stop):
        size = stop - body
        if word & 0x30 == 0x30 and 0 < word & 15 < INT:
            channel = self.find(number)
            if channel is not None:
                if channel._arriving:
                    raise ProtocolError("a begin in an item")
                self.charge(channel, size + 32)
                self.item_complete(channel, word & 15, data[body:stop], size + 32)
            return
        entry = self.enter_frame(word, number, data, body, size)
        if entry is not None:
            channel, item, skip = entry
            item.view[item.filled:item.filled + size - skip] = memoryview(data)[body + skip:stop]
            item.filled += size - skip
            self.item_grown(channel, item, word & END)

    @rare
    def item_complete(self, channel, tag, data, cost):
        """The objects of larger items are made when they are received: many at once would keep the garbage
        collector busy, and take more memory than the window says. A channel has to be held from
        now on; arrays have its mark, too."""
        if tag == PICKLE and len(data) > LATER and not channel._convert and b"_gangway" not in data:
            item = Undecoded(data)
        else:
            try:
                item = decode(tag, data)
                if channel._convert:
                    item = channel._convert(item)
            except LoadError as error:
                item = Undecoded(error)
        self.arrived(channel, (item,), 1, cost)

    @rare
    def enter_frame(self, word, number, data, body, size):
        """Checks and charges a frame; gives channel, item and the bytes of its prefix.
        None when the channel is closed here."""
        tag = word & 15
        channel = self.find_for_exec(number) if tag == EXEC and word & BEGIN else self.find(number)
        if channel is None:
            return None
        item = channel._arriving
        skip = 0
        cost = size
        if word & BEGIN:
            if item or tag not in (PICKLE, BYTES, STR, EXEC):
                raise ProtocolError("kind %#x in an item" % (word & 0xFF))
            total = size
            if not word & END:
                if size < 9:
                    raise ProtocolError("a begin without a size")
                total = unpack_u64(data, body)[0]
                skip = 8
            if total > self.max_item:
                raise ProtocolError("an item of %d bytes" % total)
            item = channel._arriving = Arriving(tag, total)
            cost += 32
        elif item is None or item.tag != tag:
            raise ProtocolError("an item without a begin")
        left = item.total - item.filled - (size - skip)
        if left < 0 or bool(left) == bool(word & END) or left and size == skip:
            raise ProtocolError("another size")
        self.charge(channel, cost)
        item.cost += cost
        return channel, item, skip

    @rare
    def item_grown(self, channel, item, last):
        """A frame of a large item is complete."""
        if channel._arriving is not item:
            return  # closed in between
        if last:
            with self.wire:  # a user's thread may be granting what has come so far
                channel._arriving = None
                cost = item.cost - item.granted
            data = item.value()
            if item.tag == EXEC:
                self.execute(channel, plain_loads(data), cost)
            else:
                self.item_complete(channel, item.tag, data, cost)
        elif item.total - item.filled > channel._granted - channel._arrived:
            with self.wire:
                channel._help_arriving()
            self.flush(False)

    def execute(self, channel, request, cost):
        """A new job: for the main thread if it is idle, else for the dispatcher."""
        self.opening.pop(channel.id, None)
        channel._task = True
        channel._since += cost  # taken already; granted with the items that follow
        if channel._since >= self.quarter:
            with self.wire:
                channel._give(channel._since)
                channel._since = 0
        self.tasks[channel.id] = request, monotonic(), channel
        self.jobs.append((channel, request))
        if self.main_idle:
            self.wake(self.main_bells)
        elif self.pipe:
            self.ring()
