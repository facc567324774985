"""What an agent tells about itself: STATUS_REPLY and STACKS_REPLY (spec-docs/wire.md, section 7).

The thread that reads the stream answers, whatever the tasks do. It cannot while one of them
keeps the GIL, in C code that does not release it.
"""
import os
import sys

from .task import get_ident, monotonic
from .wire import VERSION
from .link import link
from .stacks import stacks

MOST_TOLD = 100  # tasks, and channels
LONGEST_SOURCE = 200  # bytes
LONGEST_STACKS = 65000  # bytes


def add_status(status):
    """The keys of a STATUS_REPLY that link.status() has not."""
    status.update(
        pid=link.pid, agent="portable", version=VERSION, python="%d.%d.%d" % sys.version_info[:3],
        uptime=monotonic() - link.since, tasks=tasks(), queued=queued(), unresponsive=0.0)
    memory = resident_memory()
    if memory:
        status["memory"] = memory


def resident_memory():
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def tasks():
    now = monotonic()
    return [
        {"channel": number, "source": source_name(request), "age": now - since, "thread": thread_of(request, channel)}
        for number, (request, since, channel) in list(link.tasks.items())[:MOST_TOLD]]


def source_name(request):
    name = str(request.get("file") or "<remote exec>")
    if "function" in request:
        name += " in %s" % (request["function"],)
    return name.encode("utf-8", "replace")[-LONGEST_SOURCE:].decode("utf-8", "ignore")


def thread_of(request, channel):
    """As the operating system numbers it; 0 before the task runs, and where Python does not
    tell: 3.6 and 3.7 know the main thread only."""
    number = request.get(0, 0)
    return number or (link.pid if channel._executing == link.main_ident else 0)


def queued():
    """Channels with bytes waiting. Of an item that was taken some bytes may still be counted:
    up to a quarter of the window."""
    result = {}
    for number, reference in list(link.channels.items()):
        channel = reference()
        if channel is None:
            continue
        with link.wire:
            here = channel._since + sum(cost for _, cost in channel._marks) if len(channel._items) else 0
            if here and not link.window:  # nothing was ever granted
                here = here * len(channel._items) // channel._count
            if channel._arriving:
                here += channel._arriving.filled
            waiting = sum(entry.total - entry.offset for entry in channel._outgoing)
        if here or waiting:
            result[number] = here, waiting
            if len(result) == MOST_TOLD:
                break
    return result


def stacks_reply():
    """Where the Python code of each thread is. Who answers here is nobody's, unless a task runs in it."""
    roles = {link.main_ident: ["main thread"]}
    numbers = {link.main_ident: link.pid}
    for number, (request, _, channel) in list(link.tasks.items()):
        ident = channel._executing
        if ident:
            roles.setdefault(ident, []).append("task of channel %d" % number)
            numbers[ident] = thread_of(request, channel) or ident
    if link.calls is not None:
        roles.setdefault(link.caller, []).append("callbacks")
    heads = {}
    for ident in sorted(sys._current_frames(), key=lambda ident: ident != link.main_ident):
        role = ", ".join(roles.get(ident, ()))
        if role or ident != get_ident():
            heads[ident] = "Thread %d%s" % (numbers.get(ident) or number_of(ident), role and " (%s)" % role)
    text = stacks(heads).encode("utf-8", "replace")
    if len(text) > LONGEST_STACKS:
        text = text[:LONGEST_STACKS - 10].decode("utf-8", "ignore").encode() + b"\n  [...]\n"
    return text


def number_of(ident):
    """The system's number of a thread that is none of ours, as far as threading knows it."""
    thread = getattr(sys.modules.get("threading"), "_active", {}).get(ident)
    return getattr(thread, "native_id", None) or ident
