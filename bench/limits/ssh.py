"""The ssh program itself: ssh.py CONFIG, with a host `private`.

true_ms: `ssh private true`. next_ms: bare python over an open ControlMaster. cat, cat_up: bytes
through `ssh private cat`, GB/s.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

config = sys.argv[1]
size = 200 << 20


def timed(command, **options):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, **options)
    return time.perf_counter() - begin


with tempfile.TemporaryDirectory() as directory:
    ssh = ["ssh", "-F", config]
    true = statistics.median(timed([*ssh, "private", "true"]) for _ in range(5))
    shared = [*ssh, "-S", directory + "/master"]
    subprocess.run([*shared, "-M", "-f", "-N", "-o", "ControlPersist=yes", "private"], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bare = statistics.median(timed([*shared, "private", "/usr/bin/python3 -c pass"]) for _ in range(10))
    subprocess.run([*shared, "-O", "exit", "private"], stderr=subprocess.DEVNULL)
    data = os.path.join("/dev/shm" if os.path.isdir("/dev/shm") else directory, "gangway-bench-%d" % os.getpid())
    try:
        with open(data, "wb") as file:
            file.write(bytes(size))
        down = timed([*ssh, "private", "cat " + data], stdout=subprocess.DEVNULL) - true
        with open(data, "rb") as file:
            up = timed([*ssh, "private", "cat >/dev/null"], stdin=file) - true
    finally:
        os.unlink(data)
print("true_ms=%f next_ms=%f cat=%f cat_up=%f" % (true * 1e3, bare * 1e3, size / down / 1e9, size / up / 1e9))
