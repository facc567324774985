"""The execution models gevent and eventlet: each task in a green thread of the main thread.

The main thread belongs to the library's hub. The dispatcher thread, a real one, reads the
stream all the time; green threads never lead. They wait on events of the library, and whoever
wakes one from another thread sends it through a pipe that a green thread reads. A send that
finds the transport full leaves the rest to the dispatcher, and lets others run until it is
written. Real threads that user code starts wait as in the model `thread`.
"""
import os
import time
import _signal
from _collections import deque

from .task import (
    INTERRUPT_TEXT, claim, error_text, execute, get_ident, get_native_id, monotonic, on_demand, sleep)
from .wire import getpid, read, write
from .link import link
from .interrupt import take_out

HIGH_TIME = 0.02  # s: a hub that has not come by so far is kept by a busy task


def serve_green(channel, request, inner):
    """The main thread's life from the first task on. inner runs a task: execute(), or what does more."""
    Hub(inner).serve((channel, request))


class Bell:
    """What a green thread waits for."""

    def __init__(self, hub):
        self.hub = hub
        self.flag = hub.model.Flag()

    def release(self):
        self.hub.ring(self.flag.set)


class Hub:
    """Of the connection; takes the place of those methods of Link that wait."""

    def __init__(self, inner):
        self.inner = inner
        self.model = (GeventModel if link.execmodel == "gevent" else EventletModel)()
        self.tasks = {}  # Channel -> green thread that runs its task
        self.alive = 0
        self.wanted = []  # channels of tasks that are to be interrupted
        self.waiting = set()
        self.rung = deque()  # functions for the hub's thread
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.plain_wait = link.wait
        self.plain_lead_for = link.lead_for
        self.plain_flush = link.flush
        self.plain_write_now = link.write_now
        self.plain_wake = link.wake
        self.plain_end = link.end
        link.wait = self.wait
        link.lead_for = self.lead_for
        link.flush = self.flush
        link.write_now = self.write_now
        link.wake = self.wake
        link.end = self.end
        link.interrupt = self.interrupt
        link.on_sigint = self.on_sigint
        link.main_idle = True  # from now on every job is for the hub

    def is_here(self):
        return get_ident() == link.main_ident and not link.forked

    # -- tasks

    def serve(self, job):
        self.model.begin(self.answer_bells)
        self.start(job)
        while True:
            link.wait(lambda: link.main_jobs or link.jobs or link.lost, link.main_bells, None)
            try:
                job = (link.main_jobs or link.jobs).popleft()
            except IndexError:
                if link.lost:
                    break
                continue
            if claim(job):
                self.start(job)
        while self.alive:
            self.model.sleep(0.005)

    def start(self, job):
        self.alive += 1
        self.model.begin(self.run, job[0], job[1])

    def run(self, channel, request):
        try:
            if channel in self.wanted:
                self.wanted.remove(channel)
                return channel._finish(INTERRUPT_TEXT)
            request[0] = get_native_id()
            channel._executing = get_ident()
            self.tasks[channel] = self.model.current()
            try:
                text = self.inner(channel, request)
            finally:
                del self.tasks[channel]
            channel._finish(text)
        except BaseException as error:  # just before or after the task
            channel._finish(INTERRUPT_TEXT if isinstance(error, KeyboardInterrupt) else error_text(error))
        finally:
            self.alive -= 1

    # -- from other threads

    def ring(self, function):
        self.rung.append(function)
        try:
            write(self.writer, b"!")
        except OSError:
            pass  # full: it is on its way

    def answer_bells(self):
        """A green thread."""
        while True:
            self.model.wait_readable(self.reader)
            try:
                read(self.reader, 4096)
            except BlockingIOError:
                continue
            while self.rung:
                self.rung.popleft()()

    # -- in place of Link's

    def wait(self, ready, bells, deadline):
        if not self.is_here():
            return self.plain_wait(ready, bells, deadline)
        link.burst = 0
        if link.out or link.control:
            link.flush()
        if ready():
            return True
        bell = Bell(self)
        bells.append(bell)
        self.waiting.add(bell)
        try:
            while not ready():
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    return False
                bell.flag.wait(left)
                bell.flag.clear()
        finally:
            bells.remove(bell)
            self.waiting.discard(bell)
        return True

    def lead_for(self, channel):
        if not self.is_here():
            self.plain_lead_for(channel)

    def flush(self, may_wait=True):
        if not may_wait or not self.is_here():
            return self.plain_flush(may_wait)
        self.plain_flush(False)
        while link.rest and not link.lost:
            link.ring()
            self.model.sleep(0.002)

    def write_now(self, frame):
        if not self.is_here():
            return self.plain_write_now(frame)
        link.writing = get_ident()
        try:
            link.rest = link.put([frame], False)
        finally:
            link.writing = None
            link.writer.release()
        if link.rest or link.control or link.out or link.dropped or link.turns:
            self.flush()

    def wake(self, bells):
        for bell in list(bells):
            if type(bell) is Bell:
                bell.release()
        self.plain_wake(bells)

    def end(self, error):
        self.plain_end(error)
        for bell in list(self.waiting):
            bell.release()

    # -- interrupts

    def interrupt(self, channel):
        """Thrown into a green thread that waits, raised by a signal in one that does not let
        the others run."""
        for jobs in link.jobs, link.main_jobs:
            for job in list(jobs):
                if job[0] is channel and take_out(jobs, job):
                    return channel._finish(INTERRUPT_TEXT)
        if channel in self.wanted:
            return
        self.wanted.append(channel)
        self.ring(lambda: self.throw_into(channel))
        while channel in self.wanted and channel._task:
            sleep(HIGH_TIME)
            if channel in self.wanted and not link.signalled:
                link.signalled = True
                _signal.pthread_kill(link.main_ident, _signal.SIGINT)
        if channel in self.wanted:
            self.wanted.remove(channel)

    def throw_into(self, channel):
        if channel in self.wanted and channel in self.tasks:  # else it begins in a moment
            self.wanted.remove(channel)
            self.model.end_thread(self.tasks[channel])

    def on_sigint(self, frame):
        ours = link.signalled
        link.signalled = False
        if link.forked:
            raise KeyboardInterrupt
        own = execute.__code__
        inner = frame
        while frame and frame.f_code.co_filename != own.co_filename:
            frame = frame.f_back
        if frame and frame is not inner and frame.f_code is own:  # user code of a task
            channel = frame.f_locals[own.co_varnames[0]]
            if not ours:
                raise KeyboardInterrupt
            if channel in self.wanted:
                self.wanted.remove(channel)
                raise KeyboardInterrupt
        elif not ours:  # from outside, and nobody is busy: for all of them
            self.ring(lambda: [self.model.end_thread(thread) for thread in list(self.tasks.values())])


class GeventModel:
    since = 0  # when the hub had last polled

    def __init__(self):
        import gevent
        import gevent.event
        import gevent.socket

        self.Flag = gevent.event.Event
        self.begin = gevent.spawn
        self.sleep = gevent.sleep
        self.current = gevent.getcurrent
        self.wait_readable = gevent.socket.wait_read
        loop = gevent.get_hub().loop
        # Before the hub's callbacks and behind them (libuv has no priorities: there before those of the next round).
        self.watchers = loop.check(ref=False), loop.prepare(ref=False, priority=-1)
        for watcher, function in zip(self.watchers, (self.look, self.give_way)):
            watcher.start(function)

    def look(self):
        self.since = monotonic()

    def give_way(self):
        """A hub with more to do than fits into a switch interval gives the GIL up at the end of each, for a moment,
        and takes it back. Who waits for it comes too late, waits for an interval, and comes too late again: the
        dispatcher, for seconds."""
        if monotonic() - self.since > HIGH_TIME / 8:
            sleep(0.0001)

    def end_thread(self, thread):
        thread.kill(KeyboardInterrupt, block=False)


class EventletModel:
    def __init__(self):
        import eventlet
        import eventlet.hubs

        self.Flag = EventletFlag
        self.begin = eventlet.spawn
        self.sleep = eventlet.sleep
        self.current = eventlet.getcurrent

    def wait_readable(self, fd):
        import eventlet.hubs

        eventlet.hubs.trampoline(fd, read=True)

    def end_thread(self, thread):
        import eventlet.hubs

        eventlet.hubs.get_hub().schedule_call_global(0, thread.throw, KeyboardInterrupt())


class EventletFlag:
    """For one green thread that waits."""

    def __init__(self):
        self.clear()

    def clear(self):
        import eventlet.event

        self.sent = eventlet.event.Event()

    def set(self):
        if not self.sent.ready():
            self.sent.send()

    def wait(self, timeout):
        import eventlet

        with eventlet.Timeout(timeout, False):
            self.sent.wait()


def green_ident():
    """Of the green thread, or of a thread without any."""
    return id(__import__("greenlet").getcurrent())


def green_attribute(model, name):
    """channel.gateway.execmodel in these models."""
    import importlib

    is_gevent = model == "gevent"
    if name in ("subprocess", "socket"):
        return importlib.import_module(("gevent." if is_gevent else "eventlet.green.") + name)
    if name == "queue":
        return importlib.import_module(model + ".queue")
    if name in ("Event", "RLock", "Lock"):
        module = ("gevent.event" if name == "Event" else "gevent.lock") if is_gevent else "eventlet.green.threading"
        return getattr(importlib.import_module(module), "Event" if name == "Event" else "RLock")
    library = importlib.import_module(model)
    if name == "sleep":
        return library.sleep
    if name == "get_ident":
        return green_ident
    if name == "start":
        return lambda func, args=(): library.spawn(func, *args) and None
    if name == "fdopen":
        return lambda fd, mode, bufsize=1, closefd=True: os.fdopen(fd, mode, bufsize, encoding="utf-8", closefd=closefd)
    raise AttributeError(name)
