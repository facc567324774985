"""Tracing."""

import re

import pytest

PROGRAM = """if 1:
    import execnet, os
    from execnet import gateway_base
    gateway = execnet.makegateway()
    gateway_base.trace("a", object(), 3)
    print(os.getpid(), gateway._rinfo().pid, getattr(gateway_base, "fn", None), gateway_base.trace is getattr(gateway_base, "notrace", None))
    execnet.default_group.terminate(5)
"""


def test_unset(run):
    result = run(PROGRAM, EXECNET_DEBUG="")
    assert result.err == "" and result.out.split()[3] == "True"


def test_stderr(run):
    result = run(PROGRAM, EXECNET_DEBUG="2")
    here, there, _, silent = result.out.split()
    lines = result.err.splitlines()
    assert silent == "False"
    assert all(re.match(r"\[\d+\] ", line) for line in lines)
    assert any(line.startswith("[%s] a <object" % here) and line.endswith("3") for line in lines)
    assert "creating workergateway" in [line for line in lines if line.startswith("[%s] " % there)][0]


@pytest.mark.better("1.9 does not flush")
def test_file(run, tmp_path):
    result = run(PROGRAM, EXECNET_DEBUG="1", TMPDIR=str(tmp_path))
    here, there, name, silent = result.out.split()
    assert result.err == "" and silent == "False"
    assert name == str(tmp_path / ("execnet-debug-" + here))
    assert "[%s] a <object" % here in open(name).read()
    assert "creating workergateway" in open(tmp_path / ("execnet-debug-" + there)).readline()


@pytest.mark.better("it is an exception")
def test_file_that_cannot_be_written(run, tmp_path):
    name = tmp_path / "full"
    name.mkdir()
    result = run("import os\nos.mkdir(os.path.join(%r, 'execnet-debug-%%d' %% os.getpid()))\n" % str(name) + "if 1:\n" +
                 PROGRAM[len("if 1:\n"):], EXECNET_DEBUG="1", TMPDIR=str(name))
    assert result.status == 0
