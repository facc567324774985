"""Controllers on gevent and eventlet: while one green thread waits in the package, others go on.

Each test is a program of its own, since a hub lasts as long as its process.
"""
import signal
import subprocess
import sys
import time

import pytest

LONG = 60  # s
PATCHES = {"plain": "", "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
           "eventlet": "import eventlet; eventlet.monkey_patch()"}

PRELUDE = """
import os, signal, sys, time
import gangway

gangway.set_execmodel(MODEL)
group = gangway.Group(execmodel=MODEL)
model = group.execmodel
sleep = model.sleep
ticks = []

def tick():
    while True:
        ticks.append(time.monotonic())
        sleep(0.01)

model.start(tick)

class going_on:
    "The others go on in this block."
    def __enter__(self):
        self.begin = len(ticks)
    def __exit__(self, *exception):
        assert len(ticks) - self.begin >= 2, "others stood still"

def stop():
    "The agent stands still, until somebody sends SIGCONT."
    os.kill(pid, signal.SIGSTOP)
    while open("/proc/%d/stat" % pid).read().rsplit(")")[-1].split()[0] != "T":
        sleep(0.001)

def end():
    group.terminate(5)
    print("end", flush=True)
"""


@pytest.fixture(params=["gevent", "eventlet"])
def model(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(params=["plain", "patched"])
def patch(request, model):
    return PATCHES["plain" if request.param == "plain" else model]


def command(model, source, patch=""):
    return [sys.executable, "-c", "%s\nMODEL = %r\n%s\n%s" % (patch, model, PRELUDE, source)]


def run(model, source, patch=""):
    """What the program prints before its end."""
    done = subprocess.run(command(model, source + "\nend()\n", patch), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=LONG)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("end\n"), done
    return done.stdout[:-len("end\n")]


def test_the_model_is_seen(model):
    assert run(model, """
from gangway.execmodel import ExecModel, get_execmodel
assert isinstance(model, ExecModel) and model.backend == MODEL and repr(model) == "<ExecModel %r>" % MODEL
assert get_execmodel(MODEL).backend == MODEL and get_execmodel(model) is model
assert group.remote_execmodel.backend == MODEL
gateway = group.makegateway()
assert gateway.execmodel is model and gateway.spec.execmodel == MODEL
assert MODEL + " model" in repr(gateway)
assert gateway.remote_status().execmodel == MODEL
channel = gateway.newchannel()
assert isinstance(channel, gangway.Channel) and repr(channel) == "<Channel id=%d open>" % channel.id
assert gangway.default_group.execmodel.backend == MODEL
""") == ""


def test_the_primitives_are_the_librarys(model):
    assert run(model, """
queue, results = model.queue.Queue(), []
lock, event = model.Lock(), model.Event()
with lock, lock, model.RLock():
    pass

def work(word):
    results.append((word, queue.get(), model.get_ident()))
    event.set()

model.start(work, ("x",))
with going_on():
    sleep(0.1)
queue.put(1)
event.wait()
assert results[0][:2] == ("x", 1) and results[0][2] != model.get_ident()
try:
    queue.get(block=False)
    assert False
except model.queue.Empty:
    pass
assert model.socket.socket and model.subprocess.Popen
assert MODEL in model.socket.__name__ and MODEL in model.subprocess.__name__
""") == ""


WAITS = {
    "receive": "assert channel(SLOW + 'channel.send(1)').receive() == 1",
    "receive with a timeout": """
try:
    channel('channel.receive()').receive(0.3)
    assert False
except gangway.TimeoutError as error:
    assert str(error) == 'no item after 0.3 seconds'""",
    "iteration": "assert list(channel(SLOW + 'channel.send(1); channel.send(2)')) == [1, 2]",
    "next": "assert channel(SLOW + 'channel.send(1)').next() == 1",
    "waitclose": "channel(SLOW).waitclose()",
    "waitclose with a timeout": """
try:
    channel('channel.receive()').waitclose(0.3)
    assert False
except gangway.TimeoutError as error:
    assert str(error) == 'not closed after 0.3 seconds'""",
    "an error": """
try:
    channel(SLOW + '1/0').receive()
    assert False
except gangway.RemoteError as error:
    assert 'ZeroDivisionError' in error.formatted""",
    "send": """
one = channel('import time; time.sleep(0.5)\\nfor item in channel: pass')
for _ in range(10): one.send(bytes(5000))""",
    "a large send": """
one = channel('channel.send(len(channel.receive()))')
sleep(0.3)
for _ in range(3):
    one = channel(SLOW + 'channel.send(len(channel.receive()))')
    one.send(bytes(50_000_000))
    assert one.receive() == 50_000_000""",
    "interrupt": """
one = channel('''
import time
def work():
    while True:
        time.sleep(0.01)
try:
    channel.send(1)
    work()
except KeyboardInterrupt:
    time.sleep(0.3)
''')
one.receive()
assert one.interrupt(10) is True""",
    "makegateway": "group.makegateway(\"popen//python=sh -c 'sleep 0.3; exec %s \\\"$@\\\"' sh\" % sys.executable)",
    "makegateways as a tree": """
tree = group.makegateways([SLOW_START] * 2, fanout=1)
assert [one.spec.via for one in tree] == [None, tree[0].id]
assert [one.remote_exec("channel.send(1)").receive() for one in tree] == [1, 1]""",
    "makegateways that fails in part": """
one, error = group.makegateways([SLOW_START, "popen//python=/nowhere/python3"], return_exceptions=True)
assert isinstance(error, FileNotFoundError) and one in group""",
    "makegateway that fails": """
try:
    group.makegateway("popen//connect_timeout=300ms//python=sh -c 'sleep 60'")
    assert False
except OSError as error:
    assert 'did not answer within 300 ms' in str(error)""",
    "remote_status": """
stop()
try:
    gateway.remote_status(0.3)
    assert False
except gangway.TimeoutError:
    os.kill(pid, signal.SIGCONT)
assert gateway.remote_status(20).numexecuting == 0""",
    "stacks": """
stop()
model.start(lambda: (sleep(0.3), os.kill(pid, signal.SIGCONT)))
assert 'thread' in gateway.stacks(20).lower()""",
    "many channels": """
many = gangway.MultiChannel([channel(SLOW + 'channel.send(%d)' % i) for i in range(5)])
assert many.receive_each() == [0, 1, 2, 3, 4]
many.waitclose()""",
    "a file": "assert channel(SLOW + 'channel.send(chr(65))').makefile('r').read(1) == 'A'",
    "terminate": """
other = gangway.Group(execmodel=MODEL)
other.makegateway().remote_exec('import time\\nwhile True:\\n  try: time.sleep(60)\\n  except KeyboardInterrupt: pass')
sleep(0.2)
other.terminate(0.5)""",
    "the death of the gateway": """
one = channel('channel.receive()')
model.start(lambda: (sleep(0.2), gateway.kill()))
try:
    one.receive()
    assert False
except EOFError:
    pass
assert gateway.join(20)""",
}


def test_others_go_on_during_every_wait(model, patch):
    blocks = ["""
try:
    with going_on():
%s
except BaseException as error:
    traceback.print_exc()
    print("failed:", %r, flush=True)
""" % ("\n".join("        " + line for line in source.splitlines()), wait) for wait, source in WAITS.items()]
    assert run(model, """
import traceback
SLOW = "import time; time.sleep(0.2)\\n"
SLOW_START = "popen//execmodel=thread//python=sh -c 'sleep 0.3; exec %s \\"$@\\"' sh" % sys.executable
gateway = group.makegateway("popen//window=8000")
pid = gateway._rinfo().pid
channel = gateway.remote_exec
""" + "".join(blocks), patch) == ""


def test_two_green_threads_receive_in_turns(model):
    assert run(model, """
gateways = [group.makegateway() for _ in range(2)]
order, left = [], model.Event()

def work(gateway):
    channel = gateway.remote_exec("for item in channel: channel.send(item)")
    for i in range(200):
        channel.send(i)
        assert channel.receive() == i
        order.append(gateway.id)
    if len(order) == 400:
        left.set()

for gateway in gateways:
    model.start(work, (gateway,))
with going_on():
    left.wait()
    sleep(0.1)
# Neither waits until the other one is through.
assert "gw1" in order[:300] and "gw0" in order[:300], order
""") == ""


def test_callbacks_run_in_green_threads_of_the_hub(model, patch):
    assert run(model, """
import threading
gateway = group.makegateway()
channel = gateway.remote_exec("for i in range(200): channel.send(i)")
got, over, busy = [], model.Event(), []

def callback(item):
    assert not busy, "two at a time"
    busy.append(item)
    sleep(0)  # others may run, other callbacks may not
    got.append(item)
    busy.clear()
    if item is None:
        over.set()

channel.setcallback(callback, endmarker=None)
over.wait()
assert got == list(range(200)) + [None]
channel.waitclose()

queue = gangway.MultiChannel([gateway.remote_exec("channel.send(1)") for _ in range(3)]).make_receive_queue(endmarker=9)
assert sorted(queue.get()[1] for _ in range(6)) == [1, 1, 1, 9, 9, 9]

slow = gateway.remote_exec("channel.receive(); channel.send(1)")
slow.setcallback(lambda item: sleep(0.3))
slow.send(None)
with going_on():
    slow.waitclose()
""", patch) == ""


def test_errors_in_callbacks_close_the_channel(model):
    assert run(model, """
gateway = group.makegateway()
channel = gateway.remote_exec("channel.receive(); channel.send(1); channel.receive()")
channel.setcallback(lambda item: 1 / 0)
channel.send(None)
try:
    channel.waitclose(20)
    assert False
except gangway.RemoteError as error:
    assert "ZeroDivisionError" in error.formatted
channel = gateway.remote_exec("channel.send(1); channel.receive()")
channel.receive()
channel.send(1)

queued = gateway.remote_exec("channel.send(1)")
queued.waitclose()
try:
    queued.setcallback(lambda item: 1 / 0)
    assert False
except ZeroDivisionError:
    pass

own = gateway.remote_exec("channel.send(1)")
def wait_for_itself(item):
    try:
        own.waitclose()
    except OSError as error:
        print("own callback" in str(error))
own.setcallback(wait_for_itself)
own.waitclose(20)
""") == "True\n"


def test_a_worker_pool_has_green_threads(model):
    assert run(model, """
from gangway.safe_terminate import safe_terminate
from gangway.worker_pool import WorkerPool
pool = WorkerPool(MODEL, hasprimary=True)
reply = pool.spawn(lambda: (sleep(0.2), 5)[1])
with going_on():
    assert reply.running and reply.get() == 5
for wait in (pool.spawn(sleep, 0.5).get, lambda timeout: pool.waitall(timeout) or 1 / 0):
    try:
        wait(timeout=0.05)
        assert False
    except (OSError, ZeroDivisionError):
        pass
assert pool.waitall(20) and pool.active_count() == 0
model.start(lambda: (sleep(0.2), pool.spawn(model.get_ident), pool.trigger_shutdown()))
with going_on():
    pool.integrate_as_primary_thread()
killed = []
with going_on():
    safe_terminate(model, 0.2, [(lambda: sleep(5), lambda: killed.append(1)), (lambda: None, lambda: 1 / 0)])
assert killed == [1]
""") == ""


def test_output_reaches_the_hub(model):
    assert run(model, """
gateway = group.makegateway("popen//stdout=callback//execmodel=thread//python=" + sys.executable)
lines = model.queue.Queue()
gateway.set_output(lambda channel, stream, text: (sleep(0), lines.put((stream, text))))
channel = gateway.remote_exec("print('hello')")
assert lines.get() == ("stdout", "hello\\n")
channel.waitclose()
gateway.set_output(None)
""") == ""


def test_a_killed_green_thread_loses_no_item(model):
    assert run(model, """
gateway = group.makegateway()
channel = gateway.remote_exec("channel.receive(); channel.send('item')")
ended = model.Event()

def wait():
    try:
        channel.receive()
    finally:
        ended.set()

if MODEL == "gevent":
    import gevent
    thread = gevent.spawn(wait)
else:
    import eventlet
    thread = eventlet.spawn(wait)
sleep(0.05)
thread.kill()
ended.wait()
channel.send(None)
assert channel.receive(20) == 'item'
""") == ""


def test_a_killed_green_thread_leaves_no_gateways(model):
    assert run(model, """
def children():
    "Those that any thread has started; not all kernels list them."
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = open("/proc/%s/stat" % pid, "rb").read().rpartition(b")")[2].split()[1]
        except OSError:
            continue  # it has ended
        if int(parent) == os.getpid():
            found.append(pid)
    return found

started = model.Event()
def start():
    started.set()
    group.makegateways(["popen//execmodel=thread//python=sh -c 'sleep 0.3; exec %s \\"$@\\"' sh" % sys.executable], fanout=1)

if MODEL == "gevent":
    import gevent
    thread = gevent.spawn(start)
else:
    import eventlet
    thread = eventlet.spawn(start)
started.wait()
deadline = time.monotonic() + 20
while not children():  # until then there is nothing to be left
    assert time.monotonic() < deadline
    sleep(0.01)
thread.kill()
assert len(group) == 0
deadline = time.monotonic() + 20
while children():
    assert time.monotonic() < deadline, "something is left"
    sleep(0.01)
""") == ""


def test_popen_behind_a_hop_is_the_hops_own_interpreter(model, tmp_path):
    (tmp_path / "python").symlink_to(sys.executable)
    assert run(model, """
specs = ["popen//execmodel=thread//python=%s", "popen"]
hop, behind = group.makegateways(specs, fanout=1)
assert behind.spec.via == hop.id and behind.remote_status().execmodel == MODEL
for gateway in (behind, group.makegateway("popen//via=" + hop.id)):
    print(gateway.remote_exec("import sys; channel.send(sys.executable)").receive())
""" % (tmp_path / "python")) == "%s\n" % (tmp_path / "python") * 2


def test_popen_is_the_controllers_interpreter_and_path(model):
    assert run(model, """
sys.path.append("/of/the/controller")
gateway = group.makegateway()
channel = gateway.remote_exec("import sys; channel.send((channel.id, sys.executable, sys.path))")
number, executable, path = channel.receive()
assert (number, executable) == (1, sys.executable)
assert path[-1] == "/of/the/controller" and path == [""] * ("" not in sys.path) + sys.path, path
""") == ""


def test_threads_have_hubs_of_their_own(model):
    assert run(model, """
import threading
gateway = group.makegateway()
results = []

def work():
    channel = gateway.remote_exec("import time; time.sleep(0.2); channel.send(1)")
    results.append(channel.receive())

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
channel = gateway.remote_exec("import time; time.sleep(0.2); channel.send(1)")
with going_on():
    channel.receive()
for thread in threads: thread.join()
assert results == [1, 1, 1]
""") == ""


def test_a_forked_child_has_gateways_of_its_own(model):
    assert run(model, """
gateway = group.makegateway()
channel = gateway.remote_exec("for item in channel: channel.send(item)")
channel.send(1); assert channel.receive() == 1
pid = os.fork()
if pid == 0:
    try:
        channel.receive()
        os._exit(1)
    except OSError as error:
        assert "belongs to another process" in str(error)
    own = gangway.Group(execmodel=MODEL)
    assert own.makegateway().remote_exec("channel.send(2)").receive() == 2
    own.terminate(5)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
channel.send(3); assert channel.receive() == 3
""") == ""


@pytest.mark.parametrize("wait", ["receive", "send", "terminate", "makegateway"])
def test_ctrl_c_ends(model, wait):
    source = """
gateway = group.makegateway("popen//window=8000")
channel = gateway.remote_exec(
    "import time\\nwhile True:\\n try: channel.send(1); time.sleep(60)\\n except KeyboardInterrupt: pass")
channel.receive()
WAITS = {
    "receive": channel.receive,
    "send": lambda: [channel.send(bytes(5000)) for _ in range(10)],
    "terminate": group.terminate,
    "makegateway": lambda: group.makegateway("popen//python=sh -c 'sleep 60'"),
}
print("ready", flush=True)
try:
    WAITS[%r]()
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
    os._exit(7)
""" % wait
    process = subprocess.Popen(command(model, source), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) - begin < 1  # 0.2, and what a busy machine adds
        assert process.wait(10) == 7
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_the_interpreter_ends_cleanly(model, patch):
    done = subprocess.run(command(model, """
gateway = group.makegateway()
channel = gateway.remote_exec("channel.receive()")
told = []
channel.setcallback(print, endmarker="told of the end")
other = gateway.remote_exec("channel.receive()")
def wait():
    try:
        other.receive()
    except EOFError:
        pass
model.start(wait)
sleep(0.1)
""", patch), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LONG)
    assert (done.returncode, done.stderr) == (0, ""), done


def test_a_missing_library_is_said():
    done = subprocess.run([sys.executable, "-c", """
import sys
sys.modules["gevent"] = None
import gangway
try:
    gangway.set_execmodel("gevent")
except ImportError as error:
    print(error)
print(gangway.default_group.execmodel)
gangway.set_execmodel("thread", "gevent")
"""], stdout=subprocess.PIPE, text=True, timeout=LONG)
    text, model = done.stdout.splitlines()
    assert "execmodel 'gevent'" in text and "on the far side only" in text and model == "<ExecModel 'thread'>"


def test_not_more_start_at_once_than_are_good_for_them():
    from gangway import _gangway, green

    starting, most = set(), []

    class Core:
        def start_ready(self): return lambda: starting.remove(self)
        def connect_timeout(self): return 1

    class CoreGroup:
        def start_launch(self, *args):
            def launch():
                core = Core()
                starting.add(core)
                most.append(len(starting))
                return core
            return launch

    class Port:
        def completed(self, operation, timeout=None): return operation()

    count = 2 * _gangway.PARALLEL_STARTS + 3
    gateways = green.GreenGroup(CoreGroup(), Port).start_all([("popen", None, None)] * count)
    assert len(gateways) == count and not starting
    assert max(most) == _gangway.PARALLEL_STARTS
