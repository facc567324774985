"""From the transport to frames. Only the leader reads."""
import sys

from .task import rare
from .wire import (
    CUT, END, INT_COST, INT_WORD, MAX_FRAME, POLLIN, POLLOUT, int_struct, iter_run, open_poll, pack_head, part, read, readv,
    unpack_head)
from .errors import LoadError, ProtocolError


@part
class Reader:
    """Of Link: reads, and cuts into frames."""

    def pump(self, timeout):
        """One read, and what comes of it. False when there was nothing in time."""
        if self.rest:
            self.flush(False)
        if timeout is not None or self.must_poll or self.rest:
            if not self.await_input(timeout):
                return False
        try:
            if self.frame is not None:
                self.read_item()
                return True
            data = read(self.fd_in, self.read_size)
            if len(data) == self.read_size:
                self.read_size = 262144  # a flood: 64 KiB at a time would do, but not 4
            else:
                self.read_size = 4096 if len(data) < 4096 else 65536
        except BlockingIOError:
            self.must_poll = True
            return False
        except OSError as error:
            self.end(EOFError("connection lost: %s" % error))
            return True
        if data:
            self.guarded(self.feed, data)
        else:
            self.end(EOFError("connection lost: end of the stream"))
        return True

    @rare
    def await_input(self, timeout):
        poll = open_poll()
        poll.register(self.fd_in, POLLIN)
        if self.rest:
            poll.register(self.fd_out, POLLOUT)
        ready = poll.poll(None if timeout is None else 1000 * timeout)
        return any(fd == self.fd_in for fd, _ in ready)

    def guarded(self, handle, *args):
        try:
            handle(*args)
        except (ProtocolError, LoadError) as error:  # the latter of a HELLO or EXEC
            self.refuse_peer(error)

    @rare
    def refuse_peer(self, error):
        if not self.lost:
            sys.stderr.write("gangway agent: protocol error: %s\n" % error)
            self.end(EOFError("connection lost: protocol error: %s" % error))

    @rare
    def read_item(self):
        """Reads the rest of a frame straight into its item; of the frames that the item
        still needs as many as were right last time; and some more beside it."""
        channel, item, lacks, last = self.frame
        at = item.filled + lacks
        parts = [item.view[item.filled:at]]
        while at < item.total and len(parts) < self.ahead:
            parts += bytearray(8), item.view[at:at + CUT]
            at += CUT
        parts.append(self.staging)
        got = readv(self.fd_in, parts)
        if not got:
            return self.end(EOFError("connection lost: end of the stream"))
        here = min(got, lacks)
        item.filled += here
        if here < lacks:
            self.frame = channel, item, lacks - here, last
            return
        self.frame = None
        self.guarded(self.read_ahead, channel, item, parts, got - lacks, last)

    @rare
    def read_ahead(self, channel, item, parts, got, last):
        """The frames behind the first one. What is not as expected goes through feed()."""
        while True:
            del parts[0]  # the item's buffer must have no user when it is complete
            self.item_grown(channel, item, last)
            if got < 8 or len(parts) == 1:
                break
            head, body = parts[:2]
            size = len(body)
            last = item.filled + size == item.total and END
            if head != pack_head(item.tag | last | size << 8, channel.id) or not self.enter_frame(item.tag | last, channel.id, b"", 0, size):
                self.ahead = 0
                break
            self.ahead = 16
            del parts[0]
            here = min(got - 8, size)
            got -= 8 + here
            item.filled += here
            if here < size:
                self.frame = channel, item, size - here, last
                return
            del body
        if got:
            self.feed(b"".join(parts)[:got])

    def feed(self, data):
        """Handles every complete frame, and the part that is here of a large one."""
        if self.left:
            data = self.left + data
            self.left = b""
        position = 0
        end = len(data)
        try:
            while end - position >= 8:
                word, number = unpack_head(data, position)
                body = position + 8
                stop = body + (word >> 8)
                if word == INT_WORD:
                    if stop > end:
                        break
                    position += self.ints(number, data, position, (end - position) // 16)
                    continue
                if stop > end:
                    if word >> 8 > MAX_FRAME:
                        raise ProtocolError("a frame of %d bytes" % (word >> 8))
                    if word & 0xC0 or word & 0x30 == 0x30 or end - body < 8 or not readv or not self.begin_frame(word, number, data, body, end):
                        break
                    position = end
                    break
                if not word & 0xC0:
                    self.item_frame(word, number, data, body, stop)
                elif not word & 0x80:  # else optional, and unknown to us
                    self.control_frame(word & 0xFF, number, data[body:stop])
                position = stop
                if self.lost:
                    break  # TERMINATE: what follows it is void
        finally:
            self.left = data[position:] if position else data

    @rare
    def ints(self, number, data, position, most):
        """A run of INT frames of one channel; gives the bytes that were used."""
        channel = self.find(number)
        if most == 1:
            values = (int_struct.unpack_from(data, position)[2],)
        else:
            values = []
            take = values.append
            head = INT_WORD | number << 32
            for other, value in iter_run(memoryview(data)[position:position + 16 * most]):
                if other != head:
                    break
                take(value)
        n = len(values)
        if channel is not None:
            if channel._arriving:
                raise ProtocolError("a begin in an item")
            self.charge(channel, INT_COST * n)
            self.arrived(channel, values, n, INT_COST * n)
        return 16 * n
