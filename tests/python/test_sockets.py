"""socket=, unix= and installvia= through the package; execnet's own server and clients."""
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import gangway

BIN = os.path.join(os.environ["GANGWAY_BUILD"], "bin")
EXECNET_SERVER = "/usr/lib/python3/dist-packages/execnet/script/socketserver.py"
needs_execnet = pytest.mark.skipif(not os.path.exists(EXECNET_SERVER), reason="python3-execnet is not installed")


@pytest.fixture
def group():
    made = gangway.Group()
    yield made
    made.terminate(5)


@pytest.fixture
def gwserver():
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen([BIN + "/gwserver", *arguments], stdout=subprocess.PIPE, text=True,
                                   env=dict(os.environ, **environment))
        started.append(process)
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        return line.split()[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()


@pytest.fixture
def execnet_server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-u", EXECNET_SERVER, address], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    assert "Accept" in process.stdout.readline()
    yield address
    process.kill()
    process.wait()
    process.stdout.close()


def test_error_says_how_the_agent_died(group, gwserver):
    gateway = group.makegateway("socket=" + gwserver("127.0.0.1:0"))
    channel = gateway.remote_exec("import os; os.write(2, b'no more work\\n'); os._exit(3)")
    with pytest.raises(EOFError) as error:
        channel.receive(20)
    assert "exit status 3" in str(error.value)
    assert "no more work" in str(error.value)


def test_socket(group, gwserver):
    address = gwserver("127.0.0.1:0")
    gateway = group.makegateway("socket=" + address)
    assert gateway.remoteaddress == address
    channel = gateway.remote_exec("channel.send(channel.receive() * 2)")
    channel.send([1, "a"])
    assert channel.receive() == [1, "a", 1, "a"]


def test_unix(group, gwserver, tmp_path):
    path = str(tmp_path / "socket")
    gwserver(path)
    gateway = group.makegateway("unix=" + path)
    assert gateway.remoteaddress == path
    assert gateway._rinfo().pid != os.getpid()


def test_secret(group, gwserver, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef")
    secret.chmod(0o600)
    address = gwserver("127.0.0.1:0", "--secret-file", str(secret))
    assert group.makegateway("socket=%s//secret_file=%s" % (address, secret)).remote_exec("channel.send(1)").receive() == 1
    with pytest.raises(OSError, match="GANGWAY_SECRET"):
        group.makegateway("socket=" + address)
    monkeypatch.setenv("GANGWAY_SECRET_FILE", str(secret))
    assert group.makegateway("socket=" + address).remote_exec("channel.send(1)").receive() == 1


def test_errors_are_those_of_execnet(group):
    with pytest.raises(gangway.HostNotFound) as info:
        group.makegateway("socket=no-such-host.invalid:8888")
    assert info.value.args == () and isinstance(info.value.__cause__, socket.gaierror)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            group.makegateway("socket=127.0.0.1:%d" % closed.getsockname()[1])
    with pytest.raises(FileNotFoundError):
        group.makegateway("unix=/nowhere/at/all")
    with pytest.raises(AssertionError):
        group.makegateway("socket=127.0.0.1:1//python=python3")
    with pytest.raises(KeyError):
        group.makegateway("socket//installvia=nobody")
    assert len(group) == 0


def test_installvia(group):
    hop = group.makegateway("popen//id=hop")
    gateway = group.makegateway("socket//installvia=hop")
    assert gateway.remote_exec("import os; channel.send(os.getppid())").receive() != hop._rinfo().pid
    assert gateway._rinfo().pid != hop._rinfo().pid


@needs_execnet
def test_client_of_an_execnet_server(group, execnet_server):
    for round in range(2):  # it serves one after the other
        gateway = group.makegateway("socket=" + execnet_server)
        channel = gateway.remote_exec("import sys; channel.send((channel.receive(), sys.version_info[0]))")
        channel.send(b"x" * 1000000)
        assert channel.receive(20) == (b"x" * 1000000, 3)
        with pytest.raises(OSError, match="does not answer"):
            group.makegateway("socket=%s//connect_timeout=300ms" % execnet_server)
        gateway.exit()


@needs_execnet
def test_agent_of_an_execnet_server_ends_with_its_client(execnet_server):
    program = """
import gangway, time
gateway = gangway.makegateway("socket=%s")
print(gateway._rinfo().pid, flush=True)
time.sleep(60)
""" % execnet_server
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as client:
        pid = int(client.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        client.kill()
    wait_until_gone(pid)


EXECNET_CLIENT = """
import sys
sys.path[:] = [path for path in sys.path if "gangway" not in path]
import execnet
gateway = execnet.makegateway("socket=%s")
channel = gateway.remote_exec("import os; channel.send((channel.receive(), os.getpid()))")
channel.send({1: [2, "three"]})
print(channel.receive(20), flush=True)
if %r:
    import time
    gateway.remote_exec("import time; time.sleep(1000)")
    time.sleep(60)
execnet.default_group.terminate(5)
"""


@needs_execnet
def test_execnet_client_of_an_open_server(group, gwserver, tmp_path):
    address = gwserver("127.0.0.1:0", "--execnet-open")
    # 1.9 takes host:port only.
    for round in range(2):
        out = subprocess.run(["/usr/bin/python3", "-c", EXECNET_CLIENT % (address, False)], text=True, timeout=60,
                             stdout=subprocess.PIPE, cwd="/", env={"PATH": os.environ["PATH"]}, check=True).stdout
        assert re.match(r"\(\{1: \[2, 'three'\]\}, \d+\)", out)
    # Ours gets what it always gets.
    assert group.makegateway("socket=" + address).remote_exec("channel.send(1)").receive() == 1


@needs_execnet
def test_killed_execnet_client_leaves_nothing(gwserver):
    address = gwserver("127.0.0.1:0", "--execnet-open")
    with subprocess.Popen(["/usr/bin/python3", "-c", EXECNET_CLIENT % (address, True)], text=True,
                          stdout=subprocess.PIPE, cwd="/", env={"PATH": os.environ["PATH"]}) as client:
        pid = int(client.stdout.readline().split()[-1].strip(")"))
        os.kill(pid, signal.SIGSTOP)
        client.kill()
    wait_until_gone(pid)


@needs_execnet
def test_execnet_client_is_refused_unless_the_server_is_open(gwserver):
    address = gwserver("127.0.0.1:0")
    client = subprocess.run(["/usr/bin/python3", "-c", EXECNET_CLIENT % (address, False)], text=True, timeout=60,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={"PATH": os.environ["PATH"]})
    assert client.returncode != 0


def wait_until_gone(pid):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("process %d is left" % pid)


def test_systemd_socket_activation(group, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(5)
        command = "exec 3<&%d; LISTEN_PID=$$ LISTEN_FDS=1 exec %s/gwserver" % (listener.fileno(), BIN)
        process = subprocess.Popen(["bash", "-c", command], pass_fds=[listener.fileno()], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "listening on %s\n" % path
    gateway = group.makegateway("unix=" + path)
    assert gateway.remote_exec("import os; channel.send([name for name in os.environ if 'LISTEN' in name])").receive() == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert os.path.exists(path)  # the service manager's
    process.stdout.close()


def test_options_of_the_man_page_are_those_of_the_program():
    page = open(os.path.join(os.path.dirname(__file__), "../../gateways/server/gwserver.1")).read()
    text = subprocess.run([BIN + "/gwserver", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert set(re.findall(r"^\.(?:BI?|BR) .*?(--[a-z-]+)", page, re.M)) | {"--version"} >= set(re.findall(r"--[a-z-]+", text))
    man = subprocess.run(["man", "--warnings", "-l", "-Tutf8", "--encoding=utf8", os.path.join(os.path.dirname(__file__), "../../gateways/server/gwserver.1")],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) if os.path.exists("/usr/bin/man") else None
    assert man is None or man.stderr == ""
