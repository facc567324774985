"""Large items on their way, out and in."""
from io import BytesIO

from .task import rare
from .wire import PICKLE
from .errors import LoadError
from .items import decode


@rare
class Outgoing:
    """An item on its way out."""

    __slots__ = ("word", "view", "offset", "total", "done")

    def __init__(self, tag, payload):
        self.word = tag
        self.view = memoryview(payload)
        self.offset = 0
        self.total = len(payload)
        self.done = False


@rare
class Arriving:
    """An item that comes in several frames, or one that is longer than what was read.

    Its bytes are read straight into a BytesIO over a fresh bytes object. Nobody else
    holds that object, so getbuffer() writes into it and getvalue() gives it away
    without a copy; and bytes(n) is calloc, which takes memory as it is touched.
    """

    __slots__ = ("tag", "total", "cost", "filled", "granted", "file", "view")

    def __init__(self, tag, total):
        self.tag = tag
        self.total = total
        self.cost = 0  # so far
        self.filled = 0
        self.granted = 0
        self.file = BytesIO(bytes(total))
        self.view = self.file.getbuffer()

    def value(self):
        self.view.release()
        return self.file.getvalue()


class Undecoded:
    """In the place of an item that was not decoded yet, or cannot be."""

    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data  # a pickle, or the LoadError

    def decode(self):
        if type(self.data) is LoadError:
            raise self.data
        return decode(PICKLE, self.data)
