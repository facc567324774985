"""What tasks print, as items of a channel (spec-docs/wire.md, section 9). Both agents use it.

    output = Output(channel, streams)       once, before user code runs: takes over sys.stdout,
                                            descriptor 1 and sys.stderr, as far as asked for
    output.run(task_channel, request)       in place of execute(): routes, and flushes at the end

channel needs one method: send(item), which waits for the window, and raises an OSError when
nobody listens any more. From then on what is printed is dropped.

Whole lines go out in the thread that wrote them, so whoever prints too fast is the one who
waits. What Python code writes belongs to the task of its thread; what another thread, C code or
a child process writes belongs to the only task that runs, if it is one.
"""
import os
import sys
import _thread
from _collections import deque  # without the rest of collections: 0.7 ms

from .task import execute, get_ident, on_demand

LINE_LIMIT = 65536  # bytes of an item
guard = _thread.allocate_lock()  # of whoever makes the one Output
STDOUT, STDERR = 1, 2  # descriptors, and what they are called on the wire


@on_demand("output")
class Output:
    """Who prints what, and the lines that are not complete. Any thread."""

    def __init__(self, channel, streams):
        self.channel = channel
        self.pid = os.getpid()
        self.tasks = {}  # thread -> id of the channel of the task that it runs
        self.partial = {}  # (thread, stream) -> (task, what lacks its line feed)
        self.late = deque()  # what was printed where nobody may wait
        self.reading = _thread.allocate_lock()  # whoever reads the pipe
        self.pipe = None
        self.flush_c = None
        if "stdout" in streams:
            self.open_pipe()
            sys.stdout = sys.__stdout__ = TaskStream(self, STDOUT, None)
        if "stderr" in streams:  # sys.__stderr__ stays: for what has to outlive a crash
            sys.stderr = TaskStream(self, STDERR, sys.stderr)

    def run(self, channel, request):
        me = get_ident()
        self.tasks[me] = channel.id
        try:
            return execute(channel, request)
        finally:
            try:
                if os.getpid() == self.pid:
                    self.end_task(channel.id)
            finally:
                self.tasks.pop(me, None)

    def end_task(self, task):
        """Everything that this task has printed goes out before its channel closes."""
        if self.pipe is not None:
            if self.flush_c:
                self.flush_c()
            with self.reading:
                self.drain()
        for key, (owner, data) in list(self.partial.items()):
            if owner == task and self.partial.pop(key, None):
                self.send((task, key[1], data))

    def task_here(self):
        """The task that prints here; 0 when it is not known."""
        return self.tasks.get(get_ident()) or self.only_task()

    def only_task(self):
        tasks = list(self.tasks.values())
        return tasks[0] if len(tasks) == 1 else 0

    def add(self, thread, stream, task, data):
        """More of a thread's output: complete lines are sent, the rest is kept."""
        key = thread, stream
        begun = self.partial.pop(key, None)
        if begun:
            task = begun[0]
            data = begun[1] + data
        end = data.rfind(b"\n") + 1
        end += (len(data) - end) // LINE_LIMIT * LINE_LIMIT  # a line too long for one item
        if end < len(data):
            self.partial[key] = task, data[end:]
        start = 0
        while start < end:
            stop = min(end, start + LINE_LIMIT)
            if stop < end:
                stop = data.rfind(b"\n", start, stop) + 1 or stop
            self.send((task, stream, data[start:stop]))
            start = stop

    def send(self, item):
        """Waits for the window, but not inside of the agent: a user's __del__ may print in a
        garbage collection of the thread that would have to read the credit."""
        if is_within_agent(sys._getframe()):
            self.late.append(item)
            return
        try:
            while self.late:
                try:
                    earlier = self.late.popleft()
                except IndexError:
                    break  # another thread was faster
                self.channel.send(earlier)
            self.channel.send(item)
        except OSError:
            self.late.clear()  # nobody reads it

    # -- descriptor 1: C code and child processes

    def open_pipe(self):
        import fcntl

        reader, writer = os.pipe()
        os.dup2(writer, STDOUT)
        os.close(writer)
        try:
            self.pipe = fcntl.fcntl(reader, 1030, 100)  # F_DUPFD_CLOEXEC: small ones are the user's
            os.close(reader)
        except OSError:  # a small ulimit -n
            self.pipe = reader
        self.flush_c = line_buffer_c()
        _thread.start_new_thread(self.read_pipe, ())

    def read_pipe(self):
        """A thread: as the pipe is never left full, nobody who writes to it hangs for long."""
        import select

        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        more = True
        while more:
            poll.poll()
            with self.reading:
                more = self.drain()

    def drain(self):
        """All that is in the pipe. False at its end: a task has closed descriptor 1."""
        import select

        while select.select([self.pipe], [], [], 0)[0]:
            data = os.read(self.pipe, LINE_LIMIT)
            if not data:
                return False
            self.add(None, STDOUT, self.only_task(), data)
        return True


@on_demand("output")
def is_within_agent(frame):
    """Was what is printed here called by a part of the agent that is not execute()?"""
    own = execute.__code__.co_filename
    while frame is not None and frame.f_code.co_filename == own:
        frame = frame.f_back
    while frame is not None and frame.f_code.co_filename != own:
        frame = frame.f_back
    return frame is not None and frame.f_code is not execute.__code__


@on_demand("output")
def line_buffer_c():
    """Makes C code's stdout write each line at once, as on a terminal: buffered like a file
    it would be lost at the end. Gives what flushes it; None where there is no such thing."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.setvbuf(stdout, None, 1, 0)  # _IOLBF
        return lambda: libc.fflush(stdout)
    except Exception:
        return None


@on_demand("output")
class TaskStream(__import__("io").TextIOBase):
    """sys.stdout or sys.stderr. The lines of a task are its own, so flush() has little to do."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    mode = "w"

    def __init__(self, output, number, outside):
        self.output = output
        self.number = number
        self.outside = outside  # for what no task writes; None: the output takes that, too
        self.name = "<stdout>" if number == STDOUT else "<stderr>"
        self.buffer = TaskBuffer(self)
        self.child = None  # in a forked process: a file on the descriptor

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        self.put(text.encode("utf-8", "backslashreplace"), sys._getframe(1))
        return len(text)

    def put(self, data, caller):
        output = self.output
        if os.getpid() != output.pid:
            self.in_child(data)
            return
        task = output.task_here()
        if self.outside and (not task or caller.f_code.co_filename == execute.__code__.co_filename):
            self.outside.write(data.decode("utf-8", "replace"))  # what the agent itself says
        elif data:
            output.add(get_ident(), self.number, task, data)

    def in_child(self, data):
        """It has the descriptors, but no connection. Whole lines here, too."""
        if self.child is None:
            self.child = open(self.number, "wb", closefd=False)
        self.child.write(data)
        if b"\n" in data:
            self.child.flush()

    def flush(self):
        for file in (self.child, self.outside):
            if file:
                file.flush()

    def writable(self):
        return True

    def fileno(self):
        return self.number

    def close(self):
        """Other tasks print, too."""


@on_demand("output")
class TaskBuffer(__import__("io").BufferedIOBase):
    """sys.stdout.buffer, for bytes."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, data):
        data = bytes(data)
        self.stream.put(data, sys._getframe(1))
        return len(data)

    def flush(self):
        self.stream.flush()

    def writable(self):
        return True

    def fileno(self):
        return self.stream.number

    def close(self):
        pass
