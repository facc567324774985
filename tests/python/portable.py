"""Portable agents to test, on every interpreter that is found.

All tests run on the build's Python, the oldest and the newest of the others; on the rest
those that are marked core; one that is wanted and not here is a skip of these.
GANGWAY_TEST_PYTHONS (paths separated by colons) replaces the search, and gets all tests.
Run as a program it lists the interpreters, and ends with 77 when one is missing. Each test starts its own agent; what waits has a deadline.

A file of tests takes `python`, `agent` and `pytest_generate_tests` from here.
"""
import glob
import os
import shutil
import subprocess
import sys
import time

import pytest

from agent_controller import OPEN, PICKLE, Agent, frame, item_frames, portable_agent, reference

BUNDLES = {False: portable_agent(False), True: portable_agent(True)}
# What an agent waits for at its end, in s: the bundle of tests that see it wait has short times.
END_GRACE, TERM_AFTER, KILL_AFTER = 0.6, 0.6, 0.4
IMPATIENT = []


# What the README promises the portable agent for.
WANTED = ["python3.%d" % minor for minor in range(6, 14)] + ["pypy3"]


def find_pythons():
    """(those that get all tests, the others, names of WANTED that are not here)"""
    if os.environ.get("GANGWAY_TEST_PYTHONS"):
        return os.environ["GANGWAY_TEST_PYTHONS"].split(":"), [], []
    found = ["/usr/bin/python3"]
    found += [shutil.which("python3.%d" % minor) for minor in range(6, 20)]
    found += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python")))
    found += [shutil.which("pypy3")]
    seen = {}
    names = set()
    for path in filter(None, found):  # some are wrappers of others
        say = ("import os, sys; print(list(sys.version_info[:3])); print(os.path.realpath(sys.executable)); "
               "print('pypy3' if sys.implementation.name == 'pypy' else 'python3.%d' % sys.version_info[1])")
        result = subprocess.run([path, "-c", say], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if result.returncode == 0:
            version, executable, name = result.stdout.decode().splitlines()
            if eval(version) >= [3, 6]:
                seen.setdefault(executable, (eval(version), executable))
                names.add(name)
    first, *others = seen.values()
    others.sort()
    ends = others[:1] + others[1:][-1:]
    return ([path for _, path in [first] + ends], [path for _, path in others if (_, path) not in ends],
            [name for name in WANTED if name not in names])


FULL, CORE, MISSING = find_pythons()


def pytest_generate_tests(metafunc):
    if "python" in metafunc.fixturenames:
        core = metafunc.definition.get_closest_marker("core")
        skips = [pytest.param(name, marks=pytest.mark.skip(reason="no %s here" % name)) for name in MISSING]
        metafunc.parametrize("python", FULL + CORE + skips if core else FULL, indirect=True)


@pytest.fixture
def python(request):
    return request.param


def start(python, local=False, handshake=True, impatient=False, **options):
    if impatient and not IMPATIENT:
        IMPATIENT.extend(portable_agent(False, END_GRACE=END_GRACE, STAGES=((TERM_AFTER, 15), (KILL_AFTER, 9))))
    stage0, packed = IMPATIENT if impatient else BUNDLES[local]
    agent = Agent([python, "-c", stage0], packed, **options)
    if handshake:
        agent.handshake()
    return agent


@pytest.fixture
def agent(python):
    with start(python) as agent:
        yield agent


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def counts(agent):
    status = agent.status()
    assert status["execmodel"] == "thread"
    return status["numchannels"], status["numexecuting"]


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def process_group(pgid):
    members = []
    for entry in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(entry) as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pgid and fields[0] not in "ZX":
            members.append(entry)
    return members


def hand_over_channel(agent, number, other):
    """OPEN, and the reference as an item of another channel."""
    agent.write(frame(OPEN, other))
    agent.next_number = max(agent.next_number, other + 2)
    agent.write(item_frames(number, payload=reference(other), tag=PICKLE))


if __name__ == "__main__":
    print("all tests: %s\ncore tests: %s\nnot here: %s" % tuple(" ".join(names) or "-" for names in (FULL, CORE, MISSING)))
    sys.exit(77 if MISSING else 0)
