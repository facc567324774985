"""The execution models gevent and eventlet on the portable agent: tasks in green threads."""
import os
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import CLOSE, INTERRUPT, Ended, RemoteError, frame  # noqa: E402
from portable import FULL, start  # noqa: E402

PATCHES = {"plain": "", "patched": {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()"}}


def missing_in(python, model):
    return subprocess.run([python, "-c", "import " + model], stderr=subprocess.DEVNULL).returncode != 0


@pytest.fixture(params=["gevent", "eventlet"])
def model(request):
    if missing_in(FULL[0], request.param):
        pytest.skip("no %s in %s" % (request.param, FULL[0]))
    return request.param


@pytest.fixture(params=["plain", "patched"])
def agent(request, model):
    with start(FULL[0], hello={"execmodel": model}) as agent:
        if request.param == "patched":
            agent.run(PATCHES["patched"][model])
        yield agent


def sleep_of(model):
    return "import %s; sleep = %s.sleep\n" % (model, model)


@pytest.mark.parametrize("model", ["gevent", "eventlet"])
@pytest.mark.parametrize("python", FULL)
def test_a_missing_library_is_said_in_hello(python, model):
    if not missing_in(python, model):
        pytest.skip("%s has it" % python)
    with start(python, hello={"execmodel": model}) as agent:
        assert agent.hello["error"].startswith("execmodel %s: No module named '%s' in /" % (model, model))
        assert agent.finish() == 1


def test_tasks_share_the_main_thread(agent, model):
    source = """
import _thread, sys
current = channel.gateway.execmodel.get_ident()
channel.send((_thread.get_ident() if False else current, channel.gateway.execmodel.backend))
channel.receive()
"""
    tasks = [agent.remote_exec(source) for _ in range(20)]
    idents = set()
    for task in tasks:
        ident, backend = agent.receive(task)
        assert backend == model
        idents.add(ident)
    assert len(idents) == 20
    assert agent.status()["numexecuting"] == 20
    with open("/proc/%d/status" % agent.hello["pid"]) as file:
        threads = int(file.read().partition("Threads:")[2].split()[0])
    assert threads < 10
    for task in tasks:
        agent.send(task, 0)
        agent.waitclose(task)
    assert agent.terminate() == 0
    assert agent.stderr == b""


def test_a_receive_lets_others_run(agent):
    waiting = agent.remote_exec("channel.send(channel.receive() + 1)")
    assert agent.run("channel.send(1)") == [1]
    agent.send(waiting, 41)
    assert agent.receive(waiting) == 42
    echo = agent.remote_exec("for item in channel: channel.send(item)")
    for item in (1, "text", [1, 2], bytes(300000)):
        agent.send(echo, item)
        assert agent.receive(echo) == item


def test_a_receive_with_a_timeout(agent, model):
    begin = time.monotonic()
    task = agent.remote_exec("""
try:
    channel.receive(timeout=0.2)
except channel.TimeoutError:
    channel.send("late")
""")
    assert agent.run("channel.send('meanwhile')") == ["meanwhile"]
    assert agent.receive(task) == "late"
    assert 0.2 <= time.monotonic() - begin < 5


def test_a_send_without_credit_lets_others_run(model):
    with start(FULL[0], hello={"execmodel": model}, window=4096) as agent:
        flood = agent.remote_exec("for i in range(200): channel.send(bytes(1000))")
        agent.wait_for(lambda kind, number, payload: number == flood)
        assert agent.run("channel.send(1)") == [1]


def test_a_transport_that_is_full_lets_others_run(agent):
    flood = agent.remote_exec("for i in range(100): channel.send(bytes(200000))")
    ticks = agent.remote_exec("""
import time
sleep = channel.gateway.execmodel.sleep
last, longest = time.monotonic(), 0
for i in range(50):
    sleep(0.01)
    now = time.monotonic()
    longest = max(longest, now - last)
    last = now
channel.send(longest)
""")
    time.sleep(1)
    for _ in range(100):
        assert agent.receive(flood) == bytes(200000)
    assert agent.receive(ticks) < 0.8


def test_sleeping_tasks_run_at_the_same_time(agent, model):
    begin = time.monotonic()
    tasks = [agent.remote_exec(sleep_of(model) + "sleep(0.4); channel.send(1)") for _ in range(10)]
    for task in tasks:
        assert agent.receive(task) == 1
    assert time.monotonic() - begin < 3


def test_errors_and_ends_are_those_of_other_models(agent):
    with pytest.raises(RemoteError, match="ZeroDivisionError"):
        agent.run("1 / 0")
    with pytest.raises(RemoteError, match="SystemExit"):
        agent.run("raise SystemExit(3)")
    task = agent.remote_exec("for item in channel: pass\nchannel2.send(1)")
    agent.write(frame(CLOSE, task))
    assert agent.run("channel.send(1)") == [1]


def test_the_execmodel_object(agent, model):
    assert agent.run("""
model = channel.gateway.execmodel
channel.send(repr(model))
queue = model.queue.Queue()
event = model.Event()
def feed(item):
    model.sleep(0.01)
    queue.put(item)
    event.set()
model.start(feed, (5,))
channel.send(queue.get())
event.wait()
with model.RLock(), model.Lock():
    pass
channel.send([model.socket.__name__, model.subprocess.__name__])
process = model.subprocess.Popen(["echo", "child"], stdout=model.subprocess.PIPE)
channel.send(process.communicate()[0])
""") == ["<ExecModel %r>" % model, 5,
         [{"gevent": "gevent.", "eventlet": "eventlet.green."}[model] + name for name in ("socket", "subprocess")],
         b"child\n"]


def test_real_threads_may_wait_too(agent, model):
    original = {"gevent": "gevent.monkey.get_original('_thread', 'start_new_thread')",
                "eventlet": "eventlet.patcher.original('_thread').start_new_thread"}[model]
    task = agent.remote_exec("""
import %s
%s
other = channel.gateway.newchannel()
channel.send(other)
def run():
    for item in other:
        other.send(item + 1)
%s(run, ())
channel.receive()
""" % (model, "import gevent.monkey" if model == "gevent" else "import eventlet.patcher", original))
    number = agent.receive(task).number
    for item in range(50):
        agent.send(number, item)
        assert agent.receive(number) == item + 1
        assert agent.run("channel.send(1)") == [1]
    agent.send(task, 0)
    agent.waitclose(task)


@pytest.mark.parametrize("source", ["channel.receive()", "sleep(60)", "while True: pass", "while True: sleep(0)"])
def test_interrupt(agent, model, source):
    other = agent.remote_exec("channel.send(channel.receive())")
    task = agent.remote_exec(sleep_of(model) + "channel.send(1)\n" + source)
    assert agent.receive(task) == 1
    agent.write(frame(INTERRUPT, task))
    with pytest.raises(RemoteError, match="^keyboard-interrupted$"):
        agent.receive(task)
    agent.send(other, 2)
    assert agent.receive(other) == 2


@pytest.mark.parametrize("source", ["channel.receive()", "sleep(60)", "while True: sleep(0)", "while True: pass"])
def test_terminate_is_bounded(model, source):
    with start(FULL[0], hello={"execmodel": model}, impatient=True) as agent:
        task = agent.remote_exec(sleep_of(model) + "channel.send(1)\n" + source)
        assert agent.receive(task) == 1
        begin = time.monotonic()
        agent.terminate()
        assert time.monotonic() - begin < 5
        assert b"Traceback" not in agent.stderr


def test_the_end_of_the_stream_ends_an_idle_agent(agent):
    assert agent.run("channel.send(1)") == [1]
    agent.half_close()
    assert agent.finish() == 0


def test_output_of_green_tasks(model):
    from test_output import STDOUT, printed, start_with_output  # noqa: F401
    from agent_controller import OPEN

    with start(FULL[0], hello={"execmodel": model, "output": {"channel": 1, "streams": ["stdout"]}}) as agent:
        agent.write(frame(OPEN, 1))
        agent.next_number = 3
        tasks = [agent.remote_exec(sleep_of(model) + "for i in range(20):\n print(%d, end=' '); sleep(0); print(i)" % n)
                 for n in range(3)]
        for task in tasks:
            agent.waitclose(task)
        found = printed(agent)
        for n, task in enumerate(tasks):
            assert found[task, STDOUT].decode().splitlines() == ["%d %d" % (n, i) for i in range(20)]
