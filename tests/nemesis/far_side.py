"""The far side of the nemesis test: tasks that check what they get, and tasks that misbehave.

Each function is called with its channel; its source is this file.
"""
import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading
import time

INTEGER, BYTES, TEXT, STRUCTURE = range(4)


class Found(Exception):
    """Something arrived that should not have."""


def make_item(form, lane, number, size):
    if form == INTEGER:
        return lane << 32 | number
    if form == BYTES:
        return struct.pack("<II", lane, number) * size
    text = "%d.%d;" % (lane, number)
    if form == TEXT:
        return text * size
    return lane, number, [{"at": at, "half": number / 2.0, "text": text, lane: (None, True)} for at in range(size)]


def read_item(item):
    """(lane, number) of an item that is undamaged."""
    if isinstance(item, int):
        return item >> 32, item & 0xffffffff
    if isinstance(item, bytes):
        lane, number = struct.unpack_from("<II", item)
        good = item == make_item(BYTES, lane, number, len(item) // 8)
    elif isinstance(item, str):
        lane, number = map(int, item[:item.index(";")].split("."))
        good = item == make_item(TEXT, lane, number, item.count(";"))
    else:
        lane, number, parts = item
        good = item == make_item(STRUCTURE, lane, number, len(parts))
    if not good:
        raise Found("item %d of lane %d is damaged" % (number, lane))
    return lane, number


def tell(text):
    """A channel may be gone by now; the file is read at the end of a round."""
    with open(os.environ["NEMESIS_FOUND"], "a") as file:
        file.write("pid %d: %s\n" % (os.getpid(), text))


def checked(function):
    """What a task finds is told in two ways."""
    def run(channel, **kwargs):
        try:
            function(channel, **kwargs)
        except Found as found:
            tell(str(found))
            raise RuntimeError("nemesis: %s" % found)
    run.__name__ = function.__name__
    return run


def received(channel):
    """The items of a channel. After the end there must be nothing more."""
    for item in channel:
        yield item
    for _ in range(2):
        try:
            item = channel.receive(0.0)
        except EOFError:
            continue
        except channel.TimeoutError:
            raise Found("receive timed out after the end")
        raise Found("%.80r arrived after the end" % (item,))


def in_thread(function, channel, *args):
    def run():
        try:
            function(channel, *args)
        except Found as found:
            tell(str(found))
            close(channel, "nemesis: %s" % found)
        except Exception:  # the end of a channel comes in many forms
            close(channel)
        else:
            close(channel)
    thread = threading.Thread(target=run)
    thread.daemon = True
    thread.start()


def close(channel, error=None):
    try:
        channel.close(error)
    except Exception:
        pass


def answer(channel):
    """Sends back what arrives, until None; then says how many items there were of each lane."""
    counts = {}
    for item in received(channel):
        if item is None:
            channel.send({"report": counts})
            return
        if isinstance(item, dict):
            lane, count = item["open"], item["count"]
            opened = channel.gateway.newchannel()
            channel.send(("channel", lane, count, opened))
            in_thread(send_all, opened, lane, count, item["form"], item["size"])
        elif hasattr(item, "receive"):
            in_thread(answer, item)
        else:
            lane, number = read_item(item)
            if number != counts.get(lane, 0):
                raise Found("item %d of lane %d arrived, and %d was to come" % (number, lane, counts.get(lane, 0)))
            counts[lane] = number + 1
            channel.send(item)


def send_all(channel, lane, count, form, size):
    for number in range(count):
        channel.send(make_item(form, lane, number, size))
    channel.send({"report": {lane: count}})


def send_back_lines(channel, binary):
    """The same with lines, by files; they come and go in pieces. `stop` is the last one."""
    source, sink = channel.makefile("r"), channel.makefile("w")
    count = 0
    while True:
        line = source.readline()
        text = line.decode() if binary and line else line
        if not text[-1:] == "\n":
            return  # the channel was closed
        if text == "stop\n":
            break
        number = read_item(text[:-1])[1]
        if number != count:
            raise Found("line %d arrived, and %d was to come" % (number, count))
        count += 1
        half = len(line) // 2
        sink.write(line[:half])
        sink.write(line[half:])
    text = "report %d\n" % count
    sink.write(text.encode() if binary else text)


def print_lines(channel, lane, count, size):
    for number in range(count):
        line = make_item(TEXT, lane, number, size) + "\n"
        half = len(line) // 2
        sys.stdout.write(line[:half])
        sys.stdout.write(line[half:])
    channel.send({"report": {}})


echo = checked(answer)
flood = checked(send_all)
lines = checked(send_back_lines)
printer = checked(print_lines)


def sleep(channel, seconds):
    time.sleep(seconds)


def loop(channel, seconds):
    end = time.time() + seconds
    while time.time() < end:
        pass


def hold_gil(channel, seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def spawn(channel, count):
    null = open(os.devnull, "r+b")
    children = [subprocess.Popen(["sleep", "1000"], stdin=null, stdout=null) for _ in range(count)]
    channel.send({"pids": [child.pid for child in children]})
    for _ in received(channel):
        pass


def raise_error(channel):
    raise ValueError("on purpose")


def segfault(channel):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(channel):
    os._exit(3)
