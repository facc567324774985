"""Parts of the portable agent that the controller has and sends (spec-docs/wire.md, section 8)."""
import os
import sys
import zlib

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import NEED, PART, TERMINATE, Ended, frame, part_payload  # noqa: E402
from portable import agent, pytest_generate_tests, python, start  # noqa: E402, F401

ASK = "channel.send(channel.gateway.id)"


def deaf(agent):
    """Like the controller, but it leaves NEED to the test."""
    agent.kept, agent.parts = agent.parts, {}
    return agent


def needs(agent, timeout=None):
    return agent.wait_for(lambda kind, n, _: kind == NEED, timeout)


def send_part(agent, name):
    agent.write(frame(PART, 0, part_payload(name, agent.kept[name])))


@pytest.mark.core
def test_part_is_asked_for_once_and_used(agent):
    deaf(agent)
    send_part(agent, "threads")  # the second task's own need
    number = agent.remote_exec(ASK)
    other = agent.remote_exec(ASK)
    assert needs(agent) == (NEED, 0, b"gateway")
    agent.ping()  # somebody still leads
    send_part(agent, "gateway")
    assert agent.receive(number) == agent.receive(other) == "gw-worker"
    assert not [entry for entry in agent.frames if entry[0] == NEED]


def test_session_without_need_asks_for_nothing(agent):
    deaf(agent)
    assert agent.run("for n in 0, 1, 5000: channel.send([[7] for i in range(n)])\ntry: channel.nothing\nexcept AttributeError as e: channel.send(str(e))")[3] == "nothing"
    assert agent.status()["numchannels"] == 0
    assert not [entry for entry in agent.frames if entry[0] == NEED]


def test_part_that_nobody_asked_for_is_there_when_it_is_used(agent):
    deaf(agent)
    send_part(agent, "gateway")
    send_part(agent, "gateway")
    assert agent.run(ASK) == ["gw-worker"]
    assert not [entry for entry in agent.frames if entry[0] == NEED]


def test_items_arrive_while_a_part_is_awaited(agent):
    deaf(agent)
    number = agent.remote_exec("channel.gateway\nchannel.send(channel.receive())")
    needs(agent)
    agent.send(number, b"x" * 300000)
    agent.ping()
    send_part(agent, "gateway")
    assert agent.receive(number) == b"x" * 300000


def test_interrupted_wait_can_be_repeated(agent):
    deaf(agent)
    number = agent.remote_exec(
        "import _thread, os, time\n"
        "channel.receive()\n"
        "_thread.start_new_thread(lambda: (channel.receive(), time.sleep(0.1), os.kill(os.getpid(), 2), channel.send('killed')), ())\n"
        "try:\n    channel.gateway\n"
        "except KeyboardInterrupt:\n    channel.send(channel.gateway.id)")
    agent.send(number, 0)
    needs(agent)
    agent.send(number, 1)
    assert agent.receive(number) == "killed"
    assert needs(agent) == (NEED, 0, b"interrupt")
    agent.ping()  # reads, and so answers the PING that lets the main thread look around
    send_part(agent, "gateway")
    assert agent.receive(number) == "gw-worker"
    assert not [entry for entry in agent.frames if entry == (NEED, 0, b"gateway")]


@pytest.mark.parametrize("end", ["terminate", "half_close"])
def test_lost_connection_ends_the_wait(python, end, tmp_path):
    result = tmp_path / "result"
    with start(python) as agent:
        deaf(agent)
        agent.remote_exec("try: channel.gateway\nexcept OSError as e:\n    with open(%r, 'w') as file: file.write(str(e))" % str(result))
        needs(agent)
        if end == "terminate":
            agent.write(frame(TERMINATE))
        else:
            agent.half_close()
        assert agent.finish() == 0
    assert "no part 'gateway'" in result.read_text()


@pytest.mark.parametrize("payload", [
    b"", b"\7gateway", b"\7gateway" + zlib.compress(b"1 +"), b"\7gateway" + zlib.compress(b"raise ValueError"),
    b"\377gateway", b"\2\xff\xff" + zlib.compress(b"")])
def test_part_that_is_damaged_ends_the_connection(agent, payload):
    agent.write(frame(PART, 0, payload))
    assert agent.finish() == 0
    assert b"a PART that cannot be used" in agent.stderr


def test_part_on_a_channel_ends_the_connection(agent):
    number = agent.remote_exec("channel.receive()")
    agent.write(frame(PART, number, b"\1x"))
    assert agent.finish() == 0
    assert b"protocol error" in agent.stderr


@pytest.mark.core
def test_local_bundle_brings_its_parts_for_the_interpreter_that_packed_it(python):
    with start(python, local=True) as agent:
        deaf(agent)
        number = agent.remote_exec(ASK)
        kind, n, payload = agent.next_frame()
        if kind == NEED:  # another interpreter: it takes the sources
            assert os.path.realpath(python) != os.path.realpath("/usr/bin/python3")
            send_part(agent, payload.decode())
        else:
            agent.frames.append((kind, n, payload))
        assert agent.receive(number) == "gw-worker"


def test_forked_child_does_not_ask(agent):
    number = agent.remote_exec(
        "import os\n"
        "r, w = os.pipe()\n"
        "if not os.fork():\n"
        "    try:\n        channel.gateway\n"
        "    except OSError as e:\n        os.write(w, str(e).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\nchannel.send(os.read(r, 1000))")
    assert b"belongs to process" in agent.receive(number)
    with pytest.raises(Ended):
        agent.receive(number)


def test_every_part_compiles_everywhere(agent):
    """Also what no test here reaches: the sources of all parts, one function after the other."""
    deaf(agent)
    for name in agent.kept:
        send_part(agent, name)
    count = agent.run(
        "import _gangway\n"
        "for part in _gangway.parts[3:]:\n"
        "    name, _, source = part.partition(b':')\n"
        "    compile(source, '_gangway', 'exec')\n"
        "channel.send(len(_gangway.parts))")
    assert count[0] > 20
