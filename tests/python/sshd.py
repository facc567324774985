"""A real sshd of the test's own on loopback (tests/support/private_sshd.py says what it has).

    from sshd import sshd  # a fixture: sshd.spec("python=python3"), sshd.logins()

`private_sshd("MaxSessions 2")` is a context manager for one with lines of its own.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "private_sshd.py")
LISTENING = "Server listening on 127.0.0.1"


class Sshd:
    def __init__(self, directory, config, shell=None, home=None):
        self.directory = directory
        arguments = [word for line in config for word in ("--config", line)]
        arguments += ["--shell", shell] if shell else []
        arguments += ["--home", home] if home else []
        self.process = subprocess.Popen([sys.executable, "-B", SCRIPT, directory] + arguments)
        deadline = time.monotonic() + 20
        while LISTENING not in self.log() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if LISTENING not in self.log() or self.process.poll() is not None:
            self.stop()
            raise RuntimeError("the private sshd did not start: " + self.log())
        with open(self.file("port")) as file:
            self.port = int(file.read())

    def file(self, name):
        return os.path.join(self.directory, name)

    def spec(self, more=""):
        return "ssh=private//ssh_config=" + self.file("ssh_config") + ("//" + more if more else "")

    def log(self):
        try:
            with open(self.file("log")) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def logged(self, text):
        return sum(text in line for line in self.log().splitlines())

    def logins(self):
        return self.logged("Accepted publickey for ")

    def sessions(self):
        return self.logged("Starting session: ")

    def connections(self, of=None):
        """The pids of its connections' own processes."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % name) as file:
                    comm, _, rest = file.read().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if comm == "sshd" and int(rest.split()[1]) == (of or self.process.pid):
                found += [int(name)] + self.connections(int(name))
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            for pid in self.connections():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def private_sshd(*config, **options):
    if not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        pytest.skip("there is no sshd on this machine (Debian: openssh-server)")
    directory = tempfile.mkdtemp(prefix="gangway-sshd-")
    try:
        server = Sshd(directory, config, **options)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def sshd():
    with private_sshd() as server:
        yield server
