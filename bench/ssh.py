"""What do ssh gateways take: the first of a host, the next ones, and large bytes?

At a private sshd on loopback, which this starts and ends, beside the ssh program.
"""
import atexit
import shutil
import subprocess
import sys
import tempfile
import time

from support.harness import BIN, PYTHON, ROOT, Contestant, Line, Question, main, peer, python_limit

directory = tempfile.mkdtemp(prefix="gangway-bench-ssh-")
# bash reads .bashrc when sshd has started it as the first shell, and there whatever the user has in it is measured
# instead of us: SHLVL says that it is not the first one.
sshd = subprocess.Popen([sys.executable, "-B", str(ROOT / "tests" / "support" / "private_sshd.py"), directory,
                         "--config", "SetEnv SHLVL=1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
config, shared = directory + "/ssh_config", directory + "/shared_config"
master = ["ssh", "-F", shared]


@atexit.register
def end():
    subprocess.run([*master, "-O", "exit", "private"], stderr=subprocess.DEVNULL)
    sshd.kill()
    sshd.wait()
    shutil.rmtree(directory, ignore_errors=True)


def wait_for_sshd():
    for _ in range(1000):
        try:
            with open(directory + "/log") as log:
                if "Server listening" in log.read():
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit("the private sshd does not start")


wait_for_sshd()
# The peers' next gateways: on a connection that is kept open for them.
with open(shared, "w") as file:
    file.write(f"Host private\n  ControlPath {directory}/master\nHost *\nInclude {config}\n")
subprocess.run([*master, "-M", "-f", "-N", "private"], check=True, stdin=subprocess.DEVNULL,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
spec = f"ssh=private//ssh_config={config}//python={PYTHON}"

QUESTION = Question(
    "ssh",
    [
        python_limit("ssh", "ssh.py", config),
        Contestant("execnet", [PYTHON, "-B", str(ROOT / "bench" / "peers" / "execnet_ssh.py"), config, shared]),
        Contestant("mitogen", [*peer("mitogen", "ssh").command, config, shared]),
        Contestant("portable", [str(BIN / "bench_ssh"), spec]),
    ],
    [
        Line("ssh, new connection, first result (ssh host true)", "login_ms", "ms", ("ssh", "true_ms"),
             portable="<= +20"),
        Line("ssh, next gateway on the shared connection", "next_ms", "ms", ("ssh", "next_ms"), portable="<= 1.6x"),
        Line("ssh, 1 MiB x 200 to the controller (ssh host cat)", "to_controller", "GB/s", ("ssh", "cat")),
        Line("ssh, 1 MiB x 200 to the agent (ssh host cat)", "to_agent", "GB/s", ("ssh", "cat_up")),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
