"""A channel as a file: what Channel.makefile() gives. Both agents use this module unchanged;
of a channel it needs the public methods only."""


class ChannelFile:
    """What both directions have in common."""

    def __init__(self, channel, proxyclose):
        self.channel = channel
        self._proxyclose = proxyclose

    def __repr__(self):
        return "<ChannelFile %d %s>" % (self.channel.id, "closed" if self.channel.isclosed() else "open")

    def isatty(self):
        return False

    def close(self):
        """Closes the channel if the file was made with proxyclose."""
        if self._proxyclose:
            self.channel.close()


class ChannelFileWrite(ChannelFile):
    """Each write() is one item."""

    def write(self, data):
        self.channel.send(data)

    def flush(self):
        pass  # send() has done it


class ChannelFileRead(ChannelFile):
    """The items, one after the other without a border: str or bytes, as they come."""

    def __init__(self, channel, proxyclose):
        ChannelFile.__init__(self, channel, proxyclose)
        self._rest = None  # what was received and not read; None: nothing came yet

    def _next_item(self):
        """The next item, None at the end. A RemoteError is the caller's."""
        try:
            item = self.channel.receive()
        except EOFError:
            self.close()
            return None
        if not isinstance(item, (str, bytes)):
            raise TypeError("a channel file reads str or bytes, not %s" % type(item).__name__)
        return item

    def _collect(self, enough):
        """What is here, and further items until enough(the newest one) or the end."""
        pieces = [] if self._rest is None else [self._rest]
        self._rest = None
        try:
            while not (pieces and enough(pieces[-1])):
                item = self._next_item()
                if item is None:
                    break
                if pieces and type(item) is not type(pieces[0]):
                    raise TypeError("a channel file got %s after %s" % (type(item).__name__, type(pieces[0]).__name__))
                pieces.append(item)
        except BaseException:
            self._rest = pieces[0][:0].join(pieces) if pieces else None
            raise
        return pieces[0][:0].join(pieces) if pieces else ""

    def _give(self, data, size):
        self._rest = data[size:]
        return data[:size]

    def read(self, n):
        """n characters or bytes, fewer at the end only; all up to the end if n is negative."""
        if n == 0:
            return "" if self._rest is None else self._rest[:0]
        lacks = n if n > 0 else float("inf")

        def enough(piece):
            nonlocal lacks
            lacks -= len(piece)
            return lacks <= 0

        data = self._collect(enough)
        return self._give(data, n if n > 0 else len(data))

    def readline(self):
        """Up to the next line feed and with it; without one at the end only."""
        def has_end(piece):
            return (b"\n" if isinstance(piece, bytes) else "\n") in piece

        data = self._collect(has_end)
        end = data.find(b"\n" if isinstance(data, bytes) else "\n") + 1
        return self._give(data, end or len(data))


def open_file(channel, mode, proxyclose):
    """Channel.makefile()."""
    if mode == "w":
        return ChannelFileWrite(channel, proxyclose)
    if mode == "r":
        return ChannelFileRead(channel, proxyclose)
    raise ValueError("mode %r: a channel file is written ('w') or read ('r')" % (mode,))
