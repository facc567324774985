"""ssh gateways of the Python package: specs, errors, what execnet's users expect."""
import pytest
from sshd import sshd  # noqa: F401

import gangway


@pytest.fixture
def group():
    group = gangway.Group()
    yield group
    group.terminate(2)


def test_runs_source(sshd, group):  # noqa: F811
    gateway = group.makegateway(sshd.spec("python=python3"))
    assert gateway.remote_exec("channel.send(channel.receive() * 2)").__class__.__name__ == "Channel"
    channel = gateway.remote_exec("channel.send(channel.receive() * 2)")
    channel.send(21)
    assert channel.receive() == 42
    assert gateway.remoteaddress == "private"
    assert gateway.remote_exec("import os; channel.send(os.getcwd())").receive()


def test_members_share_a_connection(sshd, group):  # noqa: F811
    for _ in range(3):
        group.makegateway(sshd.spec("python=python3"))
    assert group.remote_exec("channel.send(1)").receive_each() == [1, 1, 1]
    assert sshd.logins() == 1


def test_without_python_one_is_found(sshd, group):  # noqa: F811
    assert group.makegateway(sshd.spec()).remote_exec("import sys; channel.send(sys.version_info >= (3, 6))").receive()


@pytest.mark.parametrize("destination", ["-F none no-such-host.invalid", "-F none -p 1 127.0.0.1"])
def test_a_host_that_is_not_there(group, destination):
    with pytest.raises(gangway.HostNotFound) as caught:
        group.makegateway("ssh=" + destination)
    assert caught.value.args == (destination,)
    assert "ssh" in str(caught.value.__cause__)


def test_no_such_interpreter(sshd, group):  # noqa: F811
    with pytest.raises(OSError, match="no-such-python"):
        group.makegateway(sshd.spec("python=no-such-python"))
