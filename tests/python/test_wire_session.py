"""spec-docs/wire-session.md against real agents: they answer what the recorded controller says.

What may differ is masked: names and numbers of this process, how a pickle is written, how much
a CREDIT gives, and where a traceback comes from. Where the recording has cut an item to the
credit of its time, it is cut anew.
"""
import os
import pickle
import re
import struct
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import (  # noqa: E402
    BEGIN, CLOSE_ERROR, CREDIT, END, HELLO, PICKLE, ROOT, STATUS_REPLY, frame)
from portable import pytest_generate_tests, python, start  # noqa: E402, F401

MARKER = b"<GW1 8899aabbccddeeff0011223344556677>\n"
WINDOW = 1024


def recording():
    """[(direction, what it is called there, bytes)]"""
    entries = []
    with open(os.path.join(ROOT, "spec-docs", "wire-session.md"), encoding="utf-8") as file:
        for line in file:
            head = re.match(r"    (c -> a|a -> c)  (.*)", line)
            row = re.match(r"    ([0-9a-f]{6})  ((?:[0-9a-f]{2} {1,2})+)", line)
            if head:
                entries.append([head.group(1), head.group(2), b"", None])
            elif row:
                entry = entries[-1]
                at = int(row.group(1), 16)
                begin = entry[3] = at if entry[3] is None else entry[3]
                while len(entry[2]) < at - begin:
                    entry[2] += entry[2][-16:]
                entry[2] += bytes.fromhex(row.group(2).replace(" ", ""))
            elif line.startswith("    *"):
                pass
    for i, entry in enumerate(entries):  # a * at the end: the frame knows its length
        if entry[2].startswith(b"<GW1"):
            continue
        size = 8 + (struct.unpack_from("<I", entry[2])[0] >> 8)
        while len(entry[2]) < size:
            entry[2] += entry[2][-16:]
        assert len(entry[2]) == size, entry[1]
    return [tuple(entry[:3]) for entry in entries]


def parse(data):
    word, number = struct.unpack_from("<II", data)
    return word & 0xFF, number, data[8:]


class Credit:
    """What the agent has given for channel 1, and what was spent of it."""

    def __init__(self, agent):
        self.agent = agent
        self.left = WINDOW

    def next_frame(self):
        """The next one that is no CREDIT."""
        while True:
            kind, number, payload = self.agent.next_frame()
            if kind != CREDIT:
                return kind, number, payload
            self.left += struct.unpack("<Q", payload)[0]
            assert 0 < self.left <= WINDOW and number == 1

    def wait(self):
        kind, number, payload = self.agent.next_frame()
        assert kind == CREDIT and number == 1
        self.left += struct.unpack("<Q", payload)[0]
        assert self.left <= WINDOW

    def send(self, data):
        """A frame of the controller's; continuations cut to the credit."""
        kind, number, payload = parse(data)
        if kind >= 0x40 or number != 1:
            return self.agent.write(data)
        if kind & BEGIN:
            while len(payload) + 32 > self.left:
                self.wait()
            self.left -= len(payload) + 32
            return self.agent.write(data)
        while payload:
            while not self.left:
                self.wait()
            piece, payload = payload[:self.left], payload[self.left:]
            self.left -= len(piece)
            self.agent.write(frame(kind & ~END if payload else kind, number, piece))


def masked(kind, payload):
    """What has to be the same for every agent."""
    if kind == HELLO:
        hello = pickle.loads(payload)
        return {key: type(value) if key in ("agent", "python", "implementation", "executable", "pid") else value
                for key, value in hello.items()}
    if kind == STATUS_REPLY:
        status = pickle.loads(payload[8:])
        return payload[:8], {key: status[key] for key in ("numchannels", "numexecuting", "execmodel")}
    if kind == BEGIN | END | PICKLE:
        return pickle.loads(payload)
    if kind == CLOSE_ERROR:  # it was interrupted, or was faster
        text = payload.decode().rstrip()
        return re.search("ZeroDivisionError: division by zero$|keyboard-?interrupt", text, re.I) and "error"
    return payload


@pytest.mark.core
@pytest.mark.parametrize("execution", range(3))
def test_agent_answers_the_recorded_controller_as_recorded(python, execution):
    entries = recording()
    assert entries[0][1].startswith("HELLO") and len(entries) > 25
    if "pypy" in python:  # there `del` is not the end of an object
        entries = [entry for entry in entries if entry[1] != "LAST_MESSAGE 2"]
    with start(python, handshake=False, send_hello=False) as agent:
        credit = Credit(agent)
        for direction, what, data in entries:
            if direction == "c -> a":
                credit.send(data)
            elif what == "the marker":
                assert data == MARKER
                agent.read_marker(MARKER)
            elif parse(data)[0] != CREDIT:
                kind, number, payload = credit.next_frame()
                expected = parse(data)
                assert (kind, number) == expected[:2], what
                assert masked(kind, payload) == masked(kind, expected[2]), (what, payload)
                assert masked(kind, payload) is not None
        assert agent.finish() == 0
        assert agent.stderr == b""
