"""Names that other code reaches for."""

import sys

import execnet
import pytest
from execnet.gateway_io import popen_args, ssh_args, vagrant_ssh_args


def test_group(group):
    gateway = group.makegateway()
    assert group._gateways == [gateway]
    group._unregister(gateway)
    assert len(group) == 0
    gateway.exit()


def test_transport(group):
    gateway = group.makegateway()
    assert not hasattr(gateway._io, "remoteaddress")
    gateway.exit()
    gateway._io.wait()
    gateway._io.kill()


def test_transport_ends(group, until):
    for name in ("close_write", "kill"):
        gateway = group.makegateway()
        getattr(gateway._io, name)()
        until(lambda: not gateway.hasreceiver())
        gateway._io.wait()


def test_channelfactory(gateway):
    factory = gateway._channelfactory
    channel = factory.new()
    assert channel in factory.channels()
    assert factory._channels[channel.id] is channel
    assert not factory.finished
    del channel
    assert len(factory.channels()) == 0
    gateway.exit()
    gateway.join(10)
    assert factory.finished


def test_trace(gateway):
    assert gateway._trace("a", 1) is None


def test_popen_args():
    assert popen_args(execnet.XSpec("popen"))[:2] == [sys.executable, "-u"]
    assert popen_args(execnet.XSpec("popen//python='a b' -x//dont_write_bytecode"))[:5] == ["a b", "-x", "-u", "-B", "-c"]


def test_ssh_args():
    args = ssh_args(execnet.XSpec("ssh=-p 22 host//python=py//ssh_config=/c"))
    assert args[:-1] == ["ssh", "-C", "-F", "/c", "-p", "22", "host"]
    assert args[-1].startswith("py -c ")
    assert ssh_args(execnet.XSpec("ssh=host"))[-1].startswith("python -c ")


def test_vagrant_ssh_args():
    args = vagrant_ssh_args(execnet.XSpec("vagrant_ssh=box"))
    assert args[:-1] == ["vagrant", "ssh", "box", "--", "-C"]
    assert args[-1].startswith("python -c ")


@pytest.mark.better("it has no part in this")
def test_far_task_requests_do_not_exist(gateway):
    assert gateway.remote_exec("channel.send(hasattr(channel.gateway, 'remote_exec'))").receive() is False
