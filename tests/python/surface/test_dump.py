"""dumps, loads, dump, load."""

import enum
import io
import math
import mmap
import struct

import execnet
import pytest

dumps, loads = execnet.dumps, execnet.loads

# Without the version byte and the stop.
CODES = [
    (None, b"L"), (True, b"R"), (False, b"C"), (0, b"F\0\0\0\0"), (-1, b"F\xff\xff\xff\xff"),
    (2**31 - 1, b"F\x7f\xff\xff\xff"), (-2**31, b"F\x80\0\0\0"), (2**31, b"H\0\0\0\x0a2147483648"),
    (1.5, b"D" + struct.pack("!d", 1.5)), (-0.0, b"D" + struct.pack("!d", -0.0)),
    (1 + 2j, b"T" + struct.pack("!dd", 1, 2)), ("\u20ac", b"N\0\0\0\x03\xe2\x82\xac"), (b"ab", b"A\0\0\0\x02ab"),
    ([None, True], b"K\0\0\0\x02F\0\0\0\0LPF\0\0\0\x01RP"), ({"a": None}, b"JN\0\0\0\x01aLP"),
    ((None, 1), b"LF\0\0\0\x01@\0\0\0\x02"), ((), b"@\0\0\0\0"), ({None}, b"LO\0\0\0\x01"),
    (frozenset([None]), b"LE\0\0\0\x01"),
]
VERSION = dumps(None)[:1]


@pytest.mark.parametrize("value, code", CODES, ids=lambda value: repr(value)[:20])
def test_format(value, code):
    if isinstance(value, int) and abs(value) > 2**31 and VERSION == b"\1":
        pytest.skip("1.9")
    assert dumps(value) == VERSION + code + b"Q"
    back = loads(VERSION + code + b"Q")
    assert back == value and type(back) is type(value)


@pytest.mark.better("1.9 has another version")
def test_version():
    assert VERSION == b"\2"


@pytest.mark.better("struct.error")
def test_negative_big_ints():
    assert dumps(-2**31 - 1) == b"\2H\0\0\0\x0b-2147483649Q"
    assert loads(dumps(-2**70)) == -2**70


def test_nan_and_infinities():
    assert math.isnan(loads(dumps(float("nan"))))
    assert loads(dumps((float("inf"), float("-inf")))) == (float("inf"), float("-inf"))


def test_nested():
    value = {"a": [1, (2, {3: {frozenset([4]), b"5"}})], 6.0: [[[[]]]], (7, None): True}
    assert loads(dumps(value)) == value


def test_order_of_dicts():
    assert list(loads(dumps({"b": 1, "a": 2}))) == ["b", "a"]


@pytest.mark.parametrize("code, value", [
    (b"G\0\0\0\x05", 5), (b"I\0\0\0\x0212", 12), (b"M\0\0\0\x02\xe4b", b"\xe4b"), (b"S\0\0\0\x02\xc3\xa4", "\xe4")])
def test_opcodes_that_are_never_written(code, value):
    back = loads(VERSION + code + b"Q")
    assert back == value and type(back) is type(value)


def test_string_options():
    data = VERSION + b"M\0\0\0\x02\xe4bQ"
    assert loads(data, py2str_as_py3str=True) == "\xe4b"
    assert execnet.load(io.BytesIO(data), py2str_as_py3str=True) == "\xe4b"


@pytest.mark.better("1.9")
def test_str_as_bytes():
    assert loads(dumps("\xe4"), py3str_as_py2str=True) == b"\xc3\xa4"
    assert execnet.load(io.BytesIO(dumps("\xe4")), py3str_as_py2str=True) == b"\xc3\xa4"


class Number(enum.IntEnum):
    one = 1


class Text(str):
    pass


@pytest.mark.parametrize("value", [Number.one, Text("x"), bytearray(b"x"), memoryview(b"x"), range(3), len, object(),
                                   type, {1: [object()]}, [(Text("x"),)], {Text("x"): 1}], ids=repr)
def test_what_cannot_be_stored(value):
    with pytest.raises(execnet.gateway_base.DumpError, match="can't serialize"):
        dumps(value)


@pytest.mark.better("UnicodeEncodeError")
def test_surrogates_cannot_be_stored():
    with pytest.raises(execnet.DumpError):
        dumps("\ud800")


def test_cycles_are_an_exception():
    value = []
    value.append(value)
    with pytest.raises((RecursionError, execnet.DataFormatError)):
        dumps(value)


def test_loads_goes_deep():
    depth = 9000  # the limit is 10,000, where others give up at some hundreds
    value = loads(VERSION + b"K\0\0\0\x01F\0\0\0\0" * depth + b"L" + b"P" * depth + b"Q")
    for _ in range(depth):
        (value,) = value
    assert value is None


@pytest.mark.parametrize("data", [b"\x07LQ", VERSION + b"\xffQ", VERSION + b"LLQ", VERSION + b"Q"])
def test_what_is_no_dump(data):
    with pytest.raises(execnet.gateway_base.LoadError):
        loads(data)


@pytest.mark.better("assorted exceptions")
@pytest.mark.parametrize("data", [
    b"", b"N\0\0\0\x01\xffQ", b"F\0\0Q", b"K\0\0\0\x01F\0\0\0\x05LPQ", b"J" + b"JLPQ", b"N\xff\xff\xff\xffQ", b"LLPQ",
    b"B\0\0\0\x01Q", b"@\0\0\0\x05Q", b"A\x7f\xff\xff\xffabQ", b"H\0\0\0\x02x1Q"])
def test_corrupted(data):
    with pytest.raises(execnet.LoadError):
        loads(b"\2" + data if data else b"")


@pytest.mark.parametrize("data", [b"", b"L", b"K\0\0\0\x01F\0\0\0\0"])
def test_too_short(data):
    with pytest.raises(EOFError):
        loads(VERSION + data)


def test_what_follows_is_ignored():
    assert loads(dumps(1) + b"rest") == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_like(kind):
    assert loads(kind(dumps([1, "a"]))) == [1, "a"]


@pytest.mark.better("some are LoadErrors")
@pytest.mark.parametrize("value", ["text", None, 3, []])
def test_not_bytes_like(value):
    with pytest.raises(TypeError):
        loads(value)


def test_gaps_in_lists():
    assert loads(VERSION + b"K\0\0\0\x03F\0\0\0\x01RPQ") == [None, True, None]


def test_files(tmp_path):
    values = [1, "a" * 1000, [b"x", {}], None]
    with open(tmp_path / "dump", "wb") as file:
        for value in values:
            assert execnet.dump(file, value) is None
    with open(tmp_path / "dump", "rb") as file:
        assert [execnet.load(file) for _ in values] == values
        file.seek(0)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert [execnet.load(mapped) for _ in values] == values


def test_load_reads_one_document_and_uses_read_only():
    class Stream:
        def __init__(self, data):
            self.read = io.BytesIO(data).read

    stream = Stream(dumps([1]) + dumps("b") + b"rest")
    assert execnet.load(stream) == [1]
    assert execnet.load(stream) == "b"
    assert stream.read() == b"rest"


def test_errors_of_the_stream_propagate():
    class Stream:
        def read(self, n):
            raise KeyError("of the stream")

        write = read

    with pytest.raises(KeyError):
        execnet.load(Stream())
    with pytest.raises(KeyError):
        execnet.dump(Stream(), 1)
