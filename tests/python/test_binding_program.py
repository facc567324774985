"""gangway._gangway in programs of their own: Ctrl-C, fork, and the end of the interpreter."""
import os
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from binding import PRELUDE, run_program, spec  # noqa: E402, F401

WAITS = {
    "receive": "channel.receive()",
    "receive with a timeout": "channel.receive(60)",
    "waitclose": "channel.waitclose()",
    "iteration": "for item in channel: pass",
    "send": "blocked = group.start(spec + '//window=1024').remote_exec('import time; time.sleep(60)')\n"
            "print('ready', flush=True)\nwhile True: blocked.send(b'x' * 1000)",
    "remote_status": "os.kill(gateway.info()['pid'], signal.SIGSTOP)\ngateway.remote_status()",
    "join": "gateway.join()",
    "stacks": "os.kill(gateway.info()['pid'], signal.SIGSTOP)\ngateway.stacks()",
    "interrupt": "channel.interrupt(60)",
    "terminate": "gateway.remote_exec('import time\\nwhile True:\\n try: time.sleep(60)\\n except KeyboardInterrupt: pass')\n"
                 "time.sleep(0.2)\ngroup.terminate(None)",
    "start": "group.start('popen//python=/bin/sh -c \"exec sleep 60\"')",
}


# AddressSanitizer's allocator may be locked for ever in a child of a process with threads.
not_sanitized = pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer does not support it")


@pytest.mark.parametrize("wait", sorted(WAITS))
def test_ctrl_c_ends_every_wait(wait, spec):
    source = PRELUDE + """
group = _gangway.Group()
gateway = group.start(spec)
channel = gateway.remote_exec(
    "import time\\nwhile True:\\n try: channel.send(1); time.sleep(60)\\n except KeyboardInterrupt: pass")
channel.receive()
print("ready", flush=True)
try:
    %s
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
    os._exit(7)
""" % WAITS[wait].replace("\n", "\n    ")
    process = subprocess.Popen([sys.executable, "-c", source, spec], stdout=subprocess.PIPE, universal_newlines=True)
    try:
        assert process.stdout.readline() == "ready\n"
        if wait == "send":
            assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        end = float(process.stdout.readline())
        assert process.wait(10) == 7
        assert end - begin < 1  # 0.1 and what a busy machine adds
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_signal_handler_that_raises_nothing_does_not_end_a_wait(spec):
    code, out, err = run_program("""
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
group = _gangway.Group()
channel = group.start(spec).remote_exec("import time; time.sleep(0.6); channel.send(5)")
print(channel.receive(), len(seen) >= 3)
signal.setitimer(signal.ITIMER_REAL, 0)
""", spec)
    assert (code, out, err) == (0, "5 True\n", "")


def test_the_interpreter_ends_cleanly_with_live_gateways(spec):
    code, out, err = run_program("""
group = _gangway.Group()
gateways = [group.start(spec) for _ in range(2)]
channels = [gateway.remote_exec("for item in channel: channel.send(item)") for gateway in gateways]
endless = gateways[0].remote_exec("while True: channel.send(1)")
endless.setcallback(lambda item: None, endmarker=None)
waiting = gateways[1].remote_exec("channel.receive()")
def receive():
    try: waiting.receive()
    except EOFError: pass
threads = [threading.Thread(target=receive, daemon=True) for _ in range(3)]
for thread in threads: thread.start()
time.sleep(0.2)
print("end", flush=True)
""", spec)
    assert (code, out, err) == (0, "end\n", "")


@pytest.mark.parametrize("callback", ["time.sleep(30)", "threading.Event().wait()", "list(range(1000))"])
def test_the_interpreter_ends_cleanly_while_callbacks_run(spec, callback):
    code, out, err = run_program("""
group = _gangway.Group()
channel = group.start(spec).remote_exec("channel.receive()\\nwhile True: channel.send(1)")
channel.setcallback(lambda item: %s, endmarker=None)
channel.send(None)  # not before: what has come by then is handed over in this thread
time.sleep(0.3)
print("end", flush=True)
""" % callback, spec)
    assert (code, out, err) == (0, "end\n", "")


def test_daemon_threads_that_use_channels_when_the_interpreter_ends(spec):
    code, out, err = run_program("""
group = _gangway.Group()
gateway = group.start(spec)
def work():
    try:
        channel = gateway.remote_exec("for item in channel: channel.send(item)")
        while True:
            channel.send([1, "text"])
            channel.receive()
    except (EOFError, OSError): pass
for _ in range(4): threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("end", flush=True)
""", spec)
    assert (code, out, err) == (0, "end\n", "")


@not_sanitized
def test_a_forked_child_is_refused_and_the_parent_goes_on(spec):
    code, out, err = run_program("""
group = _gangway.Group()
gateway = group.start(spec)
channel = gateway.remote_exec("for item in channel: channel.send(item)")
callback = gateway.remote_exec("channel.receive()")
callback.setcallback(lambda item: None)
pid = os.fork()
if pid == 0:
    refused = 0
    for call in (lambda: channel.send(1), channel.receive, channel.waitclose, channel.isclosed, gateway.newchannel,
                 lambda: gateway.remote_exec("1"), lambda: gateway.remote_status(1), lambda: gateway.join(1)):
        try: call()
        except OSError: refused += 1
    gateway.exit(); gateway.kill(); repr(channel); repr(gateway)
    assert group.terminate(1) == ([], [])
    del channel, callback, gateway, group
    own = _gangway.Group()  # of the child
    answer = own.start(spec).remote_exec("channel.send(6 * 7)").receive(10)
    sys.exit(0 if (refused, answer) == (8, 42) else 1)
_, status = os.waitpid(pid, 0)
channel.send("still there")
print(os.WEXITSTATUS(status), channel.receive(10), flush=True)
""", spec)
    assert (code, out, err) == (0, "0 still there\n", "")


@not_sanitized
def test_a_child_that_is_forked_in_a_callback_ends(spec):
    code, out, err = run_program("""
group = _gangway.Group()
channel = group.start(spec).remote_exec("channel.send(1)\\nchannel.receive()")
forked, done = [], threading.Event()
def callback(item):
    forked.append(os.fork())
    done.set()
channel.setcallback(callback)
done.wait(10)
_, status = os.waitpid(forked[0], 0)
print(status, flush=True)
""", spec)
    assert (code, out, err) == (0, "0\n", "")


def test_threading_local_lasts_from_callback_to_callback(spec):
    code, out, err = run_program("""
group = _gangway.Group()
local, done = threading.local(), threading.Event()
def callback(item):
    if item is None: return done.set()
    local.sum = getattr(local, "sum", 0) + item
    print(local.sum, threading.current_thread() is threading.main_thread(), flush=True)
channel = group.start(spec).remote_exec("channel.receive()\\nfor i in (1, 2, 3): channel.send(i)")
channel.setcallback(callback, None)
channel.send(None)
done.wait(10)
""", spec)
    assert (code, out, err) == (0, "1 False\n3 False\n6 False\n", "")


def test_a_group_that_is_dropped_ends_its_gateways(spec):
    code, out, err = run_program("""
group = _gangway.Group()
pid = group.start(spec).info()["pid"]
del group
try:
    for _ in range(500):
        os.kill(pid, 0)
        time.sleep(0.01)
except ProcessLookupError: print("gone", flush=True)
""", spec)
    assert (code, out, err) == (0, "gone\n", "")


def test_a_main_thread_that_waits_is_not_woken_without_need(spec):
    code, out, err = run_program("""
def switches():
    with open("/proc/self/task/%d/status" % os.getpid()) as file:
        return int(file.read().rsplit("\\nvoluntary_ctxt_switches:", 1)[1].split()[0])

group = _gangway.Group()
channel = group.start(spec + "//keepalive=off").remote_exec("import time; time.sleep(1.5); channel.send(5)")
before = switches()
print(channel.receive())
print(switches() - before)
""", spec)
    assert (code, err) == (0, "")
    item, woken = out.split()
    assert item == "5" and int(woken) < 10  # ten times a second are 15


def test_a_wakeup_descriptor_of_the_program_stays(spec):
    code, out, err = run_program("""
end, start = os.pipe()
os.set_blocking(start, False)
group = _gangway.Group()
channel = group.start(spec).remote_exec("channel.receive()")
signal.signal(signal.SIGALRM, lambda *_: print("handled", flush=True))

def interrupted(wait):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGALRM)).start()
    threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    try:
        wait()
    except KeyboardInterrupt:
        assert 0.5 < time.monotonic() - begin < 10

interrupted(channel.receive)
assert signal.set_wakeup_fd(start) == -1  # nothing of ours is left
interrupted(channel.receive)
assert os.read(end, 10) == bytes([signal.SIGALRM, signal.SIGINT])
assert signal.set_wakeup_fd(-1) == start

def handler(*_):
    signal.set_wakeup_fd(start)

signal.signal(signal.SIGALRM, handler)  # while ours is there
interrupted(channel.waitclose)
assert signal.set_wakeup_fd(-1) == start
""", spec)
    assert (code, out, err) == (0, "handled\nhandled\n", "")


def test_signals_reach_a_main_thread_that_does_not_lead(spec):
    code, out, err = run_program("""
group = _gangway.Group()
gateway = group.start(spec)
first, second = gateway.remote_exec("channel.receive()"), gateway.remote_exec("channel.receive()")

def lead():
    try:
        first.receive()
    except EOFError:
        print("ended", flush=True)

thread = threading.Thread(target=lead)
thread.start()
time.sleep(0.1)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    second.receive()
except KeyboardInterrupt:
    print("interrupted", flush=True)
gateway.kill()
thread.join()
""", spec)
    assert (code, out, err) == (0, "interrupted\nended\n", "")


def test_a_forked_child_is_interrupted_as_well(spec):
    code, out, err = run_program("""
group = _gangway.Group()
channel = group.start(spec).remote_exec("channel.receive()")
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    channel.receive()
except KeyboardInterrupt:
    pass
pid = os.fork()
if pid == 0:
    own = _gangway.Group()
    channel = own.start(spec).remote_exec("channel.receive()")
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        channel.receive()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    own.terminate(5)
    os._exit(0)
print(os.waitpid(pid, 0)[1])
""", spec)
    assert (code, out, err) == (0, "interrupted\n0\n", "")
