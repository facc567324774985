"""What the native agent adds to task.py, sleep.py and errors.py, in the same namespace: the
module _gangway.

The C++ side (module.cpp) has put in, before this is executed: next_job, push_job,
new_channel, channel_by_id, join, join_callbacks, live_channels, lost_text; and before main() Channel, execmodel,
environment, sys_path, output (and output.py with it) and gateway, which are another agent's in each
fork of a warm server (warm.hpp).
Gateway and main() are the same as in the portable agent (python/agent/).
"""
getpid = os.getpid


def compile(source, file, mode, dont_inherit):  # what task.py calls
    return compile_source(source, file)


class Gateway:
    """What user code sees of the connection: channel.gateway."""

    def __init__(self, name, model):
        self.id = name + "-worker"
        self.execmodel = ExecModel(model)

    def __repr__(self):
        return "<Gateway id=%r %s, %s model, %d active channels>" % (
            self.id, "not-receiving" if lost_text() else "receive-live",
            self.execmodel.backend, live_channels())

    def newchannel(self):
        return new_channel()

    def join(self, timeout=None):
        join(timeout)


reopen_stdio()  # here, for the warm server to do it once


held = []  # the output's channel: an interrupt may come while an Output is made, and another task makes the next one


def run_printing(channel, request):
    """Stands for execute() until the first task comes: by then the output's channel is open."""
    global runner
    try:
        with guard:
            if runner is run_printing:
                if not held:
                    held.extend(map(channel_by_id, output[:1]))  # in one go: an interrupt in between would close it
                runner = Output(held[0], output[1]).run
    except OSError as error:
        return str(error)
    return runner(channel, request)


def main():
    global runner
    for name, value in (environment or {}).items():
        os.environ[os.fsdecode(name.encode())] = os.fsdecode(value.encode())  # UTF-8 whatever the locale says
    if sys_path:
        sys.path[:] = sys_path
    if output:
        runner = run_printing
    Tasks(sys.modules["_gangway"]).serve()
    join_callbacks()
    leave()
