"""From queues to the transport."""
from .task import exit_hard, get_ident, monotonic, rare
from .wire import (
    BATCH, BEGIN, CLOSE, CUT, END, INT, MAX_CONTROL, MAX_VECTOR, POLLOUT, open_poll, pack_head, part, u64_struct, write, writev)


@part
class Writer:
    """Of Link: queues, batches, and who writes them."""

    @rare
    def push(self, kind, number, payload=b""):
        """Queues a control frame that overtakes items."""
        with self.wire:
            self.control.append(pack_head(kind | len(payload) << 8, number) + payload)
            if len(self.control) > MAX_CONTROL:
                exit_hard(1)  # the peer reads nothing, but has a lot to ask

    def flush(self, may_wait=True):
        """Writes what is queued, as far as credit and (unless may_wait) the transport go."""
        # A __del__ that sends may run while this very thread writes: then only queue.
        while self.writer.acquire(may_wait and self.writing != get_ident()):
            self.writing = get_ident()
            batch = self.rest
            self.rest = ()  # or others would wait for the transport, too
            try:
                batch = batch or self.take()
                while batch:
                    if self.put(batch, may_wait):
                        return
                    batch = self.take()
            finally:
                self.rest = batch  # also of a write that a signal's handler broke off
                self.writing = None
                self.writer.release()
            if not (self.control or self.out or self.dropped or self.turns):
                return

    def write_now(self, frame):
        """Writes one frame before anything else. The caller has acquired writer."""
        self.writing = get_ident()
        try:
            self.rest = self.put([frame], True)
        finally:
            self.writing = None
            self.writer.release()
        if self.control or self.out or self.dropped or self.turns:
            self.flush()

    @rare
    def flush_at_end(self):
        """What tasks have sent before the end; bounded, if the peer does not read."""
        deadline = monotonic() + 5
        self.lost = self.lost or True
        while self.flush(False) or (self.rest or self.writer.locked()) and deadline > monotonic():
            wait_writable(self.fd_out, 100)

    def take(self):
        """The next batch: control frames, small items, then the channels' turns."""
        with self.wire:
            while self.dropped:
                number = self.dropped.pop()
                if self.channels.pop(number, None):
                    self.out.append(pack_head(CLOSE, number))
            batch = self.control
            if batch:
                self.control = []
            if self.out:
                batch = batch + self.out
                self.out = []
                self.out_size = 0
            if len(batch) > 1:
                batch = [b"".join(batch)]
            if self.turns:
                self.take_turns(batch)
            return batch

    @rare
    def take_turns(self, batch):
        room = BATCH
        turns = self.turns
        while turns and room > 0 and len(batch) < MAX_VECTOR:
            channel = turns.popleft()
            size = self.next_frame(channel, batch)
            room -= size
            if size and channel._outgoing:
                turns.append(channel)  # without credit it comes back with CREDIT

    @rare
    def next_frame(self, channel, batch):
        """Appends one frame of the channel's first item; gives its size, 0 without credit."""
        if not channel._outgoing:
            return 0
        item = channel._outgoing[0]
        offset = item.offset
        left = item.total - offset
        credit = channel._credit
        prefix = b""
        word = item.word
        cost = 0
        if not offset and not word & 0xF00:  # not begun
            cost = 32
            if left <= CUT and credit >= left + 32:
                word |= BEGIN
            else:
                if word == INT or credit < 41:  # 32 for BEGIN, 8 for the size, a byte
                    return 0
                word |= BEGIN
                prefix = u64_struct.pack(item.total)
                cost = 40
                item.word |= 0x100  # begun
        size = min(left, CUT - len(prefix), credit - cost)
        if size <= 0 and left:
            return 0
        if size == left:
            word |= END
        channel._credit = credit - cost - size
        batch.append(pack_head(word & 0xFF | size + len(prefix) << 8, channel.id) + prefix)
        if size:
            batch.append(item.view[offset:offset + size])
        item.offset = offset + size
        if size == left:
            channel._outgoing.popleft()
            item.done = True
            if not channel._outgoing:
                channel._sendable = not channel._closed
            self.wake(channel._bells)
        return size + 8

    def put(self, batch, may_wait):
        """Writes a batch, and takes what is written out of it; gives it when something is left, and it may not wait."""
        while batch:
            try:
                done = write(self.fd_out, batch[0]) if len(batch) == 1 else writev(self.fd_out, batch)
            except BlockingIOError:
                if not may_wait:
                    return batch
                wait_writable(self.fd_out)
                continue
            except OSError as error:
                self.end(EOFError("connection lost: %s" % error))
                return []
            while batch and done >= len(batch[0]):
                done -= len(batch[0])
                del batch[0]
            if done:
                batch[0] = memoryview(batch[0])[done:]
        return batch


@rare
def wait_writable(fd, timeout=None):
    poll = open_poll()
    poll.register(fd, POLLOUT)
    poll.poll(timeout)
