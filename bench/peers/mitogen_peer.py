"""mitogen, from Debian's package. For ssh: mitogen_peer.py ssh CONFIG SHARED, as execnet_ssh.py."""
import logging
import os
import sys

import mitogen.core
import mitogen.master

import mitogen_far
from common import clock, main, median, on_one_and_two, resident_mb

MIB = 1 << 20


class Controller:
    def __init__(self):
        logging.disable(logging.CRITICAL)
        self.broker = mitogen.master.Broker()
        self.router = mitogen.master.Router(self.broker)

    def local(self):
        return self.router.local(python_path="/usr/bin/python3")

    def receiver(self):
        return mitogen.core.Receiver(self.router)

    def end(self):
        self.broker.shutdown()
        self.broker.join()


def start_up():
    times = []
    for _ in range(3):
        begin = clock()
        controller = Controller()
        controller.local().call(eval, "1")
        controller.end()
        times.append((clock() - begin) * 1e3)
    return {"ms": median(times)}


def fifty():
    controller = Controller()
    begin = clock()
    pids = [controller.local().call(os.getpid) for _ in range(50)]
    seconds = clock() - begin
    threads = len(os.listdir("/proc/self/task"))
    memory = sum(map(resident_mb, pids)) / len(pids)
    begin = clock()
    controller.end()
    return {"s": seconds + clock() - begin, "rss_mb": memory, "threads": threads}


def remote_exec():
    """Source text, and its result."""
    controller = Controller()
    context = controller.local()
    result = on_one_and_two(context.call(os.getpid), lambda: context.call(eval, "1"), 1000)
    controller.end()
    return result


def ping_pong():
    controller = Controller()
    context = controller.local()
    pid = context.call(os.getpid)
    answers = controller.receiver()
    context.call_async(mitogen_far.echo, answers.to_sender())
    sender = answers.get().unpickle()

    def round_trip():
        sender.send(1)
        answers.get().unpickle()

    result = on_one_and_two(pid, round_trip, 3000)
    controller.end()
    return result


def bulk():
    controller = Controller()
    context = controller.local()
    result = {}
    for name, size, count in ("1m", MIB, 128), ("64m", 64 * MIB, 2):
        answers = controller.receiver()
        context.call_async(mitogen_far.send, answers.to_sender(), size, count + 1)
        answers.get().unpickle()
        begin = clock()
        for _ in range(count):
            answers.get().unpickle()
        result[name + "_to_controller"] = size * count / (clock() - begin) / 1e9
        answers = controller.receiver()
        context.call_async(mitogen_far.take, answers.to_sender(), count)
        sender = answers.get().unpickle()
        item = b"x" * size
        begin = clock()
        for _ in range(count):
            sender.send(item)
        answers.get().unpickle()
        result[name + "_to_agent"] = size * count / (clock() - begin) / 1e9
    controller.end()
    return result


def ssh():
    def first_result(config):
        controller = Controller()
        begin = clock()
        controller.router.ssh(hostname="private", python_path="/usr/bin/python3", ssh_args=["-F", config]).call(eval, "1")
        elapsed = clock() - begin
        controller.end()
        return elapsed * 1e3

    private, shared = sys.argv[2:]
    return {"login_ms": median([first_result(private) for _ in range(5)]),
            "next_ms": median([first_result(shared) for _ in range(10)])}


main(globals())
