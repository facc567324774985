"""KeyboardInterrupt for tasks: from INTERRUPT frames, and from SIGINT.

It is raised in user code only, or where one of our waits looks for it. Anywhere else in the
agent it would lose what has been read, or leave a lock behind. So what comes while a thread is
in our code becomes a mark in link.interrupts, and is tried again until the task has it or ends.

In the main thread SIGINT raises, whoever sends it; when user code has a handler of its own, an
interrupt is what that one makes of it. In other threads PyThreadState_SetAsyncExc does. PyPy
has no such thing: there only tasks that wait in our code can be interrupted outside of the
main thread.

A SIGINT from outside that arrives between Python's last look for signals and a system call is seen
when the call is over.
"""
import os
import sys
import time
import _signal  # `signal` would import enum: 1 ms

from .task import INTERRUPT_TEXT, execute, get_ident, on_demand, rare, sleep, start_new_thread
from .wire import PING, part
from .sleep import wake

SIGINT = 2


@part
class Interrupts:
    """Of Link: interrupts is thread -> mark, a list with the Channel of the task that is to be
    interrupted there. Empty once it was. Whoever has set it takes it away, and not before no
    signal is on its way any more: one that comes late must not be taken for another."""

    @rare
    def raise_interrupt(self):
        """Where it does no harm: in a wait."""
        me = get_ident()
        mark = self.interrupts.get(me, ())
        for channel in mark:
            if channel._executing == me:
                mark.clear()
                raise KeyboardInterrupt

    @rare
    def on_sigint(self, frame):
        """Our handler. Without a mark the signal is somebody else's, for whatever task runs here."""
        me = self.main_ident
        self.signalled = False
        marked = me in self.interrupts
        if self.forked or in_user_code(frame):
            if not marked:
                raise KeyboardInterrupt
            self.raise_interrupt()
        elif not marked:
            for _, _, channel in list(self.tasks.values()):
                if channel._executing == me:
                    self.interrupts[me] = mark = [channel]
                    self.wake_for_interrupt(me)
                    start_new_thread(self.interrupt_soon, (channel, mark))

    @rare
    def interrupt_soon(self, channel, mark=None):
        """A thread: gets what it needs, and sees to it that the task is interrupted."""
        try:
            if mark is None:
                self.interrupt(channel)
            else:
                self.signal_main(channel, mark)
        except OSError:  # the connection is gone, and with it what was not sent yet
            sleep(0.002)
            if mark:
                del self.interrupts[self.main_ident]
                os.kill(self.pid, SIGINT)

    @on_demand("interrupt")
    def signal_main(self, channel, mark):
        """Until the task has seen its mark, or has ended."""
        from itertools import compress

        me = self.main_ident
        rounds = 0
        while self.signalled or mark and channel._executing == me:
            rounds += 1
            ours = getattr(_signal.getsignal(SIGINT), "__module__", None) == __name__
            if not self.signalled:
                self.wake_for_interrupt(me)
                self.signalled = ours
                _signal.pthread_kill(me, SIGINT)
            elif not rounds % 16:
                # It may have come between Python's last look and a system call, which has slept on.
                # One chain of C functions, as in raise_in_user_code(): not when it was seen meanwhile.
                list(map(_signal.pthread_kill, compress([me], mark), [SIGINT]))
            if not ours:  # a handler of the user's
                self.signalled = False
                break
            sleep(0.002)
        del self.interrupts[me]

    @rare
    def wake_for_interrupt(self, ident):
        """Lets a thread that waits look around."""
        while self.followers:
            self.wake_one()
        if self.leader == ident:
            self.answer(PING, bytes(8))  # it sits in read

    @on_demand("interrupt")
    def interrupt(self, channel):
        """Until the task of this channel has its KeyboardInterrupt, or has ended. One that waits
        for its turn ends at once."""
        while channel._task:
            ident = channel._executing
            if not ident:
                for jobs in self.jobs, self.main_jobs:
                    for job in list(jobs):
                        if job[0] is channel and take_out(jobs, job):
                            return channel._finish(INTERRUPT_TEXT)
            else:
                mark = [channel]
                other = self.interrupts.setdefault(ident, mark)
                if other is mark:
                    if ident == self.main_ident:
                        return self.signal_main(channel, mark)
                    return self.interrupt_thread(ident, channel, mark)
                if other == mark:
                    return  # it is about to be interrupted
            sleep(0.002)

    @on_demand("interrupt")
    def interrupt_thread(self, ident, channel, mark):
        while mark and channel._executing == ident:
            mark.clear()  # there shall be one only
            if raise_in_user_code(ident):
                wake(ident)
                break
            mark.append(channel)
            self.wake_for_interrupt(ident)
            sleep(0.002)
        del self.interrupts[ident]


@rare
def in_user_code(frame):
    """Neither in the agent, nor in a __del__ or the like that was called by it."""
    inner = frame
    while frame and frame.f_code.co_filename != __name__:
        frame = frame.f_back
    return (
        frame is not inner and (not frame or frame.f_code is execute.__code__)
        or inner.f_code is getattr(time.sleep, "__code__", None))  # sleep.py's


@on_demand("interrupt")
def take_out(jobs, job):
    try:
        jobs.remove(job)
    except ValueError:
        return False  # somebody was faster, and begins it
    return True


@on_demand("interrupt")
def raise_in_user_code(ident):
    """Leaves a KeyboardInterrupt for a thread, if that runs user code. False otherwise.

    Nothing may run between the look and the deed, so both are one chain of C functions: while
    it lasts the interpreter does not switch to another thread. (What the thread runs next may
    be the first instruction of a function of ours; before that it is not in there yet.)
    """
    import gc
    from functools import partial
    from itertools import compress, islice, starmap
    from operator import attrgetter, is_, itemgetter

    try:
        import ctypes

        set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    except (ImportError, AttributeError):  # PyPy
        return False
    frame = sys._current_frames().get(ident)
    if frame is None or not in_user_code(frame):
        return False
    del frame
    what = [(ctypes.c_ulong(ident), ctypes.py_object(KeyboardInterrupt))]
    collecting = gc.isenabled()
    gc.disable()  # a __del__ is code that runs in between
    try:
        for look, right in (
            ("f_code.co_filename", __name__.__ne__),
            ("f_code", partial(is_, getattr(time.sleep, "__code__", None))),
        ):
            codes = map(attrgetter(look), map(itemgetter(ident), islice(iter(sys._current_frames, None), 1)))
            if list(starmap(set_exception, compress(what, map(right, codes)))) == [1]:
                return True
    except KeyError:
        pass  # the thread has ended
    finally:
        if collecting:
            gc.enable()
    return False
