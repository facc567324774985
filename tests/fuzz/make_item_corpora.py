#!/usr/bin/env python3
"""Writes the seed corpora of item_decoder and dump_decoder: python3 make_item_corpora.py"""
import io
import pathlib
import pickle
import struct

HERE = pathlib.Path(__file__).parent / "corpus"

VALUES = [
    None, True, False, 0, 255, 256, -1, 2**31, -2**63, 2**64, 10**40, 0.0, float("nan"), 1.5 - 2j,
    "", "text", "h\xe4\u20ac\U0001f600", "x" * 300, b"", b"\x00\xff", b"y" * 300,
    [], [1], [1, 2, [3, [4]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4),
    {}, {"a": 1}, {"a": 1, 2: None, (1, 2): b"x", frozenset({1}): {}}, {i: i for i in range(12)},
    set(), {1, 2}, frozenset(), frozenset({frozenset({1}), 2}),
    [{"id": i, "name": "item %d" % i, "score": i / 7, "tags": ["a", "b"], "ok": True} for i in range(4)],
]
CHANNEL = b"\x80\x04\x8c\x08_gangway\x8c\x07channel\x93K\x03\x85R."


def pickled(value):
    out = io.BytesIO()
    pickler = pickle.Pickler(out, 4)
    pickler.fast = True
    pickler.dump(value)
    return out.getvalue()


def dumped(value):
    """The dump format, as far as the values above need it."""
    def run(opcode, data):
        return opcode + struct.pack("!i", len(data)) + data

    def body(v):
        if v is None or v is True or v is False:
            return {None: b"L", True: b"R", False: b"C"}[v]
        if type(v) is int:
            return b"F" + struct.pack("!i", v) if -2**31 <= v < 2**31 else run(b"H", str(v).encode())
        if type(v) is float:
            return b"D" + struct.pack("!d", v)
        if type(v) is complex:
            return b"T" + struct.pack("!dd", v.real, v.imag)
        if type(v) is str:
            return run(b"N", v.encode())
        if type(v) is bytes:
            return run(b"A", v)
        if type(v) is list:
            items = b"".join(body(i) + body(item) + b"P" for i, item in enumerate(v))
            return b"K" + struct.pack("!i", len(v)) + items
        if type(v) is dict:
            return b"J" + b"".join(body(k) + body(item) + b"P" for k, item in v.items())
        opcode = {tuple: b"@", set: b"O", frozenset: b"E"}[type(v)]
        return b"".join(map(body, v)) + opcode + struct.pack("!i", len(v))

    return b"\x02" + body(value) + b"Q"


def write(target, inputs):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (folder / ("seed-%02d" % number)).write_bytes(data)


items = [b"\x01" + pickled(value) for value in VALUES]
items += [b"\x01" + CHANNEL, b"\x02bytes", b"\x03h\xc3\xa4", b"\x04\x01\x00\x00\x00\x00\x00\x00\x80"]
# Texts by number (MEMOIZE, BINGET): keys, members of a set, one that is not there.
items += [b"\x01\x80\x04](}\x8c\x02id\x94K\x01s}h\0K\x02s}h\0\x8c\x01x\x94s\x8f(h\1h\0\x90e.", b"\x01\x80\x04\x8c\x01a\x94h\1\x86."]


def array(dtype=b"<i4", order=b"C", shape=(2, 3), size=None, data=None):
    """An array item; what is given is not made to fit."""
    data = bytes(24) if data is None else data
    head = b"\x8c\x08_gangway\x8c\x05array\x93(\x8c" + bytes([len(dtype)]) + dtype + b"\x8c\x01" + order + b"("
    sizes = b"".join(b"\x8a\x08" + struct.pack("<Q", count) for count in shape)
    return head + sizes + b"t\x8e" + struct.pack("<Q", len(data) if size is None else size) + data + b"tR"


ARRAYS = [array(), array(b"|u1", b"F", (24,)), array(shape=()), array(shape=(), data=bytes(4)), array(shape=(0, 2**62), data=b""),
          array(shape=(2**62, 2**62)), array(shape=(2**63,)), array(b"|O8"), array(b"<i3"), array(size=2**63), array(shape=(1,) * 33),
          b"](" + array() + array() + b"e", b"}" + array() + b"Ns"]
items += [b"\x01\x80\x04" + text + b"." for text in ARRAYS]
write("item_decoder", items)

python_2 = [b"\x02M\x00\x00\x00\x02a\xe4Q", b"\x02S\x00\x00\x00\x01aQ", b"\x02G\x00\x00\x00\x05Q",
            b"\x02I\x00\x00\x00\x02-5Q", b"\x02K\x00\x00\x00\x03F\x00\x00\x00\x01RPQ"]
write("dump_decoder", [bytes([i % 4]) + doc for i, doc in enumerate([dumped(v) for v in VALUES] + python_2)])
