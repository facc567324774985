"""From HELLO to the end of the process."""
import os
import sys
import _signal

from .task import Tasks, execute, leave, monotonic, on_demand, rare, runner, start_new_thread, take_stdio
from .wire import BATCH, HELLO, MAX_FRAME, UNLIMITED, VERSION, getpid, pack_head
from .errors import ProtocolError
from .spelling import plain_loads, spell
from .callbacks import await_callbacks
from .green import green_ident, serve_green
from .link import Link, link
from .output import Output, guard


def greet(self, payload):
    """The controller's HELLO, and ours."""
    global runner
    config = plain_loads(payload)
    if type(config) is not dict or not {"protocol", "nonce"} <= set(config):
        raise ProtocolError("a HELLO without nonce")
    get = config.get
    self.greeted = True
    self.since = monotonic()
    self.window = get("window", 0)
    self.quarter = self.window // 4 or UNLIMITED
    # The controller may execute code here: its limit may as well be ours.
    self.max_item = self.peer_max_item = get("max_item", 1 << 31)
    self.max_channels = get("max_channels", 1024)
    self.execmodel = get("execmodel", "thread")
    self.debug = get("debug", 0)
    self.name = get("id", "gateway")
    reply = {
        "protocol": (1, 0), "version": VERSION, "max_frame": MAX_FRAME, "max_item": self.max_item,
        "capabilities": ["arrays"], "agent": "portable", "python": "%d.%d.%d" % sys.version_info[:3],
        "implementation": sys.implementation.name, "pid": self.pid,
        "executable": (sys.executable or "").encode("utf-8", "replace").decode(),
    }
    self.output = get("output")
    self.green = self.execmodel not in ("thread", "main_thread_only")
    if self.output or self.green:
        runner = run_otherwise
    error = None
    if config["protocol"][0] != 1 or self.execmodel != "thread" or {"chdir", "nice", "env"} & set(config):
        error = settle(config)
    if error:
        reply["error"] = error
    if self.debug:
        start_new_thread(lambda: trace_start(), ())  # which has to be sent first
    nonce = config["nonce"].hex()
    marker = "<GW1 %s%s>\n" % (nonce[16:], nonce[:16])
    hello = spell(reply)
    self.control.append(marker.encode() + pack_head(HELLO | len(hello) << 8, 0) + hello)
    self.flush()
    if error:
        leave(1)


@rare
def settle(config):
    """Whatever is not the default; gives the text of what we cannot do."""
    if config["protocol"][0] != 1:
        return "protocol %r: this agent speaks 1.0" % (config["protocol"],)
    if link.green:
        path = config.get("sys_path")
        if path:
            sys.path[:] = map(os.fsdecode, path)
        try:
            __import__(link.execmodel)
        except Exception as error:
            return "execmodel %s: %s in %s" % (link.execmodel, error, sys.executable)
    try:
        for name, value in config.get("env", {}).items():  # UTF-8 whatever the locale says
            os.environb[name.encode()] = value.encode()
        os.nice(config.get("nice", 0))
        if config.get("chdir"):
            path = config["chdir"].encode()
            if not os.path.isdir(path):
                os.mkdir(path)
            os.chdir(path)
    except Exception as error:
        return "%s: %s" % (type(error).__name__, error)


@rare
def run_otherwise(channel, request):
    """Stands for execute()."""
    try:
        if link.green:
            return serve_green(channel, request, start_output().run if link.output else execute)
        run = start_output().run
    except OSError as error:  # the connection was lost before the part came
        return str(error)
    return run(channel, request)


@on_demand("output")
def start_output():
    with guard:
        if type(link.output) is dict:
            if link.green:
                Output.here = staticmethod(green_ident)
            link.output = Output(link.channel_by_id(link.output["channel"]), link.output["streams"])
        return link.output


@on_demand("trace")
def trace_start():
    trace("creating workergateway on %r" % link)


@on_demand("trace")
def trace(text):
    """As execnet traces: GANGWAY_DEBUG and EXECNET_DEBUG. Never raises."""
    try:
        line = "[%d] %s\n" % (getpid(), text)
        if link.debug == 2:
            sys.stderr.write(line)
        else:
            import tempfile

            with open(os.path.join(tempfile.gettempdir(), "execnet-debug-%d" % getpid()), "a") as file:
                file.write(line)
    except Exception:
        pass


def widen(fd):
    """A pipe of 1 MiB moves three times as much as one of 64 KiB, between two CPUs."""
    import fcntl

    try:
        fcntl.fcntl(fd, 1031, BATCH)  # F_SETPIPE_SZ
    except OSError:
        pass  # a socket, or the user has too many pipes


def tell_crashes():
    """A crash leaves the Python stacks on descriptor 2, unless the user has chosen another file."""
    try:
        import faulthandler

        if not faulthandler.is_enabled():
            faulthandler.enable(2)
    except ImportError:
        pass  # some builds of PyPy


def watch_forks(link):
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=link.after_fork)
        return
    fork = os.fork  # 3.6

    def guarded_fork():
        pid = fork()
        if not pid:
            link.after_fork()
        return pid

    os.fork = guarded_fork


def main():
    global link
    sys.path[:] = path  # stage 0 has taken the current directory out
    fd_in, fd_out = take_stdio()
    os.set_blocking(fd_out, False)
    widen(fd_out)
    tell_crashes()
    link = Link(fd_in, fd_out)
    watch_forks(link)
    _signal.signal(2, lambda number, frame: link.on_sigint(frame))
    Tasks(link).serve()
    if link.calls is not None:
        await_callbacks()
    link.flush_at_end()
    leave()
