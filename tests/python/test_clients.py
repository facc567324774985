"""Gateways through other programs, where the test needs a controller of its own."""
import os
import shutil
import subprocess
import sys
import time

import pytest

CONTROLLER = """
import sys, time
sys.path.insert(0, {build!r} + "/python")
import gangway
group = gangway.Group()
gateway = group.makegateway("command=setpriv --reuid=daemon --regid=daemon --clear-groups {python}")
channel = gateway.remote_exec('''
import signal, time, os
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
channel.send(os.getpid())
while True:
    try: time.sleep(100)
    except BaseException: pass
''')
pid = channel.receive()
begin = time.monotonic()
report = group.terminate(0.5)
print(pid, time.monotonic() - begin, gateway.id, report.survivors, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="no setpriv on this machine")
def test_terminate_returns_in_time_when_the_system_refuses_to_kill():
    # Without CAP_KILL root may not signal the processes of others, as a user may not with sudo's.
    script = CONTROLLER.format(build=os.path.abspath(os.environ.get("GANGWAY_BUILD", "build/dev")), python=sys.executable)
    controller = subprocess.Popen(["setpriv", "--bounding-set=-kill", sys.executable, "-c", script],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
    with controller:
        pid, took, gateway, survivors = controller.stdout.readline().split(" ", 3)
        assert float(took) < 2.5
        assert gateway in survivors and "pid " in survivors
        deadline = time.monotonic() + 12
        while os.path.exists("/proc/" + pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not os.path.exists("/proc/" + pid), "its keeper has seen the end of the stream"
        controller.stdin.close()
        assert controller.wait(20) == 0
