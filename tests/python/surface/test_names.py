"""Names, and the classes of exceptions."""

import copy
import importlib
import os
import pickle

import execnet
import pytest

NAMES = """Channel DataFormatError DumpError Gateway Group HostNotFound LoadError MultiChannel RSync RemoteError
    TimeoutError XSpec __version__ default_group dump dumps load loads makegateway set_execmodel""".split()

SUBMODULES = {
    "gateway": ["Gateway"],
    "gateway_base": ["Channel", "RemoteError", "TimeoutError", "DataFormatError", "DumpError", "LoadError", "dumps",
                     "loads", "dump", "load"],
    "gateway_bootstrap": ["HostNotFound"],
    "multi": ["Group", "MultiChannel", "default_group", "makegateway", "set_execmodel"],
    "rsync": ["RSync"],
    "xspec": ["XSpec"],
}


@pytest.mark.better("1.9 has fewer names")
@pytest.mark.parametrize("name", NAMES)
def test_name_is_exported(name):
    assert hasattr(execnet, name)
    assert name in execnet.__all__


@pytest.mark.better("1.9")
def test_version_is_at_least_2_1_2():
    assert isinstance(execnet.__version__, str)
    assert tuple(map(int, execnet.__version__.split(".")[:3])) >= (2, 1, 2)


@pytest.mark.better("1.9 has fewer names")
@pytest.mark.parametrize("module", SUBMODULES)
def test_submodule_has_the_same_objects(module):
    found = importlib.import_module("execnet." + module)
    assert getattr(execnet, module) is found
    for name in SUBMODULES[module]:
        assert getattr(found, name) == getattr(execnet, name)


@pytest.mark.better("1.9")
def test_more_names_of_gateway_base():
    from execnet.gateway_base import ExecModel, WorkerPool, get_execmodel

    assert isinstance(get_execmodel("thread"), ExecModel)
    assert callable(WorkerPool)


def test_dropin_is_gangway(request):
    if request.config.getoption("--oracle"):
        pytest.skip("not with the oracle")
    import gangway

    for name in gangway.__all__:
        assert getattr(execnet, name) == getattr(gangway, name)
    assert set(NAMES) | {"amakegateway"} == set(gangway.__all__)


def test_makegateway_and_set_execmodel_are_those_of_the_default_group():
    assert isinstance(execnet.default_group, execnet.Group)
    assert execnet.makegateway == execnet.default_group.makegateway
    assert execnet.set_execmodel == execnet.default_group.set_execmodel


def test_exception_bases():
    from execnet import gateway_base as base

    assert base.RemoteError.__bases__ == (Exception,)
    assert issubclass(base.TimeoutError, OSError)
    assert base.TimeoutError is not TimeoutError
    assert base.DataFormatError.__bases__ == (Exception,)
    assert base.DumpError.__bases__ == (base.DataFormatError,)
    assert base.LoadError.__bases__ == (base.DataFormatError,)
    assert issubclass(execnet.HostNotFound, Exception)


def test_remote_error_holds_its_text():
    error = execnet.RemoteError("some text")
    assert error.formatted == "some text"
    assert str(error) == "some text"
    assert error.args == ()
    assert repr(error) == "RemoteError: some text"


@pytest.mark.better("an error without args cannot be copied")
def test_remote_error_can_be_copied():
    for error in (copy.copy(execnet.RemoteError("x")), pickle.loads(pickle.dumps(execnet.RemoteError("x")))):
        assert type(error) is execnet.RemoteError and error.formatted == "x"


def test_warn_writes_one_line(capsys):
    execnet.RemoteError("some text").warn()
    assert capsys.readouterr().err == "[%d] Warning: unhandled RemoteError: some text\n" % os.getpid()


def test_warn_says_nothing_of_an_interrupt(capsys):
    execnet.RemoteError("keyboard-interrupted").warn()
    assert capsys.readouterr().err == ""


def test_channel_has_the_errors():
    from execnet.gateway_base import Channel

    assert Channel.RemoteError is execnet.RemoteError
    assert Channel.TimeoutError is execnet.TimeoutError


@pytest.mark.better("1.9 has another version")
def test_opcodes():
    from execnet.gateway_base import DUMPFORMAT_VERSION, opcode

    names = {name: value for name, value in vars(opcode).items() if not name.startswith("_")}
    assert DUMPFORMAT_VERSION == b"\x02"
    assert names == dict(
        BUILDTUPLE=b"@", BYTES=b"A", CHANNEL=b"B", FALSE=b"C", FLOAT=b"D", FROZENSET=b"E", INT=b"F", LONG=b"G",
        LONGINT=b"H", LONGLONG=b"I", NEWDICT=b"J", NEWLIST=b"K", NONE=b"L", PY2STRING=b"M", PY3STRING=b"N", SET=b"O",
        SETITEM=b"P", STOP=b"Q", TRUE=b"R", UNICODE=b"S", COMPLEX=b"T")
