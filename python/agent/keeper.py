"""The first part of the bundle: forks before anything else exists.

The parent half is the *keeper*. It watches descriptor 0 for a hang-up without reading
it, relays how the worker ended, and leaves nothing of the worker's process group
behind, also when the worker is stopped or a C extension holds its GIL
(spec-docs/termination.md). The child half is the worker, which goes on with the rest
of the bundle. The keeper forks this early so that it holds little memory: what
the worker compiles and imports is none of its business.
"""
import os
import sys
import time
import _signal  # `signal` would import enum: 1 ms

HANG_UP = 0x2000  # POLLRDHUP; POLLHUP and POLLERR come unasked
STAGES = ((5.0, 15), (3.0, 9))  # s after the hang-up, signal: TERM, then KILL


def fork_keeper():
    """Returns in the worker only."""
    try:
        os.fstat(1)
    except OSError:
        sys.exit("gangway: descriptor 1 is closed")
    null = os.open(os.devnull, os.O_RDWR)
    if null > 2:  # else 2 was closed, and nothing else shall land there
        os.close(null)
    watch, held = os.pipe()
    keeper = os.getpid()
    worker = os.fork()
    if worker:
        try:
            keep(worker, held)
        finally:
            os._exit(1)
    os.setpgid(0, 0)
    os.close(held)
    die_with_keeper(watch)
    if os.getppid() != keeper:
        os._exit(1)


def die_with_keeper(watch):
    """SIGKILL for the worker's whole group as soon as the keeper is gone.

    Only the keeper holds the other end of the pipe, and the kernel announces that the
    last writer went away with the signal we name. PR_SET_PDEATHSIG would do it for one
    process, but needs ctypes (3 to 5 ms); this works for a stopped worker as well.
    """
    import fcntl

    try:
        fcntl.fcntl(watch, fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(watch, 10, 9)  # F_SETSIG, SIGKILL
        fcntl.fcntl(watch, 4, fcntl.fcntl(watch, 3) | getattr(fcntl, "FASYNC", 0x2000))  # F_SETFL, F_GETFL; PyPy lacks it
    except (OSError, AttributeError):
        pass  # not Linux: the end of the stream has to be enough


def keep(worker, held):
    def hit(number):
        for kill, target in (os.killpg, worker), (os.kill, worker):
            try:
                return kill(target, number)
            except OSError:
                pass  # no such group: the worker has left it, or it was never made

    import select

    os.dup2(held, 1)  # no output of ours can hold up the end of the stream
    os.closerange(3, 256)
    try:
        os.setpgid(worker, worker)  # whoever is first
    except OSError:
        pass
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    _signal.set_wakeup_fd(ring)
    _signal.signal(_signal.SIGCHLD, lambda *_: None)
    _signal.signal(_signal.SIGTERM, lambda *_: hit(9))
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    poll.register(0, HANG_UP)
    stages = None
    deadline = wait = None
    while not has_ended(worker):
        for fd, _ in poll.poll(wait):
            if fd == bell:
                os.read(bell, 512)
            else:  # once: a hang-up stays, and would keep us spinning
                poll.unregister(0)
                stages = list(STAGES)
                deadline = time.monotonic() + stages[0][0]
        if deadline is not None:
            if time.monotonic() >= deadline:
                hit(stages.pop(0)[1])
                deadline = time.monotonic() + stages[0][0] if stages else None
            wait = None if deadline is None else max(1, 1000 * (deadline - time.monotonic()))
    hit(9)  # what it left behind; its pid is ours until we reap it
    relay(os.waitpid(worker, 0)[1])


def has_ended(worker):
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    try:  # PyPy: look at the state instead of reaping
        with open("/proc/%d/stat" % worker, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in b"ZX"
    except OSError:
        return True


def relay(status):
    """Ends as the worker did: the controller sees only us."""
    if not os.WIFSIGNALED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump is enough
        _signal.signal(number, _signal.SIG_DFL)
    except Exception:  # SIGKILL has no handler to reset
        pass
    os.kill(os.getpid(), number)
    os._exit(128 + number)

