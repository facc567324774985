"""Group."""

import atexit
import gc
import os
import signal
import threading
import time

import execnet
import pytest


def test_specs_of_the_constructor_are_started_in_order():
    group = execnet.Group(["popen//id=b", execnet.XSpec("popen//id=a")])
    try:
        assert [gateway.id for gateway in group] == ["b", "a"]
    finally:
        group.terminate(timeout=5)


def test_clean_up_is_registered_with_atexit(monkeypatch):
    registered = []
    monkeypatch.setattr(atexit, "register", registered.append)
    group = execnet.Group(["popen"])
    gateway = group[0]
    cleanup, = registered
    cleanup()
    assert len(group) == 0
    gateway.join(5)
    assert not gateway.hasreceiver()
    group._cleanup_atexit()


@pytest.mark.parametrize("make", [lambda: execnet.Group(execmodel="nonsense"),
                                  lambda: execnet.Group().set_execmodel("nonsense"),
                                  lambda: execnet.Group().set_execmodel("thread", "nonsense")])
def test_unknown_execmodel(make):
    with pytest.raises(ValueError):
        make()


def test_execmodels():
    group = execnet.Group()
    assert group.execmodel.backend == group.remote_execmodel.backend == "thread"
    with pytest.raises(AttributeError):
        group.execmodel = "thread"
    with pytest.raises(AttributeError):
        group.remote_execmodel = "thread"


@pytest.mark.better("1.9 has no such model")
def test_set_execmodel():
    group = execnet.Group(execmodel="main_thread_only")
    assert group.execmodel.backend == group.remote_execmodel.backend == "main_thread_only"
    group.set_execmodel("thread", "main_thread_only")
    assert (group.execmodel.backend, group.remote_execmodel.backend) == ("thread", "main_thread_only")
    with pytest.raises(ValueError):
        group.set_execmodel("main_thread_only", "nonsense")
    assert (group.execmodel.backend, group.remote_execmodel.backend) == ("thread", "main_thread_only")


def test_set_execmodel_is_refused_while_there_are_gateways(group):
    gateway = group.makegateway()
    with pytest.raises(ValueError):
        group.set_execmodel("thread")
    gateway.exit()
    group.set_execmodel("thread")


@pytest.mark.parametrize("model", ["gevent", "eventlet"])
def test_green_models(run, model):
    pytest.importorskip(model)
    done = run("""
import execnet, sys
group = execnet.Group(execmodel=sys.argv[1])
print(group.execmodel, group.remote_execmodel)
group.set_execmodel("thread")
group.set_execmodel("thread", sys.argv[1])
print(group.execmodel, group.remote_execmodel)
""", model)
    assert done.out == "<ExecModel '{0}'> <ExecModel '{0}'>\n<ExecModel 'thread'> <ExecModel '{0}'>\n".format(model)
    assert (done.err, done.status) == ("", 0)


@pytest.mark.parametrize("spec", [None, ""])
def test_defaultspec_stands_for_no_spec(group, spec):
    assert execnet.Group.defaultspec == "popen"
    group.defaultspec = "popen//id=usual"
    assert group.makegateway(spec).id == "usual"


def test_spec_object_is_kept_and_filled_in(group):
    spec = execnet.XSpec("popen")
    gateway = group.makegateway(spec)
    assert gateway.spec is spec
    assert spec.id == gateway.id == "gw0"
    assert spec.execmodel == "thread"


def test_spec_object_can_be_used_again_without_its_id(group):
    spec = execnet.XSpec("popen")
    group.makegateway(spec).exit()
    spec.id = None
    assert group.makegateway(spec).id == "gw1"


def test_assigned_attributes_count(group, tmp_path):
    spec = execnet.XSpec("popen")
    spec.chdir = str(tmp_path) + "//sub"
    spec.env["URL"] = "http://host//path"
    spec.env["PLAIN"] = "1"
    channel = group.makegateway(spec).remote_exec(
        "import os; channel.send((os.getcwd(), os.environ['URL'], os.environ['PLAIN']))")
    assert channel.receive() == (str(tmp_path / "sub"), "http://host//path", "1")


def test_values_may_end_with_a_slash(group, tmp_path):
    ask = "import os; channel.send((os.getcwd(), os.environ.get('A'), os.environ.get('B')))"
    gateway = group.makegateway("popen//env:A=/a//env:B=/b/")
    assert gateway.remote_exec(ask).receive()[1:] == ("/a", "/b/")
    for text, cwd in ((str(tmp_path) + "/", str(tmp_path)), ("/", "/")):
        spec = execnet.XSpec("popen//note=x/")
        spec.chdir = text
        spec.env.update(A="/a/", B="b//")
        assert group.makegateway(spec).remote_exec(ask).receive() == (cwd, "/a/", "b//")
    assert group.makegateway("popen//chdir=%s/" % tmp_path).remote_exec(ask).receive()[0] == str(tmp_path)


@pytest.mark.parametrize("spec", ["id=3", "python=python3", "foo=3//id=x"])
def test_spec_without_a_kind(group, spec):
    with pytest.raises(ValueError):
        group.makegateway(spec)
    assert len(group) == 0


def test_unknown_via(group):
    with pytest.raises(KeyError):
        group.makegateway("popen//via=nobody")
    assert len(group) == 0


@pytest.mark.better("noticed only after the process was started")
@pytest.mark.parametrize("error", [ValueError, AssertionError])
def test_id_in_use(group, error):
    group.makegateway("popen//id=x")
    with pytest.raises(error):
        group.makegateway("popen//id=x")
    assert len(group) == 1


def test_ids_are_counted_and_never_used_again(group):
    assert group.makegateway("popen").id == "gw0"
    assert group.makegateway("popen//id=other").id == "other"
    group["gw0"].exit()
    assert group.makegateway("popen").id == "gw1"


def test_allocate_id(group):
    spec, named = execnet.XSpec("popen"), execnet.XSpec("popen//id=x")
    group.allocate_id(spec)
    group.allocate_id(named)
    assert (spec.id, named.id) == ("gw0", "x")
    group.allocate_id(spec)
    assert spec.id == "gw0"
    assert group.makegateway(spec).id == "gw0"
    assert group.makegateway().id == "gw1"


def test_allocated_id_that_is_taken(group):
    group.makegateway("popen//id=gw0")
    with pytest.raises(ValueError):
        group.allocate_id(execnet.XSpec("popen"))


def test_container(group):
    a, b = group.makegateway("popen//id=a"), group.makegateway("popen//id=b")
    assert len(group) == 2 and group
    assert list(group) == [a, b]
    assert group[0] is a and group[-1] is b and group["a"] is a and group[b] is b
    assert "a" in group and a in group and "c" not in group
    for key, error in ((2, IndexError), ("c", KeyError), (object(), KeyError)):
        with pytest.raises(error):
            group[key]
    with pytest.raises(TypeError):
        group["a"] = a
    with pytest.raises(TypeError):
        del group["a"]
    for gateway in group:  # over a snapshot
        gateway.exit()
    assert len(group) == 0 and not group and a not in group


def test_repr(group):
    assert repr(group) == "<Group []>"
    group.makegateway()
    group.makegateway()
    assert repr(group) == "<Group ['gw0', 'gw1']>"


def test_dead_process_stays_a_member(group, until):
    gateway = group.makegateway()
    os.kill(gateway._rinfo().pid, signal.SIGKILL)
    until(lambda: not gateway.hasreceiver())
    assert gateway in group
    gateway.exit()
    assert gateway not in group


def test_remote_exec_gives_a_multi_channel(group):
    group.makegateway()
    group.makegateway()
    channels = group.remote_exec("channel.send(channel.gateway.id)")
    assert isinstance(channels, execnet.MultiChannel)
    assert channels.receive_each() == ["gw0-worker", "gw1-worker"]


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_terminate_ends_all_processes(group):
    pids = [group.makegateway()._rinfo().pid for _ in range(3)]
    group.terminate()
    assert len(group) == 0
    assert all(map(gone, pids))
    group.terminate()
    assert group.makegateway().id == "gw3"


def test_terminate_kills_after_the_timeout(group):
    gateway = group.makegateway()
    channel = gateway.remote_exec(
        "import os, signal, time; signal.signal(2, signal.SIG_IGN); channel.send(os.getpid()); time.sleep(60)")
    pid = channel.receive()
    begin = time.monotonic()
    group.terminate(timeout=0.3)
    assert time.monotonic() - begin < 5
    assert gone(pid)


@pytest.mark.better("they are waited for only when there are members")
def test_terminate_waits_for_those_that_were_exited(group):
    gateway = group.makegateway()
    pid = gateway._rinfo().pid
    gateway.remote_exec("import time; time.sleep(60)")
    gateway.exit()
    group.terminate(timeout=0.5)
    assert gone(pid)


@pytest.mark.better("nothing is reported")
def test_terminate_reports(group):
    group.makegateway()
    channel = group.makegateway("popen//id=stubborn").remote_exec(
        "import signal, time; signal.signal(2, signal.SIG_IGN); channel.send(1); time.sleep(60)")
    channel.receive()
    killed, survivors = group.terminate(timeout=0.5)
    assert (killed, survivors) == (["stubborn"], [])
    assert group.terminate(timeout=0.5) == ([], [])


def test_makegateway_in_several_threads(group):
    made = []
    threads = [threading.Thread(target=lambda: made.append(group.makegateway())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {gateway.id for gateway in made} == {"gw%d" % number for number in range(6)}
    assert len(group) == 6


def test_failed_start_leaves_no_member(group):
    with pytest.raises(OSError):
        group.makegateway("popen//python=/nothing/here//id=x")
    assert len(group) == 0
    assert group.makegateway("popen//id=x").id == "x"


def test_group_is_not_kept_alive_by_its_gateways_channels(group):
    channel = group.makegateway().remote_exec("channel.receive()")
    gc.collect()
    assert channel.gateway is group[0]
