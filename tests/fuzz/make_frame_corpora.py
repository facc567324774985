#!/usr/bin/env python3
"""Writes the seed corpora of frame_parser, hostile_agent and hostile_gateway: python3 make_frame_corpora.py

Among them the session of spec-docs/wire-session.md, whole and frame by frame.
"""
import pathlib
import re
import struct

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent.parent / "spec-docs" / "wire-session.md"
CONTROLLER, AGENT, GREET, SMALL = 0, 1, 8, 16
PICKLE, BYTES, STR, INT, EXEC = range(1, 6)
BEGIN, END, WHOLE = 0x10, 0x20, 0x30
(HELLO, TERMINATE, PING, PONG, STATUS, STATUS_REPLY, CREDIT, CLOSE, CLOSE_ERROR, LAST_MESSAGE, OPEN,
 INTERRUPT) = range(0x40, 0x4c)
STACKS_REPLY, NEED = 0x4e, 0x80


def recorded():
    """The frames of the page: [(direction, what, bytes)]"""
    frames = []
    for line in PAGE.read_text("ascii").splitlines():
        if match := re.match(r"    (c -> a|a -> c)  (.*)", line):
            frames.append([match[1], match[2], b"", 0])
        elif match := re.match(r"    ([0-9a-f]{6})  ((?:[0-9a-f]{2} +)+) *\|", line):
            offset, row = int(match[1], 16), bytes.fromhex(match[2])
            frame = frames[-1]
            if not frame[2]:
                frame[3] = offset
            while frame[3] + len(frame[2]) < offset:  # what the * stood for
                frame[2] += frame[2][-16:]
            frame[2] += row
    return [(direction, what, data) for direction, what, data, _ in frames]


def frame(kind, channel=0, payload=b""):
    return struct.pack("<II", kind | len(payload) << 8, channel) + payload


def u64(value):
    return struct.pack("<Q", value)


def write(target, inputs):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in inputs.items():
        (folder / name).write_bytes(data)


def streams():
    """name -> what a peer may say on channels 1 (the controller's) and 2 (the agent's), both open."""
    fragments = frame(BYTES | BEGIN, 1, u64(1000) + b"x" * 400) + frame(BYTES, 1, b"y" * 500)
    pickled = b"\x80\x04](K\x01\x8c\x03twoG?\xf0\0\0\0\0\0\0e."
    channel = b"\x80\x04\x8c\x08_gangway\x8c\x07channel\x93K\x02\x85R."
    return {
        "items": frame(INT | WHOLE, 1, u64(5)) + frame(STR | WHOLE, 1, b"text") + frame(BYTES | WHOLE, 1)
        + frame(PICKLE | WHOLE, 1, pickled),
        "fragments": fragments + frame(PING, 0, u64(1)) + frame(BYTES | END, 1, b"z" * 100),
        "fragments_cut": fragments + frame(CLOSE, 1) + frame(BYTES | END, 1, b"z" * 100),
        "fragments_wrong": fragments + frame(STR | END, 1, b"z" * 100),
        "channel": frame(OPEN, 2) + frame(PICKLE | WHOLE, 1, channel) + frame(INT | WHOLE, 2, u64(1)) + frame(CLOSE, 2),
        "opens": b"".join(frame(OPEN, 2 * i) for i in range(1, 20)),
        "pings": b"".join(frame(PING, 0, u64(i)) for i in range(200)),
        "ends": frame(LAST_MESSAGE, 1) + frame(CLOSE_ERROR, 3, "Traceback: \u00e4".encode()) + frame(CLOSE, 5),
        "credit": frame(CREDIT, 1, u64(100)) + frame(CREDIT, 1, u64(2**63)),
        "optional": frame(0x80, 9, b"skipped") + frame(0xff, 0, b"x" * 3000) + frame(PONG, 0, u64(3)),
        "status": frame(STATUS, 0, u64(1)) + frame(STATUS_REPLY, 0, u64(1) + b"\x80\x04}."),
        "exec": frame(OPEN, 1) + frame(EXEC | WHOLE, 1, b"\x80\x04}.") + frame(INTERRUPT, 1) + frame(TERMINATE),
        "too_long": struct.pack("<II", 0x32 | 0xffffff << 8, 1),
        "second_hello": frame(HELLO),
        "huge_item": frame(BYTES | BEGIN, 1, u64(2**63) + b"x"),
    }


session = recorded()
said = {way: b"".join(data for direction, _, data in session if direction == way) for way in ("c -> a", "a -> c")}
marker = next(data for _, what, data in session if what == "the marker")
MARKER = b"<GW1 " + b"0" * 32 + b">\n"  # hostile_agent's nonce is zero

seeds = {name: bytes([GREET, 1]) + data for name, data in streams().items()}
seeds.update({name + "_agent": bytes([GREET | AGENT, 2]) + data for name, data in streams().items()})
seeds.update({name + "_small": bytes([GREET | SMALL | 2, 3]) + data for name, data in streams().items()})
seeds["session_agent"] = bytes([AGENT | SMALL, 4]) + said["c -> a"]
seeds["session_controller"] = bytes([CONTROLLER, 5]) + said["a -> c"][len(marker):]
for number, (direction, _, data) in enumerate(session):
    if data != marker:
        seeds["session_%02d" % number] = bytes([GREET | (AGENT if direction == "c -> a" else CONTROLLER), number]) + data
write("frame_parser", seeds)

seeds = {name: bytes([4, 1]) + data for name, data in streams().items()}
rest = said["a -> c"][len(marker):]
seeds["session"] = bytes([0, 2]) + b"Welcome!\n" + MARKER + rest
seeds["session_wide"] = bytes([2, 3]) + MARKER + rest
seeds["noise"] = bytes([0, 4]) + b"<GW1 " + b"noise " * 2000
seeds["other_marker"] = bytes([0, 5]) + marker + rest
write("hostile_agent", seeds)

GREETED, OPEN_END, OUTPUT = 1, 2, 4
hello = next(data for way, what, data in session if way == "a -> c" and data != marker)
answers = {
    "status": frame(STATUS_REPLY, 0, u64(1) + b"\x80\x04}\x8c\x05tasks](K\x01}\x8c\x03age\x8c\x04soones."),
    "stacks": frame(STATUS_REPLY, 0, u64(1) + b"\x80\x04}.") + frame(STACKS_REPLY, 0, u64(2) + b"\x1b[31mred"),
    "need": frame(NEED, 0, b"status") + frame(NEED, 0, b"\xff\0"),
}
seeds = {name: bytes([GREETED, 1]) + hello + data for name, data in {**streams(), **answers}.items()}
seeds.update({name + "_open": bytes([GREETED | OPEN_END | OUTPUT, 2]) + hello + data for name, data in answers.items()})
seeds["portable"] = bytes([0, 3]) + b"GW1 portable\n" + marker + hello
seeds["refused"] = bytes([0, 4]) + b"GW1 refused because \x1b[0m\n"
seeds["death"] = bytes([0, 5]) + b"GW1 death status 3\n"
seeds["error"] = bytes([GREETED, 6]) + frame(HELLO, 0, b"\x80\x04}(\x8c\x08protocolK\x01K\0\x86\x8c\x05error\x8c\x02nou.")
write("hostile_gateway", seeds)
