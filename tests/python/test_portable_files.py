"""Channel.makefile() on the portable agent."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import CLOSE_ERROR, LAST_MESSAGE, RemoteError, frame  # noqa: E402
from portable import agent, pytest_generate_tests, python, start  # noqa: E402, F401


@pytest.mark.core
def test_file_for_writing_sends_an_item_per_write(agent):
    assert agent.run(
        "import sys\n"
        "f = channel.makefile('w')\n"
        "f.write('abc'); f.flush(); channel.send(f.isatty()); channel.send(repr(f))\n"
        "sys.stdout, old = f, sys.stdout\n"
        "print('x', 1)\n"
        "sys.stdout = old\n"
        "f.close()\n"
        "channel.send(channel.isclosed())") == [
            "abc", False, "<ChannelFile 1 open>", "x", " ", "1", "\n", False]


@pytest.mark.core
def test_file_for_reading_joins_items(agent):
    number = agent.remote_exec(
        "f = channel.makefile('r')\n"
        "channel.send([f.read(3), f.read(0), f.readline(), f.readline(), f.read(2)])\n"
        "out = channel.gateway.newchannel()\n"
        "channel.send(out)\n"
        "out.send([f.readline(), f.readline(), f.read(5), f.read(-1), f.read(0)])")
    for text in ["ab", "cdef", "\ngh", "i\n", "xyz", "1", "2\nla", "st"]:
        agent.send(number, text)
    assert agent.receive(number) == ["abc", "", "def\n", "ghi\n", "xy"]
    out = agent.receive(number).number
    agent.write(frame(LAST_MESSAGE, number))  # LAST_MESSAGE
    assert agent.receive(out) == ["z12\n", "last", "", "", ""]


def test_file_for_reading_gives_bytes_for_bytes(agent):
    number = agent.remote_exec(
        "f = channel.makefile('r')\n"
        "channel.send([f.read(3), f.readline(), f.read(0)])\n"
        "out = channel.gateway.newchannel()\n"
        "channel.send(out)\n"
        "out.send([f.read(10), f.readline()])")
    for data in [b"ab", b"cd\n", b"rest"]:
        agent.send(number, data)
    assert agent.receive(number) == [b"abc", b"d\n", b""]
    out = agent.receive(number).number
    agent.write(frame(LAST_MESSAGE, number))
    assert agent.receive(out) == [b"rest", b""]


def test_end_of_a_file_with_proxyclose_closes_the_channel(agent):
    number = agent.remote_exec(
        "c = channel.gateway.newchannel(); d = channel.gateway.newchannel()\n"
        "channel.send([c, d])\n"
        "f = c.makefile('r', proxyclose=True); g = d.makefile('r')\n"
        "channel.send([f.read(9), g.read(9), c.isclosed(), d.isclosed(), repr(f), repr(g)])")
    c, d = (reference.number for reference in agent.receive(number))
    for other in c, d:
        agent.send(other, "x")
        agent.write(frame(LAST_MESSAGE, other))
    assert agent.receive(number) == ["x", "x", True, False, "<ChannelFile %d closed>" % c, "<ChannelFile %d open>" % d]


def test_file_with_proxyclose_cannot_close_the_task(agent):
    with pytest.raises(RemoteError, match="explicit"):
        agent.receive(agent.remote_exec("channel.makefile(proxyclose=True).close()"))


def test_file_passes_errors_on_and_keeps_what_it_has(agent):
    number = agent.remote_exec(
        "c = channel.gateway.newchannel()\n"
        "channel.send(c)\n"
        "f = c.makefile('r')\n"
        "try: f.read(5)\n"
        "except c.RemoteError as e: channel.send(str(e))\n"
        "channel.send(f.read(5))\n"
        "try: c.makefile('w').write('x')\n"
        "except OSError as e: channel.send(str(e))")
    c = agent.receive(number).number
    agent.send(c, "abc")
    agent.write(frame(CLOSE_ERROR, c, b"broken"))
    assert [agent.receive(number) for _ in range(2)] == ["broken", "abc"]
    assert "cannot send" in agent.receive(number)


@pytest.mark.parametrize("items, text", [([1], "not int"), (["a", b"b"], "bytes after str")])
def test_file_reads_text_or_bytes_only(agent, items, text):
    number = agent.remote_exec("channel.makefile('r').read(9)")
    for item in items:
        agent.send(number, item)
    with pytest.raises(RemoteError, match=text):
        agent.receive(number)


@pytest.mark.parametrize("mode", ["rw", "a", "", None])
def test_file_has_one_of_two_modes(agent, mode):
    with pytest.raises(RemoteError, match="ValueError: mode"):
        agent.receive(agent.remote_exec("channel.makefile(%r)" % (mode,)))
