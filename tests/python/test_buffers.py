"""Items with a buffer: bytes, or arrays that keep type and shape (spec-docs/items.md)."""
import array
import ctypes
import mmap
import os
import subprocess
import sys

import pytest

import gangway

numpy = pytest.importorskip("numpy", reason="numpy is not here: what arrives as an array cannot be told")

OLD = os.path.expanduser("~/.pyenv/versions/3.6.15/bin/python")
DTYPES = ["?", "i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">u8", "<f2", "<f4", ">f4", "<f8", ">f8", "<c8", "<c16", ">c16"]
ECHO = "for item in channel: channel.send(item)"
TYPES = "for item in channel: channel.send((type(item).__name__, repr(item)))"


@pytest.fixture(scope="module", params=["native", "portable"])
def gateway(request):
    group = gangway.Group()
    yield group.makegateway("popen//chdir=/tmp" + ("" if request.param == "native" else "//python=" + sys.executable))
    group.terminate(timeout=5)


@pytest.fixture(scope="module")
def without_numpy():
    if not os.path.exists(OLD):
        pytest.skip("no Python 3.6 in " + OLD)
    if subprocess.run([OLD, "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode == 0:
        pytest.skip("numpy is in " + OLD)
    group = gangway.Group()
    yield group.makegateway("popen//python=" + OLD)
    group.terminate(timeout=5)


def same(one, other):
    return (type(one) is type(other) is numpy.ndarray and one.dtype == other.dtype and one.dtype.str == other.dtype.str
            and one.shape == other.shape and one.tobytes() == other.tobytes())


def echoes(gateway, items):
    channel = gateway.remote_exec(ECHO)
    got = []
    for item in items:
        channel.send(item)
        got.append(channel.receive())
    return got


@pytest.mark.parametrize("item", [
    bytearray(b"abc"), bytearray(), memoryview(b"abc"), memoryview(b"abcdef")[::2], memoryview(bytearray(b"x" * 100000)),
    array.array("B", b"xyz"), memoryview(b"ab").cast("c"), (ctypes.c_ubyte * 3)(1, 2, 3)], ids=lambda item: type(item).__name__)
def test_plain_memory_arrives_as_bytes(gateway, item):
    whole, inside = echoes(gateway, [item, [1, {"a": item}]])
    assert type(whole) is bytes and whole == bytes(item)
    assert type(inside[1]["a"]) is bytes and inside == [1, {"a": bytes(item)}]
    channel = gateway.remote_exec(TYPES)
    channel.send(item)
    assert channel.receive() == ("bytes", repr(bytes(item)))


def test_a_mapped_file_arrives_as_bytes(gateway, tmp_path):
    (tmp_path / "file").write_bytes(b"m" * 70000)
    with open(tmp_path / "file", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert echoes(gateway, [mapped]) == [b"m" * 70000]


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (0, 3), (3, 0, 2), (2, 3, 4), (200, 300)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_keep_type_and_shape(gateway, dtype, shape):
    count = int(numpy.prod(shape))
    item = numpy.arange(count).reshape(shape).astype(dtype)
    whole, inside = echoes(gateway, [item, ("before", [item], "after")])
    assert same(whole, item) and whole.flags.writeable and whole.flags.owndata
    assert inside[::2] == ("before", "after") and same(inside[1][0], item)


@pytest.mark.parametrize("make", [
    numpy.asfortranarray, lambda item: item.T, lambda item: item[::2], lambda item: item[:, ::3], lambda item: item[::-1, ::-1],
    lambda item: item[:0], lambda item: numpy.broadcast_to(item[0], (4, 300))],
    ids=["fortran", "transposed", "steps", "columns", "backwards", "empty", "repeated"])
@pytest.mark.parametrize("dtype", ["<f8", ">i4", "<c8"])
def test_layouts(gateway, make, dtype):
    for rows in 3, 120:
        item = make(numpy.arange(rows * 300).reshape(rows, 300).astype(dtype))
        whole, inside = echoes(gateway, [item, [item]])
        assert same(whole, item) and same(inside[0], item)
        if item.flags.f_contiguous and not item.flags.c_contiguous:
            assert whole.flags.f_contiguous and inside[0].flags.f_contiguous


def test_read_only_arrays(gateway):
    item = numpy.arange(100000)
    item.flags.writeable = False
    whole, = echoes(gateway, [item])
    assert same(whole, item) and whole.flags.writeable


def test_other_arrays_arrive_as_numpys(gateway):
    matrix = memoryview(bytes(range(12))).cast("B", (3, 4))
    whole = echoes(gateway, [array.array("d", [1, 2.5]), array.array("b", [-1]), matrix, (ctypes.c_int * 2)(7, 8)])
    assert [(item.dtype.str, item.tolist()) for item in whole] == [
        ("<f8", [1, 2.5]), ("|i1", [-1]), ("|u1", [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]), ("<i4", [7, 8])]


class Bytes(bytes):
    pass


class Bytearray(bytearray):
    pass


class Array(numpy.ndarray):
    pass


@pytest.mark.parametrize("item, text", [
    (numpy.float64(1), "<class 'numpy.float64'>"), (numpy.int32(1), "<class 'numpy.int32'>"), (numpy.array(["a"]), "format '1w'"),
    (numpy.array([None]), "format 'O'"), (numpy.zeros(2, "M8[s]"), "dtype 'M'"), (numpy.zeros(2, "i4,f8"), "format 'T{"),
    (numpy.zeros(2).view(Array), "Array'>"), (numpy.ma.array([1]), "MaskedArray'>"), (Bytes(), "Bytes'>"), (Bytearray(), "Bytearray'>"),
    (ctypes.c_int(1), "c_int'>"), (numpy.zeros(1, "f16"), "format 'g'"), (object(), "<class 'object'>"), (bytearray, "<class 'type'>")],
    ids=lambda value: value if isinstance(value, str) else "")
def test_what_has_no_such_form_is_refused(gateway, item, text):
    channel = gateway.remote_exec(ECHO)
    for whole in item, [[item]]:
        with pytest.raises(gangway.DumpError) as info:
            channel.send(whole)
        assert text in str(info.value) and str(info.value).startswith("can't serialize <class ")
    channel.send(1)
    assert channel.receive() == 1


def refuses(channel):
    import ctypes

    import numpy

    class Array(numpy.ndarray):
        pass

    for item in (numpy.float64(1), numpy.array(["a"]), numpy.array([None]), numpy.zeros(2, "M8[s]"), numpy.zeros(2).view(Array),
                 ctypes.c_int(1), bytearray, numpy.zeros((1,) * 32)):
        try:
            channel.send([item])
        except Exception as error:
            channel.send("%s: %s" % (type(error).__name__, error))


def test_what_an_agent_refuses(gateway):
    texts = list(gateway.remote_exec(refuses))
    assert numpy.array_equal(texts.pop()[0], numpy.zeros((1,) * 32))
    ends = ["<class 'numpy.float64'>", "<class 'numpy.ndarray'>: elements of the format '1w'",
            "<class 'numpy.ndarray'>: elements of the format 'O'", "<class 'numpy.ndarray'>: cannot include dtype 'M' in a buffer",
            ".Array'>", "c_int'>", "<class 'type'>"]
    assert len(texts) == len(ends)
    for text, end in zip(texts, ends):
        assert text.startswith("DumpError: can't serialize <class ") and text.endswith(end)


def test_arrays_are_no_keys(gateway):
    channel = gateway.remote_exec("channel.receive()")
    with pytest.raises(gangway.RemoteError):
        channel.send({memoryview(b"abcd").cast("B", (2, 2)): 1})
        channel.waitclose()
    assert echoes(gateway, [{memoryview(b"ab"): 1}]) == [{b"ab": 1}]


def test_dumps_refuses_them():
    for item in bytearray(b"x"), memoryview(b"x"), numpy.zeros(2), array.array("i", [1]):
        with pytest.raises(gangway.DumpError, match="can't serialize <class '"):
            gangway.dumps(item)


def test_arguments_and_callbacks(gateway):
    def function(channel, data):
        channel.send(data.sum())  # a numpy scalar is refused
        
    channel = gateway.remote_exec(function, data=numpy.arange(5))
    with pytest.raises(gangway.RemoteError, match="can't serialize <class 'numpy.int64'>"):
        channel.receive()
    got = []
    channel = gateway.remote_exec("import numpy; channel.send(numpy.arange(3))")
    channel.setcallback(got.append)
    channel.waitclose()
    assert [item.tolist() for item in got] == [[0, 1, 2]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the resident memory of Linux")
def test_a_large_array_is_not_copied_on_its_way_out(group_of_agents):
    size = 128 << 20
    item = numpy.ones(size // 8)

    def peak():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

    channel = group_of_agents.remote_exec("item = channel.receive(); channel.send((item.shape[0], float(item.sum())))")
    with open("/proc/self/clear_refs", "w") as file:
        try:
            file.write("5")  # the peak starts from here
            file.flush()
        except OSError as error:
            pytest.skip("the peak of memory cannot be reset: %s" % error)
    before = peak()
    channel.send(item)
    assert channel.receive() == (size // 8, size / 8)
    assert peak() - before < size // 4


@pytest.fixture
def group_of_agents():
    group = gangway.Group()
    yield group.makegateway("popen")
    group.terminate(timeout=5)


def test_an_agent_without_numpy_gives_memoryviews(without_numpy):
    channel = without_numpy.remote_exec(
        "for item in channel: channel.send((type(item).__name__, item.format, item.shape, item.tolist(), item.readonly))")
    for item in (numpy.arange(6, dtype="<i4").reshape(2, 3), numpy.array([True, False]), numpy.zeros(0, "<f8"), numpy.array(2.5)):
        channel.send([item] and item)
        assert channel.receive() == ("memoryview", memoryview(item).format.replace("l", "q"), item.shape, item.tolist(), False)


@pytest.mark.parametrize("item", [numpy.zeros(2, ">i4"), numpy.zeros(2, "c8"), numpy.zeros((2, 2), order="F"), numpy.zeros((0, 2))],
                         ids=["order", "complex", "fortran", "empty"])
def test_an_agent_without_numpy_says_what_needs_it(without_numpy, item):
    channel = without_numpy.remote_exec("channel.receive()")
    channel.send(item)
    with pytest.raises(gangway.RemoteError, match="LoadError.*needs numpy, which is not here"):
        channel.waitclose()


def test_an_agent_without_numpy_sends_arrays(without_numpy):
    channel = without_numpy.remote_exec(
        "import array\n"
        "channel.send([array.array('d', [1, 2]), bytearray(b'x'), memoryview(b'abcd').cast('B', (2, 2)), 1j, channel])\n"
        "channel.send(array.array('q', range(100000)))\n"
        "channel.send(bytearray(b'y' * 100000))\n"
        "channel.send([memoryview(b'xyz')[::2], frozenset([1])] * 2000)")
    first, second, third, fourth = list(channel)
    assert first[0].tolist() == [1, 2] and first[1] == b"x" and first[2].tolist() == [[97, 98], [99, 100]]
    assert first[3] == 1j and first[4] is channel
    assert same(second, numpy.arange(100000)) and third == b"y" * 100000 and fourth == [b"xz", frozenset([1])] * 2000
