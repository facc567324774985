"""Gateway, and the worker behind popen."""

import os
import signal
import subprocess
import sys
import time

import execnet
import pytest


def test_gateway_is_one(gateway, group):
    from execnet.gateway import Gateway

    assert isinstance(gateway, Gateway)
    assert gateway.id == "gw0" and str(gateway.spec) == "popen"
    assert gateway.execmodel.backend == "thread"
    assert gateway._group is group
    with pytest.raises(AttributeError):
        gateway.remoteaddress
    gateway.node = 3
    assert gateway.node == 3
    assert len({gateway, gateway}) == 1 and gateway == gateway and gateway != 3


def test_repr(gateway, until):
    assert repr(gateway) == "<Gateway id='gw0' receive-live, thread model, 0 active channels>"
    channel = gateway.newchannel()
    assert repr(gateway) == "<Gateway id='gw0' receive-live, thread model, 1 active channels>"
    del channel
    assert repr(gateway) == "<Gateway id='gw0' receive-live, thread model, 0 active channels>"
    gateway.exit()
    gateway.join(10)
    until(lambda: not gateway.hasreceiver())
    assert repr(gateway) == "<Gateway id='gw0' not-receiving, thread model, 0 active channels>"


def test_rinfo(any_gateway):
    info = any_gateway._rinfo()
    assert info.executable == sys.executable
    assert tuple(info.version_info) == tuple(sys.version_info)
    assert (info.platform, info.cwd) == (sys.platform, os.getcwd())
    assert info.pid != os.getpid()
    os.kill(info.pid, 0)
    values = ["%s=%s" % item for item in sorted(vars(info).items())]
    assert repr(info) == "<RInfo %r>" % ", ".join(values)


def test_rinfo_is_cached_until_updated(gateway, tmp_path):
    before = gateway._rinfo()
    assert gateway._cache_rinfo is before
    gateway.remote_exec("import os; os.chdir(%r)" % str(tmp_path)).waitclose()
    assert gateway._rinfo() is before
    assert gateway._rinfo(update=True).cwd == str(tmp_path)
    assert gateway._rinfo().cwd == str(tmp_path)


def test_cached_rinfo_starts_no_task(group):
    gateway = group.makegateway()
    gateway._rinfo()
    gateway.exit()
    assert gateway._rinfo().platform == sys.platform


def test_remote_status(any_gateway, until):
    status = any_gateway.remote_status()
    assert (status.numexecuting, status.execmodel) == (0, "thread")
    assert repr(status).startswith("<RInfo '") and "execmodel=thread" in repr(status)
    channels = [any_gateway.remote_exec("channel.send(1); channel.receive()") for _ in range(2)]
    for channel in channels:
        channel.receive()
    assert any_gateway.remote_status().numexecuting == 2
    for channel in channels:
        channel.send(None)
        channel.waitclose()
    until(lambda: any_gateway.remote_status().numexecuting == 0)


@pytest.mark.better("its temporary channel is counted")
def test_remote_status_counts_channels(any_gateway, until):
    assert any_gateway.remote_status().numchannels == 0
    channel = any_gateway.remote_exec("channel.receive()")
    assert any_gateway.remote_status().numchannels == 1
    channel.close()
    until(lambda: any_gateway.remote_status().numchannels == 0)
    del channel
    assert repr(any_gateway).endswith(" 0 active channels>")


def test_newchannel_is_usable_on_the_far_side(any_gateway):
    extra = any_gateway.newchannel()
    channel = any_gateway.remote_exec("extra = channel.receive(); extra.send(extra.receive() + 1); channel.receive()")
    channel.send(extra)
    extra.send(41)
    assert extra.receive(10) == 42


def test_newchannel_without_a_connection(gateway):
    gateway.exit()
    gateway.join(10)
    with pytest.raises(OSError):
        gateway.newchannel().send(1)


@pytest.mark.parametrize("how", ["exited", "killed"])
def test_exit_of_what_is_gone_is_silent(capfd, gateway, how, until):
    if how == "killed":
        os.kill(gateway._rinfo().pid, signal.SIGKILL)
        until(lambda: not gateway.hasreceiver())
    for _ in range(3):
        gateway.exit()
    gateway.join(10)
    gateway.exit()
    assert not gateway.hasreceiver()
    assert capfd.readouterr().err == ""


def test_exit_does_not_wait(gateway):
    gateway.remote_exec("import time; channel.send(1); time.sleep(2)").receive()
    begin = time.monotonic()
    gateway.exit()
    assert time.monotonic() - begin < 1.5


def test_remote_init_threads_is_deprecated(gateway, capsys):
    gateway.remote_init_threads(3)
    gateway.remote_init_threads()
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and err == ""


def test_far_side_gateway(any_gateway):
    channel = any_gateway.remote_exec("""
        g = channel.gateway
        extra = g.newchannel()
        channel.send((g.id, g.execmodel.backend, hasattr(g, "exit"), hasattr(g, "remote_exec"), hasattr(g, "join")))
        channel.send(extra)
        extra.send(extra.id)
    """)
    assert channel.receive() == ("gw0-worker", "thread", False, False, True)
    extra = channel.receive()
    number = extra.receive()
    assert number == extra.id and number % 2 == 0


def test_far_side_primitives(any_gateway):
    channel = any_gateway.remote_exec("""
        model = channel.gateway.execmodel
        lock, event = model.RLock(), model.Event()
        with lock:
            with lock:
                event.set()
        queue = model.queue.Queue()
        model.start(queue.put, (3,))
        channel.send((event.wait(1), queue.get(), event.is_set()))
    """)
    assert channel.receive() == (True, 3, True)


# Kinds of gateways: popen, and the keys that all have.

def test_worker_arguments_and_environment(gateway, monkeypatch, group):
    channel = gateway.remote_exec("import sys, os; channel.send((sys.argv, sys.flags.dont_write_bytecode))")
    assert channel.receive() == (["-c"], sys.flags.dont_write_bytecode)
    monkeypatch.setenv("INHERITED", "yes")
    assert group.makegateway().remote_exec("import os; channel.send(os.environ['INHERITED'])").receive() == "yes"


@pytest.mark.parametrize("python", ["", "//python=" + sys.executable])
def test_dont_write_bytecode(group, python):
    gateway = group.makegateway("popen//dont_write_bytecode" + python)
    assert gateway.remote_exec("import sys; channel.send(sys.dont_write_bytecode)").receive() is True


def test_python_is_split_by_shell_rules(group):
    gateway = group.makegateway("popen//python=%s -X 'dev' -X utf8\\=1" % sys.executable)
    assert gateway.remote_exec("import sys; channel.send(sorted(sys._xoptions))").receive() == ["dev", "utf8"]


def test_worker_can_import_the_package(gateway):
    channel = gateway.remote_exec("import execnet; channel.send((execnet.__version__, execnet.__file__))")
    assert channel.receive() == (execnet.__version__, execnet.__file__)


@pytest.mark.better("the same")
def test_worker_of_a_venv_can_import_the_package(run, tmp_path):
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    out = subprocess.run([str(tmp_path / "venv/bin/python"), "-c", """if 1:
        import execnet, sys
        gateway = execnet.makegateway()
        print(gateway.remote_exec("import sys, execnet; channel.send((sys.prefix, execnet.__file__))").receive()
              == (sys.prefix, execnet.__file__))"""], stdout=subprocess.PIPE, text=True).stdout
    assert out == "True\n"


def test_package_comes_first_when_it_is_not_there_already(gateway):
    path = gateway.remote_exec("import sys; channel.send(sys.path)").receive()
    assert os.path.dirname(os.path.dirname(execnet.__file__)) in path
    assert len(path) == len(set(path))


def test_worker_with_python_needs_nothing_installed(group):
    gateway = group.makegateway("popen//python=%s -S -E" % sys.executable)
    assert gateway.remote_exec("import sys; channel.send([m for m in ('py', 'execnet', 'gangway') if m in sys.modules])"
                               ).receive() == []


def test_command_that_cannot_be_started(group):
    with pytest.raises(FileNotFoundError):
        group.makegateway("popen//python=/nothing/here")


@pytest.mark.better("a dead gateway, or BrokenPipeError")
def test_interpreter_that_exits_before_the_handshake(group):
    with pytest.raises((OSError, EOFError)) as info:
        group.makegateway("popen//python=%s -c 'import sys; sys.exit(\"no way\")'" % sys.executable)
    assert "no way" in str(info.value)
    assert len(group) == 0


def test_chdir_is_created(group, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert group.makegateway("popen//chdir=sub")._rinfo().cwd == str(tmp_path / "sub")
    assert group.makegateway("popen//chdir=sub")._rinfo().cwd == str(tmp_path / "sub")


@pytest.mark.better("only of the thread that set it")
def test_nice(group):
    here = os.nice(0)
    gateway = group.makegateway("popen//nice=3")
    assert gateway.remote_exec("import os; channel.send(os.nice(0))").receive() == here + 3


@pytest.mark.better("RemoteError")
def test_nice_is_an_integer(group):
    with pytest.raises(ValueError):
        group.makegateway("popen//nice=little")


def test_env(group):
    gateway = group.makegateway("popen//env:NEW=value=x//env:PATH_TOO=b")
    assert gateway.remote_exec("import os; channel.send((os.environ['NEW'], os.environ['PATH_TOO']))"
                               ).receive() == ("value=x", "b")


@pytest.mark.better("RemoteError, or nothing")
def test_unknown_execmodel(group):
    with pytest.raises(ValueError):
        group.makegateway("popen//execmodel=nonsense")


@pytest.mark.better("1.9 hangs with gevent")
@pytest.mark.parametrize("model", ["gevent", "eventlet"])
def test_green_models_on_the_far_side(group, model):
    pytest.importorskip(model)
    gateway = group.makegateway("popen//execmodel=" + model)
    assert gateway.remote_status().execmodel == model
    channels = [gateway.remote_exec("channel.send(channel.receive() + 1)") for _ in range(3)]
    for channel in channels:
        channel.send(1)
        assert channel.receive(20) == 2
    assert gateway.execmodel.backend == "thread"


# The worker process.

def test_prints_do_not_disturb(capfd, any_gateway):
    channel = any_gateway.remote_exec("""
        import os, subprocess, sys
        print("to stdout")
        os.write(1, b"raw")
        subprocess.call([sys.executable, "-c", "print(3)"])
        channel.send((sys.stdin.read(), os.read(0, 10)))
    """)
    assert channel.receive() == ("", b"")
    assert capfd.readouterr().out == ""


def test_stderr_is_inherited(run):
    result = run("""if 1:
        import execnet
        execnet.makegateway().remote_exec("import os; os.write(2, b'from afar')").waitclose()
    """)
    assert (result.err.strip(), result.status) == ("from afar", 0)


def test_no_exception_is_being_handled(any_gateway):
    channel = any_gateway.remote_exec("import sys; channel.send(sys.exc_info() == (None, None, None))")
    assert channel.receive() is True


def test_exit_ends_waiting_tasks_at_once(capfd, any_gateway):
    any_gateway.remote_exec("channel.send(1); channel.receive()").receive()
    pid = any_gateway._rinfo().pid
    begin = time.monotonic()
    any_gateway._group.terminate(timeout=10)
    assert time.monotonic() - begin < 4
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert capfd.readouterr().err == ""


@pytest.mark.better("may cost 5 s")
def test_task_just_before_the_end_costs_nothing(gateway, group):
    gateway.remote_exec("channel.receive()")
    begin = time.monotonic()
    group.terminate(timeout=10)
    assert time.monotonic() - begin < 4


# Beyond execnet.

@pytest.mark.better("not there")
def test_death_says_how(gateway, until):
    channel = gateway.remote_exec("import os; os.kill(os.getpid(), 6)")
    with pytest.raises(EOFError, match="SIGABRT"):
        channel.receive(10)
    assert gateway.join(10)
    assert gateway.death()["signal"] == signal.SIGABRT


@pytest.mark.better("not there")
def test_interrupt_and_stacks(gateway):
    channel = gateway.remote_exec("channel.send(1)\nwhile True: pass")
    channel.receive()
    assert "<remote exec>" in gateway.stacks(10)
    assert channel.interrupt(10) is True
    with pytest.raises(execnet.RemoteError, match="keyboard-interrupted"):
        channel.waitclose(10)


@pytest.mark.better("not there")
def test_output_callback(group, until):
    gateway = group.makegateway("popen//stdout=callback")
    seen = []
    gateway.set_output(lambda *output: seen.append(output))
    gateway.remote_exec("print('hello')").waitclose()
    until(lambda: "hello" in repr(seen))


@pytest.mark.better("not there")
def test_kill(gateway, until):
    gateway.kill()
    assert gateway.join(10)
    assert gateway in gateway._group
    with pytest.raises(OSError):
        gateway.remote_exec("").send(1)
