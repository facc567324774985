"""XSpec."""

import copy

import execnet
import pytest

XSpec = execnet.XSpec


def test_parts_become_attributes():
    spec = XSpec("popen//python=python3 -x//chdir=/tmp//nice=3//id=w")
    assert spec.popen is True
    assert (spec.python, spec.chdir, spec.nice, spec.id) == ("python3 -x", "/tmp", "3", "w")


@pytest.mark.parametrize("text, key, value", [
    ("popen//python=a=b", "python", "a=b"),
    ("socket=host:80", "socket", "host:80"),
    ("popen//chdir=", "chdir", ""),
    ("popen//unheard_of=%20", "unheard_of", "%20"),
    ("popen//dont_write_bytecode", "dont_write_bytecode", True),
    ("a/b=1", "a/b", "1"),
])
def test_value_is_kept_as_written(text, key, value):
    assert getattr(XSpec(text), key) == value


def test_what_was_not_given_is_none():
    spec = XSpec("popen")
    for key in ("chdir", "execmodel", "id", "installvia", "nice", "python", "socket", "ssh", "ssh_config",
                "vagrant_ssh", "via", "nobody_ever_heard_of"):
        assert getattr(spec, key) is None
        assert hasattr(spec, key)


def test_private_names_are_missing():
    spec = XSpec("popen")
    assert not hasattr(spec, "_x")
    with pytest.raises(AttributeError):
        spec._nothing


@pytest.mark.parametrize("text, error", [
    ("", IndexError), ("popen//", IndexError), ("popen////id=3", IndexError), ("//popen", IndexError),
    ("popen//=3", IndexError), ("_x", AttributeError), ("popen//_spec=3", AttributeError),
    ("popen//popen", ValueError), ("id=1//id=2", ValueError), ("env=3", ValueError),
])
def test_what_is_no_spec_is_refused(text, error):
    with pytest.raises(error):
        XSpec(text)


def test_env():
    assert XSpec("popen").env == {}
    spec = XSpec("popen//env:A=1//env:B//env:A=2//env:C=x=y")
    assert spec.env == {"A": "2", "B": True, "C": "x=y"}


def test_attributes_can_be_assigned_and_text_stays():
    spec = XSpec("popen//id=3")
    spec.id = None
    spec.chdir = "/a//b"
    spec.new = 7
    assert (spec.id, spec.chdir, spec.new) == (None, "/a//b", 7)
    assert str(spec) == spec._spec == "popen//id=3"
    assert repr(spec) == "<XSpec 'popen//id=3'>"


def test_equality_and_hash_follow_the_text():
    spec, same = XSpec("popen//id=3"), XSpec("popen//id=3")
    same.chdir = "x"
    assert spec == same and not spec != same and hash(spec) == hash(same)
    assert len({(spec, 1), (same, 1)}) == 1
    assert spec != XSpec("id=3//popen") and not spec == XSpec("id=3//popen")
    assert spec != "popen//id=3" and spec != None and spec != 3  # noqa: E711


@pytest.mark.parametrize("text, same", [("popen", True), ("popen//chdir=x", False), ("ssh=x", False)])
def test_samefilesystem(text, same):
    assert bool(XSpec(text)._samefilesystem()) is same


def test_vars_are_what_was_given():
    assert vars(XSpec("popen//x=1")) == {"_spec": "popen//x=1", "env": {}, "popen": True, "x": "1"}


@pytest.mark.better("recursion")
def test_can_be_copied():
    assert vars(copy.deepcopy(XSpec("popen//env:A=1"))) == vars(XSpec("popen//env:A=1"))
