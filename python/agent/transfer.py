"""Large items on their way, out and in."""
from io import BytesIO
from _collections import deque  # without the rest of collections: 0.7 ms

from .task import rare
from .items import decode


@rare
class Outgoing:
    """An item on its way out."""

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


@rare
class Checked(deque):
    """The queue of a channel on which something came that was not decoded yet: a function that does it."""

    @staticmethod
    def of(queue):
        """Takes over; somebody may be about to take from the old one."""
        new = Checked()
        try:
            while True:
                new.append(queue.popleft())
        except IndexError:
            return new

    def popleft(self):
        item = deque.popleft(self)
        return item() if type(item) is type(decode) else item
