#!/usr/bin/env python3
"""Random values through the C++ codecs and through CPython's pickle and execnet's dumps.

usage: codec_diff.py CODEC_FILTER [COUNT [SEED]]

Both sides must agree on every value, its types included, in both directions, and on its
repr. Without execnet (exit code 77 when it is missing and asked for) only pickle is
compared. execnet writes version 1 of the dump format, which differs in that byte only.
"""
import io
import math
import pickle
import random
import struct
import subprocess
import sys

try:
    import execnet
except ImportError:
    execnet = None

INTS = [0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -2**31, -2**31 - 1, 2**63 - 1, 2**63, -2**63,
        -2**63 - 1, 2**64, 10**40, -10**40]
FLOATS = [0.0, -0.0, 1.0, -1.5, 1e16, 1e15, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan,
          0.1, 123456.789, 1e22, 9007199254740993.0]
TEXTS = ["", "a", "it's", '"', "both ' and \"", "h\xe4llo", "\u20ac", "\U0001f600", "\x00\n\t\r\\\x7f", "builtins", "complex",
         "x" * 255, "y" * 256, "z" * 70000, "_gangway"]


def scalar(rng):
    return rng.choice([
        lambda: None, lambda: rng.random() < 0.5, lambda: rng.choice(INTS), lambda: rng.randrange(-300, 300),
        lambda: rng.getrandbits(rng.randrange(1, 3000)) * rng.choice([1, -1]), lambda: rng.choice(FLOATS),
        lambda: struct.unpack("d", rng.randbytes(8))[0], lambda: complex(rng.choice(FLOATS), rng.choice(FLOATS)),
        lambda: rng.choice(TEXTS), lambda: "".join(chr(rng.randrange(32, 127)) for _ in range(rng.randrange(20))),
        lambda: rng.randbytes(rng.choice([0, 1, 3, 255, 256])),
    ])()


def hashable(rng, depth):
    if depth == 0 or rng.random() < 0.7:
        return scalar(rng)
    items = [hashable(rng, depth - 1) for _ in range(rng.randrange(5))]
    return tuple(items) if rng.random() < 0.5 else frozenset(items)


def value(rng, depth):
    if depth == 0 or rng.random() < 0.3:
        return scalar(rng)
    size = rng.choice([0, 1, 2, 3, 4, 12, 30])
    kind = rng.randrange(5)
    if kind == 0:
        return [value(rng, depth - 1) for _ in range(size)]
    if kind == 1:
        return tuple(value(rng, depth - 1) for _ in range(size))
    if kind == 2:
        return {hashable(rng, 2): value(rng, depth - 1) for _ in range(size)}
    members = [hashable(rng, 2) for _ in range(size)]
    return set(members) if kind == 3 else frozenset(members)


def records(rng):
    """What has texts in it that repeat, and others that do not."""
    keys = [rng.choice(TEXTS[:11]) + str(rng.randrange(400)) for _ in range(rng.choice([1, 5, 60, 300]))]
    return [{key: rng.choice([i, key, keys[0], str(rng.random())]) for key in keys} for i in range(rng.randrange(12))]


def pickled(v):
    for make in pickle.Pickler, pickle._Pickler:
        out = io.BytesIO()
        pickler = make(out, 4)
        pickler.fast = True
        try:
            pickler.dump(v)
        except KeyError:  # CPython's C pickler with fast fails from 50 frozensets on
            continue
        return out.getvalue()
    raise AssertionError


def shape(v):
    """Something that is equal exactly for values of equal types and bits."""
    if type(v) in (list, tuple):
        return type(v).__name__, [shape(i) for i in v]
    if type(v) is dict:
        return "dict", [(shape(k), shape(i)) for k, i in v.items()]
    if type(v) in (set, frozenset):
        return type(v).__name__, sorted(repr(shape(i)) for i in v)
    if type(v) is float:
        return "float", struct.pack("d", v)
    if type(v) is complex:
        return "complex", struct.pack("dd", v.real, v.imag)
    return type(v).__name__, repr(v)


def same_text(v):
    """Whether the order of sets, which is Python's own, or unprintable characters play no part in the repr."""
    if type(v) in (list, tuple):
        return all(map(same_text, v))
    if type(v) is dict:
        return all(same_text(k) and same_text(i) for k, i in v.items())
    return type(v) not in (set, frozenset) or len(v) < 2 and all(map(same_text, v))


def record(data):
    return struct.pack("<I", len(data)) + data


def main():
    program, count, seed = sys.argv[1], int((sys.argv[2:] or ["3000"])[0]), int((sys.argv[3:] or ["1"])[0])
    if execnet is None:
        print("skipped: python3-execnet is not installed")
        return 77
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    rng = random.Random(seed)
    values = [scalar(rng) for _ in range(500)] + [value(rng, rng.randrange(1, 5)) for _ in range(count)]
    values += [records(rng) for _ in range(count // 20)]
    # execnet cannot write ints below -2**31, so its documents are made of values without.
    documents = []
    for v in values:
        try:
            documents.append(execnet.dumps(v))
        except struct.error:
            documents.append(execnet.dumps(None))
    data = b"".join(record(pickled(v)) + record(b"\x02" + d[1:]) for v, d in zip(values, documents))
    out = io.BytesIO(subprocess.run([program], input=data, stdout=subprocess.PIPE, check=True).stdout)

    def read():
        return out.read(struct.unpack("<I", out.read(4))[0])

    wrong = 0
    for v, document in zip(values, documents):
        stream, dump, text = read(), read(), read().decode()
        problems = []
        if not stream or shape(pickle.loads(stream)) != shape(v):
            problems.append("pickle")
        if not dump or shape(execnet.loads(b"\x01" + dump[1:])) != shape(execnet.loads(document)):
            problems.append("dump")
        if same_text(v) and text != repr(v):
            problems.append("repr: " + text[:200])
        if problems:
            wrong += 1
            print(problems, repr(v)[:300])
    print(len(values), "values,", wrong, "wrong, seed", seed)
    return 1 if wrong else 0


sys.exit(main())
