"""Items of the portable agent: every type there and back, what is refused, and how it is written."""
import os
import pickle
import struct
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import BEGIN, CREDIT, END, INT, ChannelReference, dumps, frame, item_frames  # noqa: E402
from portable import agent, pytest_generate_tests, python, start  # noqa: E402, F401


ITEMS = [
    None, True, False, 0, 1, -1, 255, 256, 2**31, -2**31, 2**63 - 1, -2**63, 2**63, -2**63 - 1, 2**70, -2**1000, 10**5000,
    0.0, -0.0, 1.5, float("inf"), 1j, complex(-0.0, 2.5), "", "x", "äöü€\U0001f600", "a\0b", "x" * 70000, b"", b"\0\xff",
    b"y" * 70000, os.urandom(1 << 20), [], [1], [[]], [1, "a", b"b", None, 2.5, True], (), (1,), (1, 2), (1, 2, 3),
    (1, 2, 3, 4), {}, {"a": 1}, {1: {2: {3: []}}}, set(), {1, 2}, frozenset(), frozenset([1, "x"]), [complex(1, 2)] * 3,
    {(1, frozenset([2])): [b"z" * 300]}, ["s" * 300, b"b" * 300], list(range(2000)), [{"k%d" % i: i} for i in range(1500)],
    ["\ud7ff\ue000"],
]


@pytest.mark.core
@pytest.mark.parametrize("window", [0, 1024, 1 << 24])
def test_items_come_back_equal(python, window):
    with start(python, window=window) as agent:
        source = "for x in channel: channel.send(x)"
        number = agent.remote_exec(source)
        if window:
            agent.credit[number] = window - len(dumps({"source": source})) - 32
            got = exchange(agent, number, ITEMS)
        else:
            got = []
            for item in ITEMS:
                agent.send(number, item)
                got.append(agent.receive(number))
        for item, back in zip(ITEMS, got):
            assert back == item and (not isinstance(item, (float, complex)) or repr(back) == repr(item))
            assert type(back) is type(item)


def exchange(agent, number, items):
    """Sends and receives each item within the window, frame by frame."""
    got = []
    for item in items:
        whole = item_frames(number, item)
        word, _ = struct.unpack_from("<II", whole)
        tag = word & 15
        payload = b""
        at = 0
        while at < len(whole):
            word, _ = struct.unpack_from("<II", whole, at)
            part = whole[at + 8:at + 8 + (word >> 8)]
            payload += part[8:] if word & 0x30 == BEGIN else part
            at += 8 + (word >> 8)
        total = len(payload)
        done = 0
        begun = False
        while not begun or done < total:
            wait_for_credit(agent, number, 32 + 8 + min(total, 9))
            credit = agent.credit[number]
            if not begun and total + 32 <= credit and total <= 65536:
                agent.write(frame(BEGIN | END | tag, number, payload))
                agent.credit[number] -= total + 32
                done = total
            elif not begun:
                assert tag != INT
                size = min(65528, credit - 40)
                agent.write(frame(BEGIN | tag, number, struct.pack("<Q", total) + payload[:size]))
                agent.credit[number] -= 40 + size
                done = size
            else:
                size = min(65536, credit, total - done)
                flag = END if done + size == total else 0
                agent.write(frame(flag | tag, number, payload[done:done + size]))
                agent.credit[number] -= size
                done += size
            begun = True
        got.append(agent.receive(number))
        take_credit(agent, number)
    return got


def take_credit(agent, number):
    rest = []
    for kind, n, payload in agent.frames:
        if kind == CREDIT and n == number:
            agent.credit[number] += struct.unpack("<Q", payload)[0]
        else:
            rest.append((kind, n, payload))
    agent.frames = rest


def wait_for_credit(agent, number, needed):
    take_credit(agent, number)
    while agent.credit[number] < needed:
        _, _, payload = agent.wait_for(lambda kind, n, _: kind == CREDIT and n == number)
        agent.credit[number] += struct.unpack("<Q", payload)[0]


@pytest.mark.parametrize("expression, name", [
    ("object()", "object"), ("int", "type"),
    ("[len]", "builtin_function"), ("lambda: 0", "function"), ("complex", "type"), ("[complex, 1j]", "type"),
    ("Ellipsis", "ellipsis"), ("{'a': NotImplemented}", "NotImplementedType"), ("range(3)", "range"),
    ("type('I', (int,), {})(3)", "I"), ("[type('S', (str,), {})('x')]", "S"), ("'\\ud800'", "surrogates"),
    ("['\\ud800']", "surrogates"), ("{'\\ud800': 1}", "surrogates"), ("ValueError('x')", "ValueError"),
    ("__import__('collections').OrderedDict()", "OrderedDict"), ("1 << (8 << 20)", "int"), ("[1 << (8 << 20)]", "int"),
    ("bytearray", "type"), ("__import__('os')", "module"), ("channel.send", "method"),
])
def test_anything_else_is_a_dump_error_and_nothing_is_sent(agent, expression, name):
    items = agent.run("""
try:
    channel.send(%s)
except Exception as e:
    channel.send((type(e).__name__, str(e)))
channel.send([complex(1, 2)])
""" % expression)
    assert items[0][0] == "DumpError" and "can't serialize" in items[0][1]
    assert any(part in items[0][1] for part in name.split("|"))
    assert items[1:] == [[1 + 2j]]


@pytest.mark.core
@pytest.mark.parametrize("limit", [1000, 2000])
def test_depth_is_not_looked_for_in_what_a_buffer_belongs_to(agent, limit):
    """The classes of these lead to their modules, and from there everywhere."""
    assert agent.run("""
import array, ctypes, sys
sys.setrecursionlimit(%d)
for item in array.array("B", bytes(5000)), (ctypes.c_ubyte * 5000)(), [memoryview(array.array("B", bytes(5000)))]:
    channel.send(item)
""" % limit) == [bytes(5000), bytes(5000), [bytes(5000)]]


@pytest.mark.core
def test_cycles_and_depth_are_dump_errors(agent):
    assert agent.run("""
import sys
def nested(n, kind=list):
    item = kind()
    for i in range(n - 1):
        item = [item] if kind is list else {0: item}
    return item
cyclic = []
cyclic.append(cyclic)
other = {}
other["x"] = [other]
for item in cyclic, other, nested(1001), nested(5000, dict), nested(100000):
    try:
        channel.send(item)
    except Exception as e:
        channel.send(type(e).__name__)
sys.setrecursionlimit(100000)
try:
    channel.send(nested(1001))
except Exception as e:
    channel.send(type(e).__name__)
channel.send(nested(200))
""")[:6] == ["DumpError"] * 6


@pytest.mark.core
def test_what_only_looks_like_a_surrogate_travels_and_a_surrogate_among_it_does_not(agent):
    """A float may hold the bytes of a surrogate, and of the opcode of a huge int."""
    number = agent.remote_exec("""
import struct
alike = struct.unpack(">d", b"\\x40\\xed\\xb0\\x80\\x8b\\x01\\x00\\x10")[0]
def items(last):
    korean = "\\ud558\\uc138\\uc694"
    row = {"a": alike, "b": [korean, b"\\xed\\xb0\\x80"], korean: (alike, 1.5)}
    return [row] * 300 + [{"deep": {i: [row, last] for i in range(40)}}] + [alike] * 300
good = "x\\ud7ff\\ue000", 1 << 70, b"\\xed\\xa0\\x80" * 400000
for last in good + ("x\\ud800", "\\udfff", {"\\udc00": 1}, [b"x" * 1100000, 1 << (8 << 20)]):
    try:
        channel.send(items(last) if type(last) is not bytes else [items(1), last])
    except Exception as error:
        channel.send(type(error).__name__)
""")
    alike = struct.unpack(">d", b"\x40\xed\xb0\x80\x8b\x01\x00\x10")[0]
    for last in "x\ud7ff\ue000", 1 << 70:
        received = agent.receive(number)
        assert received[300]["deep"][39][1] == last and received[-1] == alike
    assert agent.receive(number)[1] == b"\xed\xa0\x80" * 400000
    for _ in range(4):
        assert agent.receive(number) == "DumpError"
    agent.waitclose(number)


@pytest.mark.core
def test_any_number_of_frozensets_travels(agent):
    """CPython's pickler counts each of them as a level of nesting, and never takes one back."""
    number = agent.remote_exec("""
one = frozenset([1])
for i in range(120):
    channel.send([frozenset([i])])
for item in [frozenset([i]) for i in range(300)], [one] * 200, [[one] * 60, {2: (1j, None, True, 1.5, b"b" * 70000, "u" * 70000, -2**70)}]:
    channel.send(item)
deep = [frozenset([i]) for i in range(100)]
for i in range(850):
    deep = [deep]
channel.send(deep)
for bad in object(), "\\ud800", complex, [iter(())], 1 << (8 << 20):
    try:
        channel.send([one] * 100 + [bad])
    except Exception as error:
        channel.send((type(error).__name__, error.__suppress_context__ or error.__context__ is None, len(str(error)) < 200))
cyclic = [one] * 100
cyclic += cyclic, cyclic
try:
    channel.send(cyclic)
except Exception as error:
    channel.send(type(error).__name__)
channel.send([channel, one] * 60)
""")
    one = frozenset([1])
    for i in range(120):
        assert agent.receive(number) == [frozenset([i])]
    assert agent.receive(number) == [frozenset([i]) for i in range(300)]
    assert agent.receive(number) == [one] * 200
    assert agent.receive(number) == [[one] * 60, {2: (1j, None, True, 1.5, b"b" * 70000, "u" * 70000, -2**70)}]
    deep = agent.receive(number)
    for _ in range(850):
        [deep] = deep
    assert deep == [frozenset([i]) for i in range(100)]
    for _ in range(5):
        assert agent.receive(number) == ("DumpError", True, True)
    assert agent.receive(number) == "DumpError"
    assert agent.receive(number) == [ChannelReference(number), one] * 60
    agent.waitclose(number)


@pytest.mark.core
def test_deep_lists_travel(agent):
    assert agent.run("deep = []\nfor i in range(899): deep = [deep]\nchannel.send(deep)\nchannel.send(1)")[1] == 1


@pytest.mark.core
def test_pickles_use_only_the_subset(agent):
    import pickletools
    number = agent.remote_exec("channel.send([1, 'a', 'a', b'b', (1, 2.5), {1: {2}}, frozenset([3]), None, True, 1j, 1j, channel, 'a', 'a', 'b' * 65, 'b' * 65])")
    payload = agent.wait_for(lambda kind, n, p: n == number)[2]
    names = [op.name for op, _, _ in pickletools.genops(payload)]
    for before, name in zip(names, names[1:]):
        assert name != "MEMOIZE" or before in ("SHORT_BINUNICODE", "BINUNICODE")
    names = set(names) - {"MEMOIZE", "BINGET"}
    assert names <= {
        "PROTO", "FRAME", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "BININT1", "BININT2", "BININT", "LONG1", "LONG4", "BINFLOAT",
        "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "MARK", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE",
        "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET",
        "STACK_GLOBAL", "REDUCE"}
    assert ChannelReference(number) in pickle.loads(payload)


def test_item_over_the_limit_is_refused_before_anything_is_sent(python):
    with start(python, hello={"max_item": 100000}) as agent:
        assert agent.run("""
try:
    channel.send(bytes(100001))
except Exception as e:
    channel.send(type(e).__name__)
channel.send(len('x' * 100000))
""") == ["DumpError", 100000]
