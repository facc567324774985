"""What can go wrong. The C++ side raises these classes; they are handed to it at import.

Beside them: OSError (a connection that is gone, a process that does not start), EOFError (the
end of a channel), ValueError (arguments that make no sense).
"""

from __future__ import annotations

import os
import sys

INTERRUPT_TEXT = "keyboard-interrupted"  # the error text of a task that was interrupted


class RemoteError(Exception):
    """A task failed, or somebody closed a channel with an error; `formatted` is the far side's text,
    the traceback as a rule. It is also str(error)."""

    def __init__(self, formatted: str) -> None:
        super().__init__()
        self.formatted = formatted
        # BaseException.__new__ has put it in; the text is long, and shown by __str__ and __repr__.
        self.args = ()

    def __str__(self) -> str:
        return self.formatted

    def __repr__(self) -> str:
        return "%s: %s" % (type(self).__name__, self.formatted)

    def __reduce__(self):
        return type(self), (self.formatted,)

    def warn(self) -> None:
        """Writes a line to stderr: nobody has asked for this error. Interrupts are no news."""
        if self.formatted != INTERRUPT_TEXT:
            sys.stderr.write("[%d] Warning: unhandled %r\n" % (os.getpid(), self))


class TimeoutError(OSError):
    """Nothing came within the timeout. Not the builtin of the same name."""


class NotInTime(Exception):
    """The timeout of a wait has passed. For the package only: it becomes TimeoutError, whose text says of what."""


class DataFormatError(Exception):
    """Data that cannot be written, or read."""


class DumpError(DataFormatError):
    """An object that cannot travel: its type is none of those that can (exact types only)."""


class LoadError(DataFormatError):
    """Bytes that are no dump."""


class HostNotFound(Exception):
    """The host cannot be reached. With ssh the only argument is the address; with sockets there is
    none, and the cause is the resolver's error."""


class IdInUseError(ValueError, AssertionError):
    """Two gateways of a group cannot have one id. (An AssertionError for programs that were written
    for execnet, which asserts it.)"""
