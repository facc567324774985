"""What can go wrong. Channel.RemoteError and its like are what user code catches."""
import sys

from .task import INTERRUPT_TEXT, rare
from .wire import getpid


class RemoteError(Exception):
    def __init__(self, formatted):
        self.formatted = formatted
        Exception.__init__(self)

    def __str__(self):
        return self.formatted

    def __repr__(self):
        return "RemoteError: " + self.formatted

    def warn(self):
        if self.formatted != INTERRUPT_TEXT:
            sys.stderr.write("[%d] Warning: unhandled %r\n" % (getpid(), self))


class TimeoutError(OSError):
    pass


class DataFormatError(Exception):
    pass


class DumpError(DataFormatError):
    pass


class LoadError(DataFormatError):
    pass


class ProtocolError(Exception):
    """The controller is wrong: the connection ends."""


@rare
def refuse(what):
    raise DumpError("can't serialize %s" % what) from None


TOO_DEEP = "an item nested deeper than 1000"


@rare
def check_text(text):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        refuse("<class 'str'>: %s" % error)
