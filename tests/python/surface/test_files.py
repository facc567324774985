"""makefile()."""

import execnet
import pytest


def test_modes(gateway):
    channel = gateway.newchannel()
    for mode in ("x", "a", "rw", "rb", ""):
        with pytest.raises(ValueError):
            channel.makefile(mode)
    with pytest.raises(ValueError):
        channel.makefile(mode="", proxyclose=True)


def test_write(any_gateway):
    channel = any_gateway.remote_exec("channel.send([channel.receive() for _ in range(2)])")
    file = channel.makefile()
    file.write("one")
    file.write("two\n")
    file.flush()
    assert file.isatty() is False
    assert repr(file) == "<ChannelFileWrite %d open>" % channel.id or repr(file) == "<ChannelFile %d open>" % channel.id
    assert channel.receive() == ["one", "two\n"]
    file.close()


def test_write_to_a_closed_channel(gateway):
    channel = gateway.newchannel()
    file = channel.makefile("w")
    channel.close()
    assert repr(file).endswith(" closed>")
    with pytest.raises(OSError):
        file.write("x")


@pytest.mark.parametrize("mode", "wr")
@pytest.mark.parametrize("proxyclose", [False, True])
def test_close(gateway, mode, proxyclose):
    channel = gateway.newchannel()
    channel.makefile(mode, proxyclose=proxyclose).close()
    assert channel.isclosed() is proxyclose


def test_read(any_gateway):
    channel = any_gateway.remote_exec("for text in 'abc', 'de', 'f': channel.send(text)")
    file = channel.makefile("r")
    assert file.isatty() is False
    assert [file.read(n) for n in (1, 3, 10, 10)] == ["a", "bcd", "ef", ""]


def test_readline(any_gateway):
    channel = any_gateway.remote_exec("for text in 'one\\ntw', 'o\\n\\nthr', 'ee': channel.send(text)")
    file = channel.makefile("r")
    assert [file.readline() for _ in range(5)] == ["one\n", "two\n", "\n", "three", ""]


@pytest.mark.better("text only")
def test_bytes_are_read_as_bytes(any_gateway):
    file = any_gateway.remote_exec("channel.send(b'ab\\n'); channel.send(b'c')").makefile("r")
    assert (file.read(1), file.readline(), file.readline()) == (b"a", b"b\n", b"c")


def test_end_closes(any_gateway):
    channel = any_gateway.remote_exec("other = channel.receive(); other.send('x'); other.close()")
    other = any_gateway.newchannel()
    channel.send(other)
    file = other.makefile("r", proxyclose=True)
    assert file.read(100) == "x"
    assert other.isclosed()


def test_remote_errors_propagate(any_gateway):
    file = any_gateway.remote_exec("channel.send('x'); 1/0").makefile("r")
    with pytest.raises(execnet.RemoteError):
        file.read(100)


def test_as_stdout_of_the_far_side(any_gateway):
    channel = any_gateway.remote_exec("""
        import sys
        extra = channel.gateway.newchannel()
        channel.send(extra)
        sys.stdout = extra.makefile("w")
        print("hello")
        sys.stdout.flush()
        channel.receive()
    """)
    extra = channel.receive()
    assert extra.receive(10) == "hello"
    assert extra.receive(10) == "\n"
