"""STATUS and STACKS of the portable agent (spec-docs/wire.md, section 7)."""
import os
import struct
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import STACKS, STACKS_REPLY, frame  # noqa: E402
from portable import agent, pytest_generate_tests, python, start, wait_until  # noqa: E402, F401


def full_status(agent):
    agent.send_part("status")
    return agent.status()


def stacks(agent):
    agent.send_part("status")
    agent.write(frame(STACKS, 0, struct.pack("<Q", 9)))
    payload = agent.wait_for(lambda kind, *_: kind == STACKS_REPLY)[2]
    assert struct.unpack_from("<Q", payload)[0] == 9
    return payload[8:].decode()


def test_status_without_its_part_is_short(agent):
    agent.parts = {}
    if not agent.run("import _gangway; channel.send(bool(_gangway.compiled))")[0]:
        assert agent.status() == {"numchannels": 0, "numexecuting": 0, "execmodel": "thread"}


@pytest.mark.core
def test_status_with_any_bytes_in_its_floats(python):
    """Bytes that would be looked at in an item of a task: whoever reads frames cannot ask for a part."""
    with start(python, False) as agent:
        agent.receive(agent.remote_exec("channel.send(1)\nchannel.receive()"))
        agent.send_part("status")
        for _ in range(400):
            assert agent.status()["uptime"] > 0


@pytest.mark.core
@pytest.mark.parametrize("local", [False, True])
def test_status_tells_everything(python, local):
    with start(python, local) as agent:
        first = agent.remote_exec("channel.send(1)\nchannel.receive()")
        agent.receive(first)
        second = agent.remote_exec(
            "import os\n"
            "def f(channel):\n"
            "    try: number = int(os.readlink('/proc/thread-self').rpartition('/')[2])\n"
            "    except OSError: number = None\n"
            "    channel.send(number)\n"
            "    channel.receive()", file="some/file.py", function="f")
        number = agent.receive(second)
        status = full_status(agent)
        tasks = status.pop("tasks")
        assert 0 <= status.pop("uptime") < 60
        assert 2 << 20 < status.pop("memory") < 1 << 30
        assert status == {
            "numchannels": 2, "numexecuting": 2, "execmodel": "thread", "pid": agent.hello["pid"], "agent": agent.hello["agent"],
            "version": agent.hello["version"], "python": agent.hello["python"], "queued": {}, "unresponsive": 0.0}
        assert [(task["channel"], task["source"]) for task in tasks] == [(first, "<remote exec>"), (second, "some/file.py in f")]
        assert 60 > tasks[0]["age"] >= tasks[1]["age"] >= 0
        assert tasks[0]["thread"] == agent.hello["pid"]
        assert tasks[1]["thread"] in (number, 0)
        if agent.hello["implementation"] == "cpython" and not agent.hello["python"].startswith(("3.6", "3.7")):
            assert tasks[1]["thread"] == number


def test_status_names_channels_with_bytes_waiting(python):
    with start(python, window=10000) as agent:
        number = agent.remote_exec("channel.send(0)\nchannel.send(bytes(30000))")
        agent.window = 0
        agent.receive(number)
        agent.send(number, b"x" * 1000)

        def waiting():
            queued = full_status(agent)["queued"]
            assert set(queued) <= {number}
            return queued.get(number, (0, 0))

        wait_until(lambda: min(waiting()))  # STATUS may be handled before the task sends again
        here, there = waiting()
        assert 1000 <= here <= 1500
        assert 20000 <= there <= 30000


def test_status_counts_what_waits_without_a_window(agent):
    number = agent.remote_exec("channel.receive()\nchannel.send(0)\nimport time; time.sleep(100)")
    for _ in range(10):
        agent.send(number, b"x" * 1000)
    agent.receive(number)
    assert 9000 <= full_status(agent)["queued"][number][0] <= 10000


def test_status_is_answered_while_the_tasks_are_busy(agent):
    agent.remote_exec("while True: pass")
    agent.remote_exec("import time; time.sleep(1000)")
    wait_until(lambda: all(task["thread"] for task in full_status(agent)["tasks"]) or agent.hello["python"] < "3.8")


@pytest.mark.core
def test_stacks_of_tasks(agent):
    main = agent.remote_exec("def inner(): channel.receive()\ndef outer(): inner()\nchannel.send(0)\nouter()")
    agent.receive(main)
    other = agent.remote_exec("import time\nchannel.send(0)\ndef sleeper(): time.sleep(1000)\nsleeper()", file="other.py")
    agent.receive(other)
    wait_until(lambda: "in sleeper" in stacks(agent) and "in inner" in stacks(agent))
    blocks = stacks(agent).split("\n\n")
    head, *lines = blocks[0].splitlines()
    assert head == "Thread %d (main thread, task of channel %d):" % (agent.hello["pid"], main)
    assert lines == [
        '  File "<remote exec>", line 4, in <module>', "    outer()",
        '  File "<remote exec>", line 2, in outer', "    def outer(): inner()",
        '  File "<remote exec>", line 1, in inner', "    def inner(): channel.receive()"]
    assert sum("(task of channel %d):" % other in block and "in sleeper" in block for block in blocks) == 1
    assert "_gangway" not in "".join(blocks)


def test_stacks_of_a_main_thread_that_is_stuck_in_python_code(agent):
    number = agent.remote_exec("def spin():\n    while True: pass\nchannel.send(0)\nspin()")
    agent.receive(number)
    wait_until(lambda: "in spin" in stacks(agent))


def test_stacks_of_an_idle_agent(agent):
    agent.run("channel.send(0)")
    text = stacks(agent)
    assert text.startswith("Thread %d (main thread):\n  (waits for work)\n" % agent.hello["pid"])


def test_stacks_name_the_callback_thread(agent):
    number = agent.remote_exec("import time\nchannel.setcallback(lambda item: time.sleep(1000))\nchannel.send(0)\ntime.sleep(1000)")
    agent.receive(number)
    agent.send(number, 0)
    wait_until(lambda: "(callbacks):" in stacks(agent) and "in <lambda>" in stacks(agent))


def test_stacks_have_a_limit(agent):
    number = agent.remote_exec(
        "import sys, time\n"
        "def f(n):\n"
        "    if n: f(n - 1)\n"
        "    else: channel.send(0); time.sleep(1000)\n"
        "f(600)", file="x" * 1000)
    agent.receive(number)
    agent.send_part("status")
    agent.write(frame(STACKS, 0, bytes(8)))
    payload = agent.wait_for(lambda kind, *_: kind == STACKS_REPLY)[2]
    assert 1000 < len(payload) <= 65008
    assert payload.endswith(b"[...]\n")
