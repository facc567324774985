"""The far end of `via`: a task at the hop, which starts the process of another gateway there and
carries its bytes. Ordinary remote_exec source for either agent; 3.6 is enough.

The task's channel is the control. The controller sends what to start, (argv, environment, data,
errors), and then numbers of signals for the process; it closes the channel when it needs no more.
The answer is one tuple: ("failed", text), or ("ended", status) as subprocess has it.
On the channel `data` go stdin and stdout, and its end is theirs; on `errors` goes stderr. Each of
them has a thread and its channel's credit, so a stream that does not move holds up nobody else.

The process stays in the agent's process group: with the agent its keeper kills it, too, and so on
down a chain (spec-docs/via.md).
"""
import os
import sys
from _thread import allocate_lock, start_new_thread
from subprocess import PIPE, Popen

PIECE = 65536  # bytes: one frame, and less than what malloc takes from the system each time
ROOM = 1 << 20  # bytes in a pipe, as between the controller and its own agents
GRACE = 4.5  # s from the end of the control to TERM: the agent's tasks get 5 s, its keeper then kills
LAST_WORDS = 0.5  # s without a byte after the end of the process: somebody else holds its stdout


class Flow:
    """One direction of a stream, on a thread of its own; `over` is free when it has ended."""

    def __init__(self, carry, stream, channel):
        self.stream = stream
        self.channel = channel
        self.moved = 0  # pieces
        self.busy = False  # a piece is on its way
        self.over = allocate_lock()
        self.over.acquire()
        start_new_thread(self.run, (carry,))

    def run(self, carry):
        try:
            carry(self, self.stream.fileno())
        except Exception:  # the pipe is broken, the channel closed, the connection lost
            pass
        try:
            self.stream.close()
        except OSError:
            pass
        self.over.release()

    def feed(self, fd):
        while True:
            rest = memoryview(self.channel.receive())
            while rest:
                rest = rest[os.write(fd, rest):]

    def drain(self, fd):
        try:
            while True:
                piece = os.read(fd, PIECE)
                if not piece:
                    return
                self.busy = True
                self.channel.send(piece)
                self.moved += 1
                self.busy = False
        finally:
            self.busy = False
            self.close()  # the peer reads its end; a stdin that is not read any more ends nothing

    def wait(self):
        """Until the end, or until nothing comes any more although the process has ended."""
        moved = -1
        while not self.over.acquire(True, LAST_WORDS):
            if self.moved == moved and not self.busy:
                return self.close()
            moved = self.moved

    def close(self):
        try:
            self.channel.close()
        except Exception:
            pass


def widen(stream):
    try:
        import fcntl

        fcntl.fcntl(stream.fileno(), 1031, ROOM)  # F_SETPIPE_SZ
    except (ImportError, OSError):
        pass


def relay(control):
    argv, environment, data, errors = control.receive()
    try:
        process = Popen([argv[0] or sys.executable or "python3"] + argv[1:], 0, None, PIPE, PIPE, PIPE,
                        env=dict(os.environ, **environment))
    except (OSError, ValueError) as error:
        data.close()
        errors.close()
        control.send(("failed", "%s: %s" % (argv[0], getattr(error, "strerror", None) or error)))
        return
    widen(process.stdin)
    widen(process.stdout)
    Flow(Flow.feed, process.stdin, data)
    flows = Flow(Flow.drain, process.stdout, data), Flow(Flow.drain, process.stderr, errors)
    ended = allocate_lock()
    ended.acquire()

    def wait():
        status = process.wait()
        for flow in flows:
            flow.wait()
        ended.release()
        try:
            control.send(("ended", status))
        except (EOFError, OSError):
            pass

    start_new_thread(wait, ())
    try:
        while True:
            process.send_signal(control.receive())
    except (EOFError, OSError):
        pass  # the controller needs no more, or is gone
    finally:
        for patience, end in (GRACE, process.terminate), (1, process.kill):
            if ended.acquire(True, patience):
                break
            end()


relay(channel)
