"""What the peers share. Each peer is a file with one function per question; the function
measures once and returns its results, which are printed as "key=value ..."."""
import os
import statistics
import sys
import time

clock = time.perf_counter

# The far side's code, where the library under test has channels like ours.
ECHO = "for item in channel: channel.send(item)"
SEND_INTS = "n = channel.receive()\nfor i in range(n): channel.send(i)"
TAKE = "n = channel.receive()\nfor i in range(n): channel.receive()\nchannel.send(n)"


def records(count):
    return [
        {"id": i, "name": "item %d" % i, "score": i / 7, "tags": ["a", "b"], "ok": True} for i in range(count)
    ]


SMALL, LARGE = 225, 21_000  # records: 10 KB and 1 MB as C pickle writes them, with its memo


def pin(pid, cpu):
    for task in os.listdir("/proc/%d/task" % pid):
        os.sched_setaffinity(int(task), {cpu})


def on_one_and_two(far_pid, round_trip, count):
    """us per round trip; both processes on CPU 0, then the far one on CPU 1."""
    round_trip(), round_trip()
    pin(os.getpid(), 0)
    pin(far_pid, 0)
    result = {}
    for key, cpu in ("one", 0), ("two", 1):
        pin(far_pid, cpu)
        for _ in range(100):
            round_trip()
        start = clock()
        for _ in range(count):
            round_trip()
        result[key] = (clock() - start) / count * 1e6
    return result


def resident_mb(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def median(samples):
    return statistics.median(samples)


def main(questions):
    result = questions[sys.argv[1]]()
    print(*("%s=%.9g" % pair for pair in result.items()), flush=True)
