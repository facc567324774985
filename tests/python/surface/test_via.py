"""Gateways through gateways."""

import os
import sys
import time

import execnet
import pytest


@pytest.fixture
def hub(group):
    return group.makegateway("popen//id=hub//execmodel=thread")


def test_unknown_master(group):
    with pytest.raises(KeyError):
        group.makegateway("popen//via=nobody")
    assert len(group) == 0


def test_a_gateway_through_another(group, hub):
    gateway = group.makegateway("popen//via=hub//id=w")
    assert [member.id for member in group] == ["hub", "w"]
    assert gateway.spec.via == "hub"
    channel = gateway.remote_exec("channel.send(channel.receive() + 1)")
    channel.send(41)
    assert channel.receive() == 42
    assert gateway._rinfo().pid not in (os.getpid(), hub._rinfo().pid)
    assert gateway._rinfo().executable == sys.executable


@pytest.mark.better("its terminate fails after that exit")
def test_it_occupies_a_task_of_its_master(group, hub):
    assert hub.remote_status().numexecuting == 0
    gateway = group.makegateway("popen//via=hub")
    assert hub.remote_status().numexecuting == 1
    gateway.exit()
    gateway.join(10)
    deadline = time.monotonic() + 10
    while hub.remote_status().numexecuting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert hub.remote_status().numexecuting == 0


def test_hub_and_workers_as_xdist_starts_them():
    """--px popen//id=hub//execmodel=thread --tx 3*popen//via=hub"""
    group = execnet.Group()
    try:
        group.makegateway(execnet.XSpec("execmodel=thread//popen//id=hub"))
        for _ in range(3):
            spec = execnet.XSpec("popen//via=hub")
            group.allocate_id(spec)
            group.makegateway(spec)
        channels = [gateway.remote_exec("import sys; channel.send(sys.argv)") for gateway in group if gateway.id != "hub"]
        assert [channel.receive(10) for channel in channels] == [["-c"]] * 3
    finally:
        begin = time.monotonic()
        group.terminate(10)
        assert time.monotonic() - begin < 8
    assert len(group) == 0


@pytest.mark.better("1.9 has no such model")
def test_a_master_with_a_main_thread_only_serves_one(group):
    group.makegateway("popen//id=hub//execmodel=main_thread_only")
    first = group.makegateway("popen//via=hub")
    with pytest.raises(OSError, match="hub.*concurrent remote_exec would cause deadlock"):
        group.makegateway("popen//via=hub")
    assert first.remote_exec("channel.send(1)").receive(10) == 1


@pytest.mark.better("execnet's gateway stays, and its channels never end")
def test_the_end_of_the_master_is_told(group, hub):
    gateway = group.makegateway("popen//via=hub//id=w")
    channel = gateway.remote_exec("channel.receive()")
    os.kill(hub._rinfo().pid, 9)
    with pytest.raises(EOFError, match="gateway w: lost with its hop: gateway hub: .*SIGKILL"):
        channel.receive(10)


@pytest.mark.better("execnet starts them one by one")
def test_many_at_once_as_a_tree(group):
    gateways = group.makegateways(["popen"] * 7, fanout=2)
    assert [gateway.spec.via for gateway in gateways] == [None, None, "gw0", "gw0", "gw1", "gw1", "gw2"]
    assert list(group) == gateways
    assert [gateway.remote_exec("channel.send(channel.gateway.id)").receive(10) for gateway in gateways] == [
        "gw%d-worker" % number for number in range(7)]
    assert group.makegateways([]) == []
    with pytest.raises(ValueError):
        group.makegateways(["popen"], fanout=-1)


@pytest.mark.better("execnet starts them one by one")
def test_failures_of_a_tree(group):
    specs = ["popen//id=broken//python=/nowhere/python3", "popen//id=b", "popen//id=c"]
    with pytest.raises(OSError, match="/nowhere/python3"):
        group.makegateways(specs, fanout=1)
    assert len(group) == 0
    error, second, third = group.makegateways(specs, fanout=1, return_exceptions=True)
    assert isinstance(error, OSError)
    assert (second.spec.via, third.spec.via) == (None, "b")
    assert list(group) == [second, third]
    both, = group.makegateways(["popen//ssh=host"], return_exceptions=True)
    assert isinstance(both, ValueError)
