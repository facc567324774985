"""The portable agent: connection, channels and items in pure Python.

Protocol: spec-docs/wire.md and items.md; how it gets here: spec-docs/bootstrap.md.
bundle.py packs keeper.py, task.py and the modules that it lists as MODULES. They share
one namespace, the module `_gangway`, and import nothing that start-up can do without.
A relative import only says what a module takes from which other one: bundle.py checks it
and drops it.

Whoever waits, leads. A thread that blocks (in receive, waitclose, a send without
credit, or for its next job) takes the `lead` lock if it is free and reads the stream
itself until its own wait is over; the others wait on a lock of their own, their bell.
While nobody waits, the stand-by (the dispatcher thread of task.py) leads. A leader
that leaves passes the lead on only if somebody waits for it, so that a ping-pong
has no hand-over between threads at all.

Who holds which lock:

    lead     whoever reads the stream and handles frames; held while blocked in read
    writer   whoever writes; held while the peer takes its time. Receive paths only
             try it: they leave their frames in the queue, and the holder looks again
    wire     queues and credit; held for a few lines, never while blocked. Re-entrant,
             because a garbage collection inside them may run a user's __del__

The read descriptor is left as we find it. The write descriptor is set non-blocking:
its open file description is ours alone on pipes; on a socket the reads notice it and
poll.
"""
import os
import _thread
from _collections import deque  # without the rest of collections: 0.7 ms

from .task import get_ident, rare
from .wire import allocate_lock, getpid
from .channel import Gateway
from .waiting import Waiting
from .interrupt import Interrupts
from .writer import Writer
from .reader import Reader
from .receiver import Receiver
from .control import Control


class Link(Waiting, Interrupts, Writer, Reader, Receiver, Control):
    """The connection: frames in and out, who leads, and the backend of task.py."""

    # Of the connection.
    signalled = False  # a SIGINT of ours is on its way
    greeted = False
    forked = False
    lost = None  # the EOFError that ended the connection
    gateway = None
    last_theirs = -1
    last_ours = 0
    convert = None  # `_convert` of channels that come
    calls = None  # callbacks.py
    # Reading; the leader's.
    left = b""  # the beginning of a frame
    frame = None  # (channel, its Arriving, bytes that its current frame lacks, END or 0)
    read_size = 65536
    must_poll = False
    staging = bytearray(4096)  # what readv may bring after the frames it was meant for
    ahead = 16  # buffers for frames that are only expected
    # Writing; under wire.
    out_size = 0
    burst = 0  # sends since somebody waited, or that were slow
    paced = 0  # when burst was looked at
    timer = False  # the stand-by flushes soon
    writing = None  # the thread that holds writer
    rest = None  # a batch that the transport took in part; the writer's
    # Waiting.
    leads = 0  # counts: the stand-by sees that others come and go
    leader = None  # the thread that has `lead`
    led_for = None  # the bells that it would listen to
    main_idle = False
    asleep = False  # the stand-by, deeply
    polling = False  # the stand-by leads, and is in poll
    pipe = None  # wakes the stand-by when it polls

    def __init__(self, fd_in, fd_out):
        self.fd_in = fd_in
        self.fd_out = fd_out
        self.pid = getpid()
        self.main_ident = get_ident()
        self.wire = _thread.RLock()
        self.writer = allocate_lock()
        self.lead = allocate_lock()
        self.bell = allocate_lock()  # the stand-by's
        self.bell.acquire()
        self.channels = {}  # id -> weak reference
        self.closed = {}  # id -> weak reference to a channel that somebody still has
        self.tasks = {}  # id -> (request, when it came, Channel)
        self.opening = {}  # id -> Channel that nobody holds yet
        self.control = []  # frames that overtake items
        self.out = []  # small frames, paid for
        self.turns = deque()  # channels with an Outgoing and, as far as known, credit
        self.dropped = []  # ids of channels that were collected
        self.followers = {}  # bells of threads that wait while another leads
        self.main_bells = []
        self.interrupts = {}
        self.jobs = deque()
        self.main_jobs = deque()  # those that only the main thread may take

    @rare
    def get_gateway(self):
        if self.gateway is None:
            self.gateway = Gateway(self)
        return self.gateway

    # -- the end

    def end(self, error):
        with self.wire:
            if self.lost:
                return
            self.lost = error
            self.cut_off()
        while self.followers:
            self.wake_one()
        if self.pipe:
            self.ring()

    def cut_off(self):
        """Every channel is at its end; what has arrived stays."""
        for reference in list(self.channels.values()):
            channel = reference()
            if channel is not None:
                channel._end()
        self.opening.clear()
        self.turns.clear()

    @rare
    def after_fork(self):
        """In a child of user code: it must neither speak nor listen on the wire."""
        self.forked = True
        self.wire = _thread.RLock()
        self.writer = allocate_lock()
        self.lead = allocate_lock()
        self.followers = {}
        self.lost = EOFError("the connection belongs to process %d" % self.pid)
        self.cut_off()
        for fd in (self.fd_in, self.fd_out):
            try:
                os.close(fd)
            except OSError:
                pass


link: Link  # the one connection; boot.py makes it
