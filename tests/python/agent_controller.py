"""A reference controller: starts an agent and speaks spec-docs/wire.md, frame by frame.

Small and slow on purpose. It hands out raw frames, so that a test can look at every
byte and send what no real controller would. Not for use outside of tests.
"""
import io
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

BEGIN, END = 0x10, 0x20
PICKLE, BYTES, STR, INT, EXEC = 1, 2, 3, 4, 5
HELLO, TERMINATE, PING, PONG, STATUS, STATUS_REPLY = 0x40, 0x41, 0x42, 0x43, 0x44, 0x45
CREDIT, CLOSE, CLOSE_ERROR, LAST_MESSAGE, OPEN, INTERRUPT = 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B
RECONFIGURE, STACKS, STACKS_REPLY, PART, NEED = 0x4C, 0x4D, 0x4E, 0x4F, 0x80

NONCE = bytes(range(16))
MARKER = b"<GW1 08090a0b0c0d0e0f0001020304050607>\n"


class Packed(bytes):
    """The bundle; `parts` are what an agent may ask for later."""


def portable_agent(local=False, **constants):
    """(stage-0 text, deflated bundle), packed by Debian's interpreter as CMake does it.
    constants: values that replace those in the agent's sources, like END_GRACE=0.5."""
    code = "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, %r); import bundle, pickle; " \
        "b = bundle.bundle(**%r); d = b.local if %r else b.packed; " \
        "sys.stdout.buffer.write(pickle.dumps((bundle.stage0(len(d)), d, b.parts)))" % (
            os.path.join(ROOT, "python", "agent"), constants, local)
    stage0, data, parts = pickle.loads(subprocess.check_output(["/usr/bin/python3", "-c", code]))
    packed = Packed(data)
    packed.parts = parts
    return stage0, packed


class FastPickler(pickle._Pickler):
    """The subset of items.md: protocol 4 without a memo."""

    def __init__(self, file):
        super().__init__(file, 4)
        self.fast = True


class ChannelReference:
    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return _channel_global, (self.number,)

    def __eq__(self, other):
        return isinstance(other, ChannelReference) and other.number == self.number


def _channel_global(number):
    return ChannelReference(number)


_channel_global.__module__ = "_gangway"
_channel_global.__qualname__ = _channel_global.__name__ = "channel"
_module = type(sys)("_gangway")
_module.channel = _channel_global
sys.modules["_gangway"] = _module


def dumps(item):
    file = io.BytesIO()
    FastPickler(file).dump(item)
    return file.getvalue()


def frame(kind, number=0, payload=b""):
    return struct.pack("<II", kind | len(payload) << 8, number) + payload


def item_frames(number, item=None, tag=None, payload=None, cut=65536):
    """The frames of one item."""
    if payload is None:
        if type(item) is bytes:
            tag, payload = BYTES, item
        elif type(item) is str:
            tag, payload = STR, item.encode()
        elif type(item) is int and -2**63 <= item < 2**63:
            tag, payload = INT, struct.pack("<q", item)
        else:
            tag, payload = tag or PICKLE, dumps(item)
    if len(payload) <= cut:
        return frame(BEGIN | END | tag, number, payload)
    data = struct.pack("<Q", len(payload)) + payload
    pieces = [data[i:i + cut] for i in range(0, len(data), cut)]
    flags = [BEGIN] + [0] * (len(pieces) - 2) + [END]
    return b"".join(frame(flag | tag, number, piece) for flag, piece in zip(flags, pieces))


def reference(number):
    """The pickle of a channel."""
    return dumps(ChannelReference(number))


def part_payload(name, data):
    return bytes([len(name)]) + name.encode() + data


class RemoteError(Exception):
    pass


class Ended(Exception):
    """The stream or the channel has ended."""


class Agent:
    """One agent process. Frames that nobody asked for yet are kept in order."""

    def __init__(self, argv, packed=b"", hello=None, window=0, timeout=20, cwd=None, env=None, stderr=subprocess.PIPE,
                 send_hello=True, pipe_size=None, **popen):
        self.timeout = timeout
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0,
                                        cwd=cwd, env=env, start_new_session=True, **popen)
        self.fd_out = self.process.stdin.fileno()
        self.fd_in = self.process.stdout.fileno()
        self.buffer = b""
        self.ended = False
        self.frames = []
        self.next_number = 1
        self.partial = {}
        self.window = window
        self.credit = {}
        self.hello = None
        self.stderr = b""
        self.parts = getattr(packed, "parts", {})
        self.write(packed)
        if send_hello:
            config = {"protocol": (1, 0), "version": "test", "max_frame": 262144, "max_item": 1 << 31, "capabilities": [],
                      "nonce": NONCE, "id": "gw", "window": window, "max_channels": 1024, "execmodel": "thread", "debug": 0}
            config.update(hello or {})
            self.write(frame(HELLO, 0, dumps(config)))
            self.pending_hello = True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            if file:
                file.close()

    def write(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd_out, view):]

    def read_more(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.fd_in], [], [], left)[0]:
            raise TimeoutError("nothing from the agent")
        data = os.read(self.fd_in, 1 << 20)
        if not data:
            self.ended = True
            raise Ended("the stream has ended" + (": " + repr(self.buffer) if self.buffer else ""))
        self.buffer += data

    def read_marker(self, marker=MARKER):
        deadline = time.monotonic() + self.timeout
        while marker not in self.buffer:
            self.read_more(deadline)
        noise, _, self.buffer = self.buffer.partition(marker)
        return noise

    def handshake(self):
        self.noise = self.read_marker()
        kind, number, payload = self.next_frame()
        assert (kind, number) == (HELLO, 0)
        self.hello = pickle.loads(payload)
        return self.hello

    def next_frame(self, timeout=None):
        """The next frame on the stream: (kind, channel id, payload)."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            if len(self.buffer) >= 8:
                word, number = struct.unpack_from("<II", self.buffer)
                end = 8 + (word >> 8)
                if len(self.buffer) >= end:
                    payload = self.buffer[8:end]
                    self.buffer = self.buffer[end:]
                    assert word >> 8 <= 65536 or word & 0xFF == HELLO
                    if word & 0xFF == NEED and payload.decode() in self.parts:
                        self.send_part(payload.decode())
                        continue
                    if word & 0xFF == PING:
                        self.write(frame(PONG, 0, payload))
                        continue
                    return word & 0xFF, number, payload
            self.read_more(deadline)

    def send_part(self, name):
        self.write(frame(PART, 0, part_payload(name, self.parts[name])))

    def wait_for(self, match, timeout=None):
        """The first frame, kept or new, that matches; the others are kept."""
        for i, entry in enumerate(self.frames):
            if match(*entry):
                return self.frames.pop(i)
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            entry = self.next_frame(max(0, deadline - time.monotonic()))
            if match(*entry):
                return entry
            self.frames.append(entry)

    # -- channels

    def remote_exec(self, source, **request):
        number = self.next_number
        self.next_number += 2
        request["source"] = source
        self.write(frame(OPEN, number))
        self.write(item_frames(number, payload=dumps(request), tag=EXEC))
        return number

    def send(self, number, item):
        self.write(item_frames(number, item))

    def receive(self, number, timeout=None):
        """The next item on a channel; RemoteError or Ended at its end."""
        data = None
        total = tag = None
        while True:
            kind, _, payload = self.wait_for(
                lambda kind, n, _: n == number and (kind < 0x40 or kind in (CLOSE, CLOSE_ERROR)), timeout)
            if kind == CLOSE:
                self.frames.insert(0, (CLOSE, number, b""))
                raise Ended("closed")
            if kind == CLOSE_ERROR:
                self.frames.insert(0, (CLOSE, number, b""))
                raise RemoteError(payload.decode())
            cost = len(payload)
            if kind & BEGIN:
                assert data is None
                tag = kind & 15
                cost += 32
                if not kind & END:
                    total = struct.unpack_from("<Q", payload)[0]
                    payload = payload[8:]
                data = []
            assert kind & 15 == tag and data is not None
            data.append(payload)
            if self.window:
                self.write(frame(CREDIT, number, struct.pack("<Q", cost)))
            if kind & END:
                data = b"".join(data)
                assert total is None or len(data) == total
                if tag == INT:
                    return struct.unpack("<q", data)[0]
                return {PICKLE: pickle.loads, BYTES: bytes, STR: bytes.decode}[tag](data)

    def waitclose(self, number, timeout=None):
        """Drops items; returns at CLOSE."""
        while True:
            try:
                self.receive(number, timeout)
            except Ended:
                if self.ended:
                    raise
                return

    def run(self, source, **request):
        """The items of a task, as a list."""
        number = self.remote_exec(source, **request)
        items = []
        while True:
            try:
                items.append(self.receive(number))
            except Ended:
                if self.ended:
                    raise
                return items

    def status(self, request=7):
        self.write(frame(STATUS, 0, struct.pack("<Q", request)))
        payload = self.wait_for(lambda kind, n, _: kind == STATUS_REPLY)[2]
        assert struct.unpack_from("<Q", payload)[0] == request
        return pickle.loads(payload[8:])

    def ping(self, payload=b"12345678", timeout=None):
        start = time.monotonic()
        self.write(frame(PING, 0, payload))
        assert self.wait_for(lambda kind, n, p: kind == PONG, timeout)[2] == payload
        return time.monotonic() - start

    def terminate(self, timeout=20):
        """TERMINATE, then reads to the end; gives the exit status."""
        self.write(frame(TERMINATE))
        return self.finish(timeout)

    def finish(self, timeout=20):
        deadline = time.monotonic() + timeout
        try:
            while True:
                self.buffer = b""
                self.read_more(deadline)
        except Ended:
            pass
        status = self.process.wait(max(0.1, deadline - time.monotonic()))
        if self.process.stderr:
            self.stderr = self.process.stderr.read()
        return status

    def half_close(self):
        self.process.stdin.close()
