"""What runs a task. Both agents use this module unchanged.

The agent gives it a *backend*: the connection, seen from the tasks.

    backend.execmodel
        "thread" or "main_thread_only".
    backend.next_job(main)
        Blocks, leading the I/O while nobody else does, and gives the next
        (channel, request): request is the dict of an EXEC frame. None once the
        connection has ended and nothing that came before the end is left.
        The main thread calls next_job(True); the dispatcher thread sits in
        next_job(False), which gives a job only while the main thread is not
        inside next_job(True): an idle main thread takes the task.
    backend.push_job(job)
        Puts a job back to the front, for next_job(True) only.
    channel._executing
        Set to the thread before the user's code runs: the channel of a running task
        refuses an explicit close() with an OSError that says "explicit".
    channel._finish(text)
        Called when the task is over: CLOSE, or CLOSE_ERROR with the text. Nothing
        when the channel is closed already, or when it was called before. Never
        raises. Called in the main thread it makes that thread idle, *before* the
        frame goes out: who has seen a task end may rely on the main thread for the
        next one.

"numexecuting" of a STATUS_REPLY is the number of jobs that next_job gave out and
_finish did not see yet; the backend counts it, so that it can answer without us.

How an agent uses it, in its main thread:

    take_stdio()            before any user code; reopen_stdio() if it has moved the
                            protocol descriptors itself
    Tasks(backend).serve()  until the connection and all tasks have ended
    leave()                 flushes, runs atexit functions, os._exit
"""
import os
import sys
import time
import _thread

from .green import green_attribute
from .sleep import replace_sleep

INTERRUPT_TEXT = "keyboard-interrupted"

MAX_ERROR_TEXT = 65536  # bytes; the limit of a CLOSE_ERROR frame
MAIN_THREAD_WAIT = 1.0  # s that main_thread_only waits for a running task, as execnet does
END_GRACE = 5.0  # s that running tasks get after the connection has ended, then SIGINT
INTERRUPT_GRACE = 10.0  # s after that, then the process ends hard

start_new_thread = _thread.start_new_thread  # user code may replace them in their modules
get_ident = _thread.get_ident
get_native_id = getattr(_thread, "get_native_id", int)  # 3.8; else 0
sleep = time.sleep
monotonic = time.monotonic
exit_hard = os._exit


def rare(definition):
    """Marks what a short session does not need. bundle.py sends it as text, and it is
    compiled when it is first used: compiling everything would cost the portable agent
    6 ms of start-up, three quarters of what the interpreter itself takes."""
    return definition


def on_demand(part):
    """Marks what most sessions do not need. bundle.py leaves it out of the portable agent and
    puts it into the part of this name, which the agent asks for at its first use
    (spec-docs/wire.md, section 8). The one who uses it must hold no lock of ours."""
    return rare


class Tasks:
    """Runs the jobs of one backend, by the rules of its execution model."""

    def __init__(self, backend):
        self.backend = backend
        self.main_ident = get_ident()
        self.guard = _thread.allocate_lock()  # of the three below
        self.in_threads = 0
        self.dispatching = False
        self.all_done = None  # a locked lock while serve() waits for the last thread
        self.waiting = []  # main_thread_only: (deadline, job) in order

    def serve(self):
        """The main thread's life; returns when connection and tasks have ended."""
        job = None
        while True:
            try:
                job = self.backend.next_job(True)
                if job is None:
                    break
                if not self.dispatching:
                    self.dispatching = True
                    start_new_thread(self.dispatch, ())
                if claim(job):
                    run(job[0], job[1])
            except KeyboardInterrupt:  # just before or after a task, or while idle
                if job is not None:
                    job[0]._finish(INTERRUPT_TEXT)
            job = None  # the channel must not live on in an idle agent
        if self.in_threads:
            self.wait_for_threads()

    @rare
    def wait_for_threads(self):
        with self.guard:
            if not self.in_threads:
                return
            self.all_done = _thread.allocate_lock()
            self.all_done.acquire()
        while True:
            try:
                self.all_done.acquire()
                return
            except KeyboardInterrupt:
                pass

    def dispatch(self):
        """A thread: takes what the main thread has no time for, and sees to a bounded end."""
        sleep(0.002)  # a short session is over before anything here has to be compiled
        try:
            self.dispatch_jobs()
        except BaseException:  # out of memory, say: an agent that nobody leads must not stay
            sys.excepthook(*sys.exc_info())
            exit_hard(1)

    @rare
    def dispatch_jobs(self):
        job = self.backend.next_job(False)
        while job is not None:
            try:
                if self.backend.execmodel == "thread":
                    self.start_thread(job)
                else:
                    self.wait_for_main(job)
            except OSError as error:  # the connection was lost before the part came
                job[0]._finish(str(error))
            job = self.backend.next_job(False)
        sleep(END_GRACE)
        os.kill(os.getpid(), 2)  # SIGINT: KeyboardInterrupt where the main thread is
        sleep(INTERRUPT_GRACE)
        exit_hard(1)

    @rare
    def start_thread(self, job):
        with self.guard:
            self.in_threads += 1
        try:
            start_new_thread(self.run_in_thread, (job,))
        except RuntimeError as error:  # no more threads: the task fails, not the agent
            self.thread_ended()
            job[0]._finish("RuntimeError: %s" % error)

    @rare
    def run_in_thread(self, job):
        try:
            try:  # here, and not in the dispatcher: that one must not wait for the transport
                ensure_threading(self.main_ident)
                replace_sleep(self.main_ident)
            except OSError:
                pass  # the connection was lost before the part came
            run(job[0], job[1])
        except KeyboardInterrupt:  # just before or after the task
            job[0]._finish(INTERRUPT_TEXT)
        finally:
            self.thread_ended()

    @rare
    def thread_ended(self):
        with self.guard:
            self.in_threads -= 1
            if self.all_done and not self.in_threads:
                self.all_done.release()

    @on_demand("main_thread_only")
    def wait_for_main(self, job):
        """main_thread_only: the job is the main thread's if it is free within a second."""
        with self.guard:
            self.waiting.append((monotonic() + MAIN_THREAD_WAIT, job))
            if len(self.waiting) == 1:
                start_new_thread(self.refuse_late_jobs, ())
        self.backend.push_job(job)

    @on_demand("main_thread_only")
    def refuse_late_jobs(self):
        while self.waiting:
            deadline, job = self.waiting[0]
            sleep(max(0, deadline - monotonic()))
            if claim(job):
                job[0]._finish(deadlock_text())
            with self.guard:
                del self.waiting[0]
                if not self.waiting:
                    return


@on_demand("main_thread_only")
def deadlock_text():
    return (
        "concurrent remote_exec would cause deadlock: this worker runs tasks in its main "
        "thread only (execmodel main_thread_only), and a task is running there")


def claim(job):
    """True for the first one who asks: the task runs, or is refused, but not both."""
    return job[1].setdefault(None, get_ident()) == get_ident()


def run(channel, request):
    request[0] = get_native_id()
    channel._executing = get_ident()
    channel._finish(runner(channel, request))


def execute(channel, request):
    """Runs a request; gives the error text, or None when the task ended well."""
    try:
        source = request["source"]
        file = request.get("file") or "<remote exec>"
        remember_source(file, source)
        namespace = {"channel": channel, "__name__": "__channelexec__"}
        exec(compile(source, file, "exec", dont_inherit=True), namespace)
        if "function" in request:
            namespace[request["function"]](channel, **request.get("kwargs") or {})
    except EOFError:
        return None  # a task that read its channel to the end
    except KeyboardInterrupt:
        return INTERRUPT_TEXT
    except BaseException as error:
        return error_text(error)
    return None


runner = execute  # or what does more around it (output.py, for one)

sources = {}  # file name -> linecache entry


def remember_source(file, source):
    """Lets tracebacks and inspect show the source, as soon as somebody imports linecache.

    Importing it here would cost 3 ms of start-up (3.11: it drags in tokenize and re).
    """
    if not sources and "linecache" not in sys.modules:
        sys.meta_path.insert(0, LinecacheHook)
    # mtime None: linecache.checkcache() keeps entries that no file backs.
    sources[file] = (len(source), None, source.splitlines(True), file)
    if "linecache" in sys.modules:
        fill_linecache(sys.modules["linecache"])


@rare
def fill_linecache(module):
    cache = getattr(module, "cache", None)
    if isinstance(cache, dict):  # else it is still being imported, by another thread
        cache.update(sources)


class LinecacheHook:
    """In sys.meta_path until linecache is imported for the first time."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "linecache":
            return find_linecache()


@rare
def find_linecache():
    sys.meta_path.remove(LinecacheHook)
    for finder in sys.meta_path:
        spec = finder.find_spec("linecache", None)
        if spec is not None:
            run_module = spec.loader.exec_module

            def exec_module(module):
                run_module(module)
                fill_linecache(module)

            spec.loader.exec_module = exec_module
            return spec


@rare
def error_text(error):
    """The traceback from the user's frames on, at most MAX_ERROR_TEXT bytes of UTF-8."""
    own = execute.__code__.co_filename

    def strip(te, depth=0):
        """Takes our own frames out, out of causes and groups too."""
        if te is None or depth > 50:
            return
        te.stack[:] = [frame for frame in te.stack if frame.filename != own]
        strip(te.__cause__, depth + 1)
        strip(te.__context__, depth + 1)
        for member in getattr(te, "exceptions", None) or ():
            strip(member, depth + 1)

    try:
        import traceback

        te = traceback.TracebackException(type(error), error, error.__traceback__)
        strip(te)
        text = "".join(te.format())
    except KeyboardInterrupt:  # an interrupt that came late; traceback catches what a __str__ raises
        return error_text(error)
    except BaseException:  # no memory, no stack
        text = "Traceback (most recent call last):\n  [not printable]\n%s: <no text>\n" % type(error).__name__
    if "Traceback (most" not in text:  # a syntax error has no frames
        text = "Traceback (most recent call last):\n" + text
    data = text.rstrip("\n").encode("utf-8", "backslashreplace")
    if len(data) > MAX_ERROR_TEXT:
        cut = b"Traceback (most recent call last):\n  [...]\n"
        data = cut + data[len(cut) - MAX_ERROR_TEXT:]
    return data.decode("utf-8", "ignore")


@on_demand("threads")
def ensure_threading(main_ident):
    """Imports threading for a thread that is not the main one.

    Up to 3.12 the module takes the thread that imports it for the main thread.
    """
    if "threading" in sys.modules:
        return
    import threading

    main = threading._main_thread
    here = get_ident()
    if main.ident == here:
        threading._active.pop(here, None)
        main._ident = main_ident
        threading._active[main_ident] = main
        if getattr(main, "_tstate_lock", None) is not None:
            # It would be released when *this* thread ends, and main then counts as dead.
            main._tstate_lock = _thread.allocate_lock()
            main._tstate_lock.acquire()


def take_stdio():
    """Moves the protocol away from descriptors 0 and 1; gives the two private ones.

    What user code prints, reads, closes or inherits to its children then never
    touches the stream. High numbers, for code that expects small ones to be its own.
    """
    import fcntl

    try:
        private = [fcntl.fcntl(fd, 1030, 100) for fd in (0, 1)]
    except OSError:  # a small ulimit -n
        private = [fcntl.fcntl(fd, 1030, 3) for fd in (0, 1)]
    reopen_stdio()
    return private


def reopen_stdio():
    """The null device on 0 and 1, and sys.stdin and sys.stdout on them."""
    null = os.open(os.devnull, os.O_RDWR)
    while null < 2:  # 2 was closed at the start: nothing of ours may land there
        null = os.dup(null)
    for fd in (0, 1):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    # UTF-8 whatever the locale says: a print must not fail for LC_ALL=C.
    sys.stdin = sys.__stdin__ = open(0, "r", 1, "utf-8", "replace", closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)


def leave(status=0):
    """Ends the process as soon as may be: atexit functions run, threads are not waited for."""
    try:
        if "atexit" in sys.modules:
            sys.modules["atexit"]._run_exitfuncs()
    except BaseException:
        pass
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass  # closed, replaced, full
    exit_hard(status)


@on_demand("gateway")
class ExecModel:
    """What channel.gateway.execmodel offers to user code."""

    def __init__(self, backend):
        self.backend = backend

    def __repr__(self):
        return "<ExecModel %r>" % self.backend

    def __getattr__(self, name):
        if self.backend in ("gevent", "eventlet"):
            return green_attribute(self.backend, name)
        return execmodel_attribute(name)


@on_demand("gateway")
def execmodel_attribute(name):
    import importlib

    if name in ("queue", "subprocess", "socket"):
        return importlib.import_module(name)
    if name in ("get_ident", "RLock", "Event"):
        return getattr(importlib.import_module("threading"), name)
    if name == "Lock":
        return importlib.import_module("threading").RLock
    if name == "sleep":
        return time.sleep
    if name == "start":
        return lambda func, args=(): start_new_thread(func, args)
    if name == "fdopen":
        return lambda fd, mode, bufsize=1, closefd=True: os.fdopen(fd, mode, bufsize, encoding="utf-8", closefd=closefd)
    raise AttributeError(name)
