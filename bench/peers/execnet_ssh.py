"""execnet over ssh: execnet_ssh.py CONFIG, with a host `private`."""
import statistics
import sys
import time

import execnet


def first_result():
    group = execnet.Group()
    begin = time.perf_counter()
    group.makegateway(f"ssh=private//ssh_config={sys.argv[1]}//python=/usr/bin/python3").remote_exec(
        "channel.send(1)").receive()
    elapsed = time.perf_counter() - begin
    group.terminate(1)
    return elapsed * 1e3


print("login_ms=%f" % statistics.median(first_result() for _ in range(5)))
