"""Frames as numbers and structs, limits of both sides, and what we call all the time."""
import os
import select
import _thread
from _struct import Struct

VERSION = "0.1.0"
MAX_FRAME = 262144  # bytes of payload that are accepted
CUT = 65536  # bytes of payload that are sent in a frame
MAX_CONTROL = 4096  # control frames queued for a peer that does not read
MAX_DEPTH = 1000
MAX_INT = 1 << 20  # bytes
SMALL = 16384  # bytes of an item that may share a write with others
LATER = 256  # bytes: a longer pickle is decoded when it is received
EAGER = 32  # sends that go out at once, after a wait and while so many
EAGER_TIME = 0.00064  # seconds take longer than this: "send, then os._exit" loses nothing
FLOOD = 2048  # bytes in a tick of the stand-by: else it is over
COALESCE = 32768  # bytes that are collected then
BATCH = 1 << 20  # bytes for one writev: what the pipe takes
MAX_VECTOR = 512  # buffers for one writev; the system's limit is 1,024
TICK = 0.002  # s between two looks of the stand-by
FLUSH_TICK = 1  # ms that collected items wait at most
UNLIMITED = 1 << 62

BEGIN, END = 0x10, 0x20
PICKLE, BYTES, STR, INT, EXEC = 1, 2, 3, 4, 5
HELLO, TERMINATE, PING, PONG, STATUS, STATUS_REPLY = 0x40, 0x41, 0x42, 0x43, 0x44, 0x45
CREDIT, CLOSE, CLOSE_ERROR, LAST_MESSAGE, OPEN, INTERRUPT = 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B
RECONFIGURE, STACKS, STACKS_REPLY, PART, NEED = 0x4C, 0x4D, 0x4E, 0x4F, 0x80
INT_WORD = BEGIN | END | INT | 8 << 8  # kind and length of every INT frame
INT_COST = 40

head_struct = Struct("<II")  # kind and length, channel id
int_struct = Struct("<IIq")
run_struct = Struct("<Qq")  # the same; head as one number, to compare
u64_struct = Struct("<Q")
pack_head = head_struct.pack
unpack_head = head_struct.unpack_from
pack_int = int_struct.pack
unpack_u64 = u64_struct.unpack_from
iter_run = run_struct.iter_unpack

allocate_lock = _thread.allocate_lock
read = os.read  # bound early: user code may replace them
write = os.write
getpid = os.getpid
open_pipe = os.pipe
set_blocking = os.set_blocking
open_poll = select.poll
POLLIN, POLLOUT = select.POLLIN, select.POLLOUT
readv = getattr(os, "readv", None)  # PyPy has neither
writev = getattr(os, "writev", None) or (lambda fd, parts: write(fd, b"".join(parts)))


def part(definition):
    """Marks a class that is a part of another one and has no other use: bundle.py puts its
    body into the one that derives from it."""
    return definition
