"""The end of programs; and `python -m gangway.as_execnet`."""

import os
import subprocess
import sys
import time

import pytest


def test_workers_are_gone_when_the_program_has_ended(run):
    result = run("""if 1:
        import execnet
        gateways = [execnet.makegateway() for _ in range(2)]
        print(*[gateway._rinfo().pid for gateway in gateways])
        gateways[0].remote_exec("channel.receive()")
    """)
    assert (result.err, result.status) == ("", 0)
    for pid in map(int, result.out.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_stubborn_worker_is_killed_at_the_end(run):
    begin = time.monotonic()
    result = run("""if 1:
        import execnet
        channel = execnet.makegateway().remote_exec('''if 1:
            import os, signal, time
            signal.signal(2, signal.SIG_IGN)
            channel.send(os.getpid())
            time.sleep(100)''')
        print(channel.receive())
    """)
    assert time.monotonic() - begin < 10
    assert result.status == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(result.out), 0)


def test_receiving_thread_does_not_keep_the_program(run):
    result = run("""if 1:
        import execnet, threading
        channel = execnet.makegateway().remote_exec("channel.receive()")
        threading.Thread(target=channel.receive, daemon=True).start()
        print("end")
    """)
    assert (result.out, result.status) == ("end\n", 0)


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer may block in a forked child")
@pytest.mark.better("it ends them")
def test_forked_child_leaves_the_gateways_alone(run):
    result = run("""if 1:
        import execnet, os, sys
        gateway = execnet.makegateway()
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        print(gateway.remote_exec("channel.send(3)").receive())
    """)
    assert (result.out, result.err, result.status) == ("3\n", "", 0)


@pytest.fixture
def as_execnet(request, monkeypatch):
    if request.config.getoption("--oracle"):
        pytest.skip("not with the oracle")
    import gangway

    # Only the package, not the drop-in directory.
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(os.path.abspath(gangway.__file__))))

    def run(*words, **options):
        return subprocess.run([sys.executable, "-m", "gangway.as_execnet", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, **options)

    return run


PROGRAM = """
import sys, execnet, gangway
assert execnet.Group is gangway.Group and __name__ == "__main__"
import beside
gateway = execnet.makegateway()
where = gateway.remote_exec("import execnet; channel.send(execnet.__file__)").receive()
print(sys.argv, beside.value, where == execnet.__file__)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("value = 3\n")
    return tmp_path / "program.py"


def test_program(as_execnet, program):
    result = as_execnet(str(program), "-x", "1")
    assert result.stdout == "%r 3 True\n" % [str(program), "-x", "1"]
    assert result.stderr == ""


def test_module(as_execnet, program):
    result = as_execnet("-m", "program", "a", cwd=program.parent)
    assert result.stdout == "%r 3 True\n" % [str(program), "a"]


def test_console_script(as_execnet, program, monkeypatch):
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent) + os.pathsep + os.environ["PATH"])
    assert as_execnet("program.py").stdout == "%r 3 True\n" % [str(program)]


@pytest.mark.parametrize("words", [[], ["-x"], ["-m"], ["/nothing/here"]])
def test_wrong_arguments(as_execnet, words):
    result = as_execnet(*words)
    assert result.returncode == 1 and result.stderr


def test_directory(as_execnet):
    directory = as_execnet("--directory").stdout.strip()
    assert os.path.isfile(os.path.join(directory, "execnet", "__init__.py"))


def test_dropin_directory_is_enough(run, as_execnet, monkeypatch):
    result = run("import execnet; print(execnet.makegateway().remote_exec('import execnet, gangway; channel.send(3)').receive())",
                 PYTHONPATH=as_execnet("--directory").stdout.strip())
    assert (result.out, result.err) == ("3\n", "")


def test_signals_are_left_alone(run):
    assert run("import signal, execnet; print(signal.getsignal(2) is signal.default_int_handler)").out == "True\n"
