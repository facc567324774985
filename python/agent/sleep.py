"""time.sleep that an interrupt ends, in threads other than the main one.

KeyboardInterrupt can be left for any thread, but it is raised when that thread runs Python
code the next time; the C function sleeps on. (The main thread has a signal to end it.) So
tasks in other threads sleep on a lock, and whoever leaves an exception for one calls wake().
What took `from time import sleep` before there was a second task sleeps as ever.
"""
import time
import _thread
from _operator import index

from .task import get_ident, monotonic, on_demand, sleep

sleepers = {}  # the lock that a thread sleeps on: the thread


@on_demand("threads")
def replace_sleep(main_ident):
    """To be called before the first task runs in another thread than the main one."""
    if time.sleep is not sleep:
        return  # done before, or it is somebody else's, gevent's for one

    def interruptible_sleep(seconds):
        ident = get_ident()
        if not isinstance(seconds, float):
            seconds = index(seconds)
        if ident == main_ident or not 0 < seconds <= _thread.TIMEOUT_MAX:
            return sleep(seconds)  # it knows what to say to a negative number
        deadline = monotonic() + seconds
        lock = _thread.allocate_lock()
        lock.acquire()
        try:
            sleepers[lock] = ident
            while seconds > 0:
                lock.acquire(True, seconds)  # what was left for this thread is raised behind it
                seconds = deadline - monotonic()
        finally:
            sleepers.pop(lock, None)

    interruptible_sleep.__doc__ = sleep.__doc__
    time.sleep = interruptible_sleep


@on_demand("interrupt")
def wake(ident):
    """A thread that sleeps looks around now: it goes on to sleep when nothing is to be raised."""
    for lock, sleeper in list(sleepers.items()):
        if sleeper == ident:
            try:
                lock.release()
            except RuntimeError:
                pass  # woken, and not awake yet
