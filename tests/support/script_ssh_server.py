"""An ssh server that does one thing wrong: script_ssh_server.py MODE... prints its port, and serves until it is killed.

Everybody may log in, as whoever he wants to be, and is given a channel for a command, which sh runs: one after the
other, not two at a time. The modes:

    lose-status     the command's end is the end of the channel, and nothing is said of its status
    max-packet-0    the channel takes no packet with data in it
    window-0        the channel takes no data before it is said to, which never happens
    banners         1 MB of banners before the login
    no-auth         the login is asked for, and never answered
    die-at-auth     the connection ends when the login is asked for
    ask             when the client has sent the text "now flood", it is asked for channels without end
    ask-deaf        the same, and nothing is read any more
    alive-deaf      it is asked whether it is alive
    overflow        it is sent data, whatever the window
    none            nothing is wrong

curve25519-sha256, ssh-ed25519, aes128-ctr and hmac-sha2-256, which every client knows (RFC 4253, 4252, 4254, 8731).
"""
import contextlib
import hashlib
import hmac
import os
import socket
import struct
import subprocess
import sys
import threading

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MODES = sys.argv[1:]
VERSION = b"SSH-2.0-script"
HOST_KEY = Ed25519PrivateKey.generate()
WINDOW = 1 << 30


def raw(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def string(data):
    return struct.pack(">I", len(data)) + data


def mpint(data):
    data = data.lstrip(b"\0")
    return string(b"\0" + data if data and data[0] >= 0x80 else data)


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, size):
        part, self.data = self.data[:size], self.data[size:]
        return part

    def number(self):
        return struct.unpack(">I", self.take(4))[0]

    def string(self):
        return self.take(self.number())


class Server:
    def __init__(self, connection):
        self.connection = connection
        self.lock = threading.Lock()
        self.sent = self.received = 0
        self.encryptor = self.decryptor = None
        self.process = None
        self.deaf = False
        self.room = threading.Condition()
        self.window = self.max_packet = self.channel = 0  # the client's

    # --- packets

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.connection.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return self.decryptor.update(data) if self.decryptor else data

    def read(self):
        first = self.read_exactly(16 if self.decryptor else 4)
        size = struct.unpack(">I", first[:4])[0]
        packet = first + self.read_exactly(4 + size - len(first))
        if self.decryptor:
            decryptor, self.decryptor = self.decryptor, None
            mac = self.read_exactly(32)
            self.decryptor = decryptor
            assert mac == hmac.digest(self.mac_in, struct.pack(">I", self.received) + packet, "sha256")
        self.received += 1
        return packet[5:4 + size - packet[4]]

    def send(self, payload):
        with self.lock:
            padding = 16 - (len(payload) + 5) % 16
            padding += 16 if padding < 4 else 0
            packet = struct.pack(">IB", len(payload) + 1 + padding, padding) + payload + os.urandom(padding)
            if self.encryptor:
                mac = hmac.digest(self.mac_out, struct.pack(">I", self.sent) + packet, "sha256")
                self.connection.sendall(self.encryptor.update(packet) + mac)
            else:
                self.connection.sendall(packet)
            self.sent += 1

    # --- RFC 4253

    def exchange_keys(self):
        self.connection.sendall(VERSION + b"\r\n")
        theirs = b""
        while not theirs.endswith(b"\n"):
            theirs += self.connection.recv(1)
        lists = [b"curve25519-sha256", b"ssh-ed25519"] + 2 * [b"aes128-ctr"] + 2 * [b"hmac-sha2-256"] + 2 * [b"none"]
        init = b"\x14" + os.urandom(16) + b"".join(map(string, lists + [b"", b""])) + bytes(5)
        self.send(init)
        their_init = self.read()
        reader = Reader(self.read())
        assert reader.take(1) == b"\x1e"
        their_point = reader.string()
        secret = X25519PrivateKey.generate()
        shared = mpint(secret.exchange(X25519PublicKey.from_public_bytes(their_point)))
        host_key = string(b"ssh-ed25519") + string(raw(HOST_KEY))
        parts = (theirs.rstrip(b"\r\n"), VERSION, their_init, init, host_key, their_point, raw(secret))
        digest = hashlib.sha256(b"".join(map(string, parts)) + shared).digest()
        signature = string(b"ssh-ed25519") + string(HOST_KEY.sign(digest))
        self.send(b"\x1f" + string(host_key) + string(raw(secret)) + string(signature))
        self.send(b"\x15")
        assert self.read() == b"\x15"

        def key(letter, size):
            return hashlib.sha256(shared + digest + letter + digest).digest()[:size]

        def cipher(iv, letter):
            return Cipher(algorithms.AES(key(letter, 16)), modes.CTR(key(iv, 16)))

        self.decryptor, self.mac_in = cipher(b"A", b"C").decryptor(), key(b"E", 32)
        self.encryptor, self.mac_out = cipher(b"B", b"D").encryptor(), key(b"F", 32)

    # --- RFC 4252 and 4254

    def serve(self):
        self.exchange_keys()
        while not self.deaf:
            packet = self.read()
            handler = getattr(self, "on_%d" % packet[0], None)
            if handler:
                handler(Reader(packet[1:]))
        threading.Event().wait()

    def flood(self):
        if {"ask-deaf", "alive-deaf"}.intersection(MODES):
            self.deaf = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if "overflow" in MODES:
            packet = b"\x5e" + struct.pack(">I", self.channel) + string(bytes(30000))
        elif "alive-deaf" in MODES:
            packet = b"\x50" + string(b"keepalive@openssh.com") + b"\1"
        else:
            name = b"x" if self.deaf else b"x" * 15000
            packet = (b"\x5a" + string(b"forwarded-tcpip") + struct.pack(">III", 1, WINDOW, 32768) +
                      2 * (string(name) + struct.pack(">I", 1)))
        with contextlib.suppress(OSError):
            while True:
                self.send(packet)

    def on_1(self, _):
        raise EOFError

    def on_5(self, reader):
        self.send(b"\x06" + string(reader.string()))

    def on_50(self, _):
        if "die-at-auth" in MODES:
            raise EOFError
        if "no-auth" in MODES:
            return
        if "banners" in MODES:
            for _ in range(40):
                self.send(b"\x35" + string(b"x" * 25000) + string(b""))
        self.send(b"\x34")

    def on_80(self, reader):
        reader.string()
        if reader.take(1) != b"\0":
            self.send(b"\x52")

    def on_90(self, reader):
        reader.string()
        self.channel, self.window, self.max_packet = reader.number(), reader.number(), reader.number()
        window = 0 if "window-0" in MODES else WINDOW
        self.send(b"\x5b" + struct.pack(">IIII", self.channel, 0, window, 0 if "max-packet-0" in MODES else 32768))

    def on_93(self, reader):
        with self.room:
            reader.number()
            self.window += reader.number()
            self.room.notify()

    def on_94(self, reader):
        reader.number()
        data = reader.string()
        if b"now flood" in data:
            threading.Thread(target=self.flood, daemon=True).start()
        try:
            self.process.stdin.write(data)
        except OSError:  # it has ended
            pass

    def on_96(self, _):
        self.process.stdin.close()

    def on_97(self, _):
        self.process.stdin.close()

    def on_98(self, reader):
        reader.number()
        if reader.string() != b"exec":
            return
        reader.take(1)
        self.process = subprocess.Popen(["/bin/sh", "-c", reader.string()], bufsize=0, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True)
        self.send(b"\x63" + struct.pack(">I", self.channel))
        threading.Thread(target=self.carry_output, daemon=True).start()

    def carry_output(self):
        to = struct.pack(">I", self.channel)
        while True:
            with self.room:
                self.room.wait_for(lambda: self.window)
                room = min(self.window, self.max_packet)
            data = os.read(self.process.stdout.fileno(), room)
            if not data:
                break
            self.window_taken(len(data))
            self.send(b"\x5e" + to + string(data))
        status = self.process.wait()
        self.send(b"\x60" + to)
        if "lose-status" not in MODES:
            self.send(b"\x62" + to + string(b"exit-status") + b"\0" + struct.pack(">I", status & 255))
        self.send(b"\x61" + to)

    def window_taken(self, size):
        with self.room:
            self.window -= size


def serve(connection):
    server = Server(connection)
    try:
        server.serve()
    except (EOFError, OSError):
        pass
    finally:
        connection.close()
        if server.process:
            server.process.stdin.close()


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    os.write(1, b"%d\n" % listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=[connection], daemon=True).start()


if __name__ == "__main__":
    main()
