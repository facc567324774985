"""examples/gwstatus.cpp, run as a user would run it."""
import os
import pathlib
import pty
import signal
import subprocess

import pytest

program = pathlib.Path(os.environ.get("GANGWAY_BUILD", "build/dev")) / "bin" / "gwstatus"
pytestmark = pytest.mark.skipif(not program.exists(), reason="the examples are not built")
PORTABLE = "popen//python=/usr/bin/python3//id=portable"


def run(*arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


def test_lines_of_each_gateway_when_stdout_is_no_terminal():
    done = run("--count", "2", "--interval", "0.1", PORTABLE, "popen//python=/usr/bin/python3//id=other")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6 and "\x1b" not in done.stdout
    assert lines[0].split() == "gateway pid agent python memory queued unresponsive tasks".split()
    assert lines[0].split() == lines[3].split()  # the columns are as wide as they have to be
    for line in lines[1], lines[4]:
        name, pid, agent, python = line.split()[:4]
        assert (name, agent) == ("portable", "portable") and int(pid) > 1 and python.startswith("3.")
    assert lines[2].startswith("other")


def test_what_is_wrong_is_said():
    done = run("--count", "1", "popen//python=/bin/false")
    assert done.returncode == 1 and done.stderr.startswith("gwstatus: ") and "/bin/false" in done.stderr
    assert run("--count", "-1").returncode != 0
    assert run("--interval", "0").returncode != 0


def test_a_terminal_gets_a_table_and_ctrl_c_ends_it():
    ours, theirs = pty.openpty()
    process = subprocess.Popen([program, "--interval", "0.1", PORTABLE], stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while seen.count(b"\x1b[H") < 3:
        seen += os.read(ours, 10000)
    assert b"portable" in seen
    process.send_signal(signal.SIGINT)
    while True:  # read on, so that it can write
        try:
            if not os.read(ours, 10000):
                break
        except OSError:
            break
    assert process.wait(30) == 0
    os.close(ours)
