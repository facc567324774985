"""A Slurm of the test's own on loopback: one controller, two nodes, all on this host. Needs root.

    python3 -B private_slurm.py DIRECTORY

Writes DIRECTORY/slurm.conf (for SLURM_CONF), prints "ready" when both nodes are idle, and
ends everything, by pid, when its stdin ends. What cannot be is said on stderr, with status 77.
"""
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import time

CONF = """\
ClusterName=gangwaytest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={port_1}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={at}/munge/munge.socket
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool-%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd-%n.pid
SlurmctldLogFile={at}/log/slurmctld.log
SlurmdLogFile={at}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
KillWait=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
NodeName=gwn[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{node}-{last}] CPUs=1 RealMemory=500 State=UNKNOWN
PartitionName=test Nodes=gwn[1-2] Default=YES MaxTime=INFINITE OverSubscribe=FORCE:8 State=UP
"""


def refuse(why):
    sys.stderr.write(why + "\n")
    sys.exit(77)


def check():
    if os.geteuid() != 0:
        refuse("a Slurm of the test's own needs root")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for name in "slurmctld", "slurmd", "srun", "munged":
        if not shutil.which(name):
            refuse("no %s on this machine (Debian: slurm-wlm, munge)" % name)
    try:
        address = socket.gethostbyname(socket.gethostname().split(".")[0])
    except OSError:
        address = "nothing"
    if not address.startswith("127."):  # the daemons bind what the name leads to
        refuse("the short name of this host leads to %s, not to loopback" % address)


def main():
    check()
    at = os.path.realpath(sys.argv[1])
    os.chmod(at, 0o755)
    for name in "munge", "state", "log", "spool-gwn1", "spool-gwn2":
        os.makedirs(os.path.join(at, name))
    munge = pwd.getpwnam("munge")
    with open(at + "/munge/munge.key", "wb") as file:
        file.write(os.urandom(1024))
    os.chmod(at + "/munge/munge.key", 0o400)
    for name in "munge", "munge/munge.key":
        os.chown(os.path.join(at, name), munge.pw_uid, munge.pw_gid)
    port = random.randrange(20000, 31000)
    with open(at + "/slurm.conf", "w") as file:
        file.write(CONF.format(at=at, host=socket.gethostname().split(".")[0], port=port, port_1=port + 1,
                               node=port + 2, last=port + 3))
    os.environ["SLURM_CONF"] = at + "/slurm.conf"
    os.environ.pop("GANGWAY_COOKIE", None)  # no agents of the test, but what they start is
    processes = []

    def start(*words):
        with open(at + "/log/out", "a") as log:
            processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    try:
        start("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--foreground",
              "--key-file=" + at + "/munge/munge.key", "--socket=" + at + "/munge/munge.socket",
              "--log-file=" + at + "/munge/munged.log", "--pid-file=" + at + "/munge/munged.pid",
              "--seed-file=" + at + "/munge/munged.seed")
        wait_until(lambda: os.path.exists(at + "/munge/munge.socket"))
        start("slurmctld", "-f", at + "/slurm.conf", "-D")
        wait_until(lambda: sinfo() is not None)
        for node in "gwn1", "gwn2":
            start("slurmd", "-f", at + "/slurm.conf", "-N", node, "-D")
        wait_until(lambda: sinfo() == ["idle", "idle"])
        print("ready", *[process.pid for process in processes], flush=True)
        sys.stdin.read()
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def sinfo():
    done = subprocess.run(["sinfo", "-hN", "-o", "%t"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          universal_newlines=True)
    return done.stdout.split() if done.returncode == 0 else None


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("this Slurm does not start")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
