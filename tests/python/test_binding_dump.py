"""gangway._gangway: dumps, loads and load."""
import io
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from binding import DumpError, LoadError, _gangway, errors  # noqa: E402, F401

DOCUMENTS = [
    (None, b"L"), (True, b"R"), (False, b"C"), (1, b"F\0\0\0\1"), (-2**31, b"F\x80\0\0\0"),
    (2**31, b"H\0\0\0\x0a2147483648"), (-2**31 - 1, b"H\0\0\0\x0b-2147483649"), (2**70, b"H\0\0\0\x161180591620717411303424"),
    (1.5, b"D\x3f\xf8\0\0\0\0\0\0"), (1j, b"T" + bytes(8) + b"\x3f\xf0" + bytes(6)),
    ("\xfc", b"N\0\0\0\2\xc3\xbc"), (b"ab", b"A\0\0\0\2ab"),
    ([None], b"K\0\0\0\1F\0\0\0\0LP"), ({"a": None}, b"JN\0\0\0\1aLP"), ((1, 2), b"F\0\0\0\1F\0\0\0\2@\0\0\0\2"),
    ({1}, b"F\0\0\0\1O\0\0\0\1"), (frozenset(), b"E\0\0\0\0"),
]


@pytest.mark.parametrize("value, body", DOCUMENTS)
def test_documents(value, body):
    document = b"\2" + body + b"Q"
    assert _gangway.dumps(value) == document
    for form in (document, bytearray(document), memoryview(document + b"more")):
        back = _gangway.loads(form)
        assert back == value and type(back) is type(value)


def test_load_reads_one_document_and_no_more():
    stream = io.BytesIO(b"".join(_gangway.dumps(value) for value, _ in DOCUMENTS) + b"rest")
    assert [_gangway.load(stream.read) for _ in DOCUMENTS] == [value for value, _ in DOCUMENTS]
    assert stream.read() == b"rest"
    with pytest.raises(EOFError):
        _gangway.load(io.BytesIO(b"\2L").read)


def test_load_from_a_stream_that_gives_less_than_it_is_asked_for():
    document = io.BytesIO(_gangway.dumps("text" * 50_000))
    assert _gangway.load(lambda size: document.read(min(size, 7))) == "text" * 50_000


def test_what_read_raises_comes_through():
    with pytest.raises(ZeroDivisionError):
        _gangway.load(lambda size: 1 / 0)
    with pytest.raises(TypeError):
        _gangway.load(lambda size: "text")
    with pytest.raises(LoadError):
        _gangway.load(lambda size: b"\2" * (size + 1))


def test_strings_of_python_2():
    assert _gangway.loads(b"\2M\0\0\0\1\xe4Q") == b"\xe4"
    assert _gangway.loads(b"\2M\0\0\0\1\xe4Q", py2str_as_py3str=True) == "\xe4"
    assert _gangway.loads(b"\2S\0\0\0\2\xc3\xbcQ") == "\xfc"
    assert _gangway.loads(b"\2N\0\0\0\2\xc3\xbcQ", py3str_as_py2str=True) == b"\xc3\xbc"
    assert _gangway.loads(b"\2G\0\0\0\1Q") == 1 and _gangway.loads(b"\2I\0\0\0\00212Q") == 12


def test_items_of_a_list_in_any_order():
    assert _gangway.loads(b"\2K\0\0\0\3F\0\0\0\2RPF\0\0\0\0CPF\0\0\0\0LPQ") == [None, None, True]


@pytest.mark.parametrize("document", [
    b"", b"\1LQ", b"\2Q", b"\2LLQ", b"\2zQ", b"\2LPQ", b"\2B\0\0\0\1Q", b"\2N\0\0\0\1\xffQ", b"\2F\0\0Q",
    b"\2A\x7f\xff\xff\xffQ", b"\2A\xff\xff\xff\xffQ", b"\2K\x7f\xff\xff\xffQ", b"\2JK\0\0\0\0LPQ", b"\2K\0\0\0\1F\0\0\0\1LPQ",
])
def test_bad_documents(document):
    with pytest.raises(LoadError):
        _gangway.loads(document)


def test_the_end_where_an_opcode_is_due():
    for document in (b"\2", b"\2L", b"\2K\0\0\0\1"):
        with pytest.raises(EOFError):
            _gangway.loads(document)
    for wrong in ("text", 1, None):
        with pytest.raises(TypeError):
            _gangway.loads(wrong)


def test_what_cannot_be_stored():
    for wrong in (object(), bytearray(), range(2), [object()], {1: len}, int, "\ud800", type("T", (str,), {})("x")):
        with pytest.raises(DumpError, match="can't serialize"):
            _gangway.dumps(wrong)
    nested = []
    nested.append(nested)
    with pytest.raises(DumpError):
        _gangway.dumps(nested)
