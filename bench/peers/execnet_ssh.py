"""execnet over ssh: execnet_ssh.py CONFIG SHARED, each with a host `private`, the second one on a connection
that is open (ControlMaster)."""
import statistics
import sys
import time

import execnet


def first_result(config):
    group = execnet.Group()
    begin = time.perf_counter()
    group.makegateway(f"ssh=private//ssh_config={config}//python=/usr/bin/python3").remote_exec(
        "channel.send(1)").receive()
    elapsed = time.perf_counter() - begin
    group.terminate(1)
    return elapsed * 1e3


private, shared = sys.argv[1:]
print("login_ms=%f next_ms=%f" % (statistics.median(first_result(private) for _ in range(5)),
                                  statistics.median(first_result(shared) for _ in range(10))))
