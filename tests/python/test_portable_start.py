"""How the portable agent starts: bootstrap, HELLO, keeper, surroundings."""
import os
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import HELLO, NONCE, Agent, dumps, frame  # noqa: E402
from portable import BUNDLES, agent, pytest_generate_tests, python, start  # noqa: E402, F401


@pytest.mark.core
@pytest.mark.parametrize("local", [False, True])
def test_hello_names_the_agent(python, local):
    with start(python, local) as agent:
        hello = agent.hello
        assert hello["protocol"] == (1, 0) and hello["agent"] == "portable"
        assert hello["capabilities"] == ["arrays"] and hello["max_frame"] == 262144
        assert hello["python"].split(".")[0] == "3" and hello["implementation"] in ("cpython", "pypy")
        assert agent.run("channel.send(1)") == [1]
        assert agent.terminate() == 0
        assert agent.stderr == b""


def test_stage0_survives_every_shell():
    for stage0, _ in BUNDLES.values():
        assert len(stage0) < 1024 and not set("'!\n\\") & set(stage0)


def test_bundle_stays_small():
    assert len(BUNDLES[False][1]) <= 12288


def test_argv_is_minus_c(agent):
    assert agent.run("import sys; channel.send(sys.argv)") == [["-c"]]


def test_end_of_stream_within_the_bundle_is_a_quiet_failure(python):
    stage0, packed = BUNDLES[False]
    result = subprocess.run([python, "-c", stage0], input=packed[:-1], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"")


@pytest.mark.parametrize("where", [0, 100, -1])
def test_flipped_byte_in_the_bundle_is_reported(python, where):
    stage0, packed = BUNDLES[False]
    damaged = bytearray(packed)
    damaged[where] ^= 1
    result = subprocess.run([python, "-c", stage0], input=damaged, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.returncode == 1 and result.stdout == b""
    assert result.stderr.startswith(b"gangway: bootstrap corrupt")
    assert len(result.stderr.splitlines()) == 1


def test_bundle_may_arrive_byte_by_byte(python):
    stage0, packed = BUNDLES[False]
    with Agent([python, "-c", stage0], b"", send_hello=False) as agent:
        for i in range(200):
            agent.write(packed[i:i + 1])
        agent.write(packed[200:])
        hello = frame(HELLO, 0, dumps({"protocol": (1, 0), "nonce": NONCE, "execmodel": "thread", "window": 0}))
        for i in range(len(hello)):
            agent.write(hello[i:i + 1])
        agent.handshake()
        assert agent.run("channel.send(3)") == [3]


@pytest.mark.core
def test_nonblocking_stdin_and_stdout_are_handled(python):
    stage0, packed = BUNDLES[False]
    r, w = os.pipe()
    os.set_blocking(r, False)
    agent = Agent([python, "-c", stage0], b"", send_hello=False)
    agent.kill()
    process = subprocess.Popen([python, "-c", stage0], stdin=r, stdout=subprocess.PIPE, start_new_session=True)
    os.set_blocking(process.stdout.fileno(), True)
    agent.process, agent.fd_out, agent.fd_in, agent.buffer, agent.ended = process, w, process.stdout.fileno(), b"", False
    os.close(r)
    time.sleep(0.05)
    agent.write(packed[:50])
    time.sleep(0.05)
    agent.write(packed[50:])
    agent.write(frame(HELLO, 0, dumps({"protocol": (1, 0), "nonce": NONCE, "execmodel": "thread", "window": 0})))
    try:
        agent.handshake()
        number = agent.remote_exec("for x in channel: channel.send(x)")
        big = os.urandom(300000)
        for item in (1, big, "x"):
            agent.send(number, item)
            assert agent.receive(number) == item
    finally:
        os.close(w)
        process.wait(10)
        process.stdout.close()


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_end_cleanly(python, redirect):
    stage0, packed = BUNDLES[False]
    result = subprocess.run(["sh", "-c", "exec %s -c '%s' %s" % (python, stage0, redirect)], input=packed,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    assert result.stdout == b""
    assert b"Traceback" not in result.stderr
    if redirect != "2>&-":
        assert result.returncode == 1


def test_wrong_major_version_is_refused_in_hello(python):
    with start(python, hello={"protocol": (2, 0)}) as agent:
        assert "protocol" in agent.hello["error"]
        assert agent.finish() == 1


def test_unknown_execmodel_is_refused_in_hello(python):
    with start(python, hello={"execmodel": "purple"}) as agent:
        assert "execmodel purple" in agent.hello["error"]
        assert agent.finish() == 1


def test_chdir_is_created_one_level(python, tmp_path):
    with start(python, cwd=str(tmp_path), hello={"chdir": "new"}) as agent:
        assert agent.run("import os; channel.send(os.getcwd())") == [str(tmp_path / "new")]
    with start(python, cwd=str(tmp_path), hello={"chdir": "a/b"}) as agent:
        assert "FileNotFoundError" in agent.hello["error"]
        assert agent.finish() == 1


def test_env_and_nice_are_applied(python):
    base = os.nice(0)
    with start(python, hello={"env": {"GW_X": "ä"}, "nice": 3}) as agent:
        assert agent.run("import os; channel.send((os.environ['GW_X'], os.nice(0)))") == [("ä", base + 3)]


def test_module_beside_the_agent_does_not_shadow_its_imports(python, tmp_path):
    for name in ("zlib", "select", "_struct", "copyreg", "_compat_pickle", "fcntl", "_gangway", "task", "traceback"):
        (tmp_path / (name + ".py")).write_text("raise SystemExit('shadowed')")
    with start(python, cwd=str(tmp_path)) as agent:
        assert agent.run("channel.send(1)") == [1]
