"""The subset of items.md by hand: what start-up needs of pickle, and what the C pickler is
wrong about. Importing _pickle costs 0.7 ms.
"""
from itertools import chain

from .wire import MAX_DEPTH, PICKLE
from .errors import TOO_DEEP, refuse
from .items import decode, dump


def spell(item):
    """An item in the subset of items.md, without pickle and without recursion: what we say
    about ourselves, and what the C pickler is wrong about (dumps)."""
    out = [b"\x80\4"]
    stack = [(b".", iter([item]))]
    while stack:
        end, values = stack.pop()
        for value in values:
            kind = type(value)
            if kind in SPELLING:
                if len(stack) >= MAX_DEPTH:
                    refuse(TOO_DEEP)
                begin, last = SPELLING[kind]
                out.append(begin)
                stack += (end, values), (last, chain(*value.items()) if kind is dict else iter(value))
                break
            if kind is str:
                value = value.encode("utf-8", "surrogatepass")  # dumps() will look at it
                out += b"X", len(value).to_bytes(4, "little"), value
            elif kind is int:
                size = value.bit_length() // 8 + 1
                out += b"\x8b", size.to_bytes(4, "little"), value.to_bytes(size, "little", signed=True)
            else:
                value = dump(value)
                out.append(value[11 if value[2] == 0x95 else 2:-1])  # without PROTO, FRAME, STOP
        else:
            out.append(end)
    return b"".join(out)


SPELLING = {list: (b"](", b"e"), tuple: (b"(", b"t"), dict: (b"}(", b"u"), set: (b"\x8f(", b"\x90"), frozenset: (b"(", b"\x91")}


def quick_loads(data):
    """A HELLO or EXEC, if it holds nothing unusual. Importing _pickle costs 0.7 ms."""
    stack = []
    marks = []
    push = stack.append
    at = 0
    while True:
        op = data[at]
        at += 1
        size = QUICK_SIZES[op]  # KeyError: something else
        number = int.from_bytes(data[at:at + size], "little")
        at += size
        if op in b"X\x8cC\x8a":
            value = data[at:at + number]
            at += number
            if op == 0x8A:
                push(int.from_bytes(value, "little", signed=True))
            else:
                push(value if op == 67 else str(value, "utf-8"))
        elif op in b"KMJ":
            push(number - (number >> 31 << 32))
        elif op in b"}(]":
            if op == 40:
                marks.append(len(stack))
            else:
                push({} if op == 125 else [])
        elif op in b"us":
            mark = marks.pop() if op == 117 else -2
            values = stack[mark:]
            del stack[mark:]
            stack[-1].update(zip(values[::2], values[1::2]))
        elif op == 0x86:
            stack[-2:] = [tuple(stack[-2:])]
        elif op == 46:
            return stack.pop()


# opcode -> bytes of its number: PROTO FRAME STOP, X 8c C LONG1, K M J, ( } ] s u TUPLE2
QUICK_SIZES = {128: 1, 149: 8, 46: 0, 88: 4, 140: 1, 67: 1, 138: 1, 75: 1, 77: 2, 74: 4, 40: 0, 125: 0, 93: 0,
               115: 0, 117: 0, 134: 0}


def plain_loads(data):
    try:
        return quick_loads(data)
    except Exception:
        return decode(PICKLE, data)
