"""remote_exec, and where tasks run."""

import sys
import threading
import types

import execnet
import pytest


def test_text_is_dedented(any_gateway):
    channel = any_gateway.remote_exec("""
        if 1:
            channel.send(__name__)
    """)
    assert channel.receive() == "__channelexec__"


def test_anything_else_is_its_text(gateway):
    class Source:
        def __str__(self):
            return "channel.send(3)"

    assert gateway.remote_exec(Source()).receive() == 3


def test_text_tracebacks(any_gateway):
    channel = any_gateway.remote_exec("\n\nraise KeyError('x')")
    with pytest.raises(execnet.RemoteError) as info:
        channel.receive()
    text = str(info.value)
    assert text.startswith("Traceback (most recent call last):")
    assert '<remote exec>", line 3' in text
    assert text.rstrip().endswith("KeyError: 'x'")


@pytest.mark.better("no such line")
def test_syntax_errors_begin_like_tracebacks(any_gateway):
    with pytest.raises(execnet.RemoteError) as info:
        any_gateway.remote_exec("x = = 3").waitclose()
    assert str(info.value).startswith("Traceback (most recent call last):")
    assert "SyntaxError" in str(info.value)


def test_namespaces_are_fresh(any_gateway):
    any_gateway.remote_exec("x = 3").waitclose()
    assert any_gateway.remote_exec("channel.send(sorted(n for n in globals() if n != '__builtins__'))"
                                   ).receive() == ["__name__", "channel"]


def test_normal_ends_close(any_gateway):
    for source in ("", "raise EOFError", "channel.gateway.newchannel().receive(-1) if 0 else None"):
        channel = any_gateway.remote_exec(source)
        channel.waitclose(10)
        assert channel.isclosed()


@pytest.mark.parametrize("source, text", [
    ("raise SystemExit(3)", "SystemExit: 3"), ("import sys; sys.exit()", "SystemExit"),
    ("raise ValueError('x')", "ValueError: x"), ("channel.send(object())", "can't serialize"),
    ("raise KeyboardInterrupt", "keyboard-interrupted"), ("raise BaseException('odd')", "odd")])
def test_worker_survives(any_gateway, source, text):
    with pytest.raises(execnet.RemoteError) as info:
        any_gateway.remote_exec(source).waitclose(10)
    assert text in str(info.value)
    assert any_gateway.remote_exec("channel.send(1)").receive(10) == 1


def test_interrupt_text(any_gateway):
    with pytest.raises(execnet.RemoteError) as info:
        any_gateway.remote_exec("raise KeyboardInterrupt").waitclose(10)
    assert str(info.value) == "keyboard-interrupted"


def test_dump_error_can_be_caught(any_gateway):
    channel = any_gateway.remote_exec("""
        try:
            channel.send(object())
        except Exception as error:
            channel.send((type(error).__name__, str(error)))
    """)
    name, text = channel.receive()
    assert name == "DumpError" and "can't serialize" in text and "object" in text


# Functions.

def simple(channel, number, more=None):
    import os

    channel.send((number, more, os.getpid()))


def fails(channel):
    raise ValueError("at this line")


def test_function(any_gateway):
    channel = any_gateway.remote_exec(simple, number=3, more={"a": [1, (2,)]})
    assert channel.receive()[:2] == (3, {"a": [1, (2,)]})


def test_function_traceback(any_gateway):
    with pytest.raises(execnet.RemoteError) as info:
        any_gateway.remote_exec(fails).waitclose(10)
    text = str(info.value)
    assert '%s", line %d, in fails' % (fails.__code__.co_filename, fails.__code__.co_firstlineno + 1) in text
    assert 'raise ValueError("at this line")' in text


@pytest.mark.better("1.9")
def test_inspect_works_on_the_far_side(any_gateway):
    def function(channel):
        import inspect

        channel.send(inspect.getsource(inspect.currentframe().f_code))

    assert any_gateway.remote_exec(function).receive().startswith("def function(channel):")


def test_indented_function(any_gateway):
    if True:
        def function(channel, x):
            def inner():
                return 7
            channel.send(x + inner())

    assert any_gateway.remote_exec(function, x=1).receive() == 8


def test_kwargs_without_a_function(gateway):
    with pytest.raises(TypeError):
        gateway.remote_exec("channel.send(1)", x=1)
    with pytest.raises(TypeError):
        gateway.remote_exec(types.ModuleType("x"), x=1)


def test_kwargs_that_cannot_travel(gateway):
    with pytest.raises(execnet.gateway_base.DumpError):
        gateway.remote_exec(simple, number=object())
    assert gateway.remote_exec(simple, number=1).receive()[0] == 1


@pytest.mark.better("no such arguments")
def test_channels_are_arguments(any_gateway):
    def answer(channel, other):
        other.send(1)

    other = any_gateway.newchannel()
    any_gateway.remote_exec(answer, other=other)
    assert other.receive(10) == 1


# Modules.

@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "module_to_send.py"
    path.write_text('"""Text: \u20ac"""\nimport os\nif __name__ == "__channelexec__":\n    channel.send((1, __doc__))\n',
                    encoding="utf-8")
    import module_to_send

    yield module_to_send
    del sys.modules["module_to_send"]


def test_module(any_gateway, module):
    assert any_gateway.remote_exec(module).receive() == (1, "Text: \u20ac")


def test_module_is_read_again(gateway, module):
    gateway.remote_exec(module).receive()
    with open(module.__file__, "a") as file:
        file.write("    channel.send(2)\n")
    channel = gateway.remote_exec(module)
    assert (channel.receive()[0], channel.receive()) == (1, 2)


def test_module_traceback(any_gateway, module):
    with open(module.__file__, "a") as file:
        file.write("    1/0\n")
    channel = any_gateway.remote_exec(module)
    channel.receive()
    with pytest.raises(execnet.RemoteError, match='module_to_send.py", line 5'):
        channel.receive()


@pytest.mark.better("the message")
def test_module_without_source(gateway):
    with pytest.raises((OSError, TypeError)):
        gateway.remote_exec(types.ModuleType("made"))
    with pytest.raises((OSError, TypeError)):
        gateway.remote_exec(sys)


# Where tasks run.

WHERE = "import threading; channel.send(threading.current_thread() is threading.main_thread())\n"


@pytest.mark.better("it may still be busy")
def test_idle_main_thread_takes_the_task(any_gateway):
    for _ in range(5):
        channel = any_gateway.remote_exec(WHERE)
        assert channel.receive() is True
        channel.waitclose()


def test_more_tasks_have_threads(any_gateway):
    channels = [any_gateway.remote_exec(WHERE + "channel.receive()") for _ in range(20)]
    where = [channel.receive(20) for channel in channels]
    assert where.count(True) <= 1
    for channel in channels:
        channel.send(None)
        channel.waitclose(20)


@pytest.fixture(params=["", "//python=" + sys.executable], ids=["native", "portable"])
def single(request, group):
    return group.makegateway("popen//execmodel=main_thread_only" + request.param)


@pytest.mark.better("1.9 has no such model")
def test_main_thread_only_runs_one_after_the_other(single):
    assert single.remote_status().execmodel == "main_thread_only"
    for source in (WHERE, WHERE, "1/0", WHERE):
        channel = single.remote_exec(source)
        try:
            assert channel.receive() is True
            channel.waitclose()
        except execnet.RemoteError:
            assert source == "1/0"


@pytest.mark.better("1.9 has no such model")
def test_main_thread_only_refuses_a_second_task(single):
    from execnet.gateway_base import MAIN_THREAD_ONLY_DEADLOCK_TEXT

    first = single.remote_exec(WHERE + "channel.receive()")
    assert first.receive() is True
    with pytest.raises(execnet.RemoteError) as info:
        single.remote_exec(WHERE).receive(10)
    assert str(info.value) == MAIN_THREAD_ONLY_DEADLOCK_TEXT
    assert "concurrent remote_exec" in str(info.value) and "deadlock" in str(info.value)
    first.send(None)
    first.waitclose()
    assert single.remote_exec(WHERE).receive() is True


@pytest.mark.better("1.9 has no such model")
def test_main_thread_only_waits_a_little(single):
    first = single.remote_exec("channel.send(1); import time; time.sleep(0.3)")
    first.receive()
    assert single.remote_exec(WHERE).receive(10) is True


def test_many_threads_use_one_gateway(any_gateway):
    results = []

    def work(number):
        for _ in range(20):
            results.append(any_gateway.remote_exec("channel.send(%d)" % number).receive() == number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 100
