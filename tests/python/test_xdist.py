"""pytest-xdist on Gangway: the same outcomes as on Debian's execnet, for the same project."""

import collections
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

CONFTEST = """
import os
def pytest_report_header():
    import execnet
    return "execnet: " + execnet.__file__
"""

OUTCOMES = """
import os, pytest, sys, warnings

@pytest.mark.parametrize("number", range(500))
def test_many(number): assert number < 500

def test_passes(): print("to stdout")
def test_writes_to_its_descriptors(): os.write(1, b"raw output"); os.write(2, b"")
def test_warns(): warnings.warn(UserWarning("with an object", object()))
def test_fails(): assert [1, {"a": (2.5, "\\u20ac")}] == []
def test_fails_with_much_output(): print("x" * 2_000_000); assert 0
@pytest.fixture
def broken(): raise RuntimeError("broken fixture")
def test_setup_error(broken): pass
@pytest.fixture
def broken_at_its_end():
    yield
    raise RuntimeError("broken end")
def test_teardown_error(broken_at_its_end): pass
@pytest.mark.skip(reason="no reason")
def test_skipped(): pass
def test_skips_itself(): pytest.skip("no reason")
@pytest.mark.xfail
def test_expected_failure(): assert 0
@pytest.mark.xfail
def test_unexpected_success(): pass
"""

SCOPES = """
import os, pytest
class TestOne:
    pids = set()
    @pytest.mark.parametrize("number", range(10))
    def test_is_run_by_one_worker(self, number): self.pids.add(os.getpid()); assert len(self.pids) == 1
class TestTwo(TestOne):
    pids = set()
"""

CRASHES = """
import os, signal, pytest
@pytest.mark.parametrize("number", range(20))
def test_before(number): pass
def test_exits(): os._exit(3)
def test_is_killed(): os.kill(os.getpid(), signal.SIGKILL)
@pytest.mark.parametrize("number", range(20))
def test_after(number): pass
"""

FAILURES = """
import pytest
@pytest.mark.parametrize("number", range(40))
def test_fails(number): assert 0
"""


@pytest.fixture
def project(tmp_path):
    project = tmp_path / "project"
    (project / "scopes").mkdir(parents=True)
    for name, text in {"conftest.py": CONFTEST, "test_outcomes.py": OUTCOMES, "scopes/test_scopes.py": SCOPES,
                       "crashes.py": CRASHES, "failures.py": FAILURES, "pytest.ini": "[pytest]\n"}.items():
        (project / name).write_text(text)
    return project


Run = collections.namedtuple("Run", "status counts tests out err")


@pytest.fixture
def run(project, tmp_path):
    """Runs pytest in the project, on Gangway or on Debian's execnet."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    import gangway.as_execnet

    def run(which, *options):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        if which == "gangway":
            environment["PYTHONPATH"] = os.pathsep.join([gangway.as_execnet.DIRECTORY, os.environ.get("PYTHONPATH", "")])
        report = tmp_path / (which + ".xml")
        result = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "--junitxml", report, *options],
            cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        assert ("/gangway/dropin/" in result.stdout.split("execnet: ")[1].split()[0]) is (which == "gangway")
        last = result.stdout.strip().splitlines()[-1]
        counts = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", last.split(" in ")[0])}
        tests = sorted((case.get("classname", ""), case.get("name", ""), " ".join(sorted(child.tag for child in case)))
                       for case in xml.etree.ElementTree.parse(report).iter("testcase"))
        return Run(result.returncode, counts, tests, result.stdout, result.stderr)

    return run


@pytest.fixture
def same(run):
    """Runs on both, compares, and gives Gangway's run."""

    def same(*options, tests=True):
        ours, theirs = (run(which, *options) for which in ("gangway", "debian"))
        assert (ours.status, ours.counts) == (theirs.status, theirs.counts), ours.out + ours.err
        if tests:
            assert ours.tests == theirs.tests
        assert ours.err == theirs.err
        return ours

    return same


COUNTS = {"passed": 504, "failed": 2, "errors": 2, "skipped": 2, "xfailed": 1, "xpassed": 1, "warning": 1}
SCOPES_PASSED = 20


@pytest.mark.parametrize("dist", ["load", "loadfile", "loadscope"])
def test_distribution(same, dist):
    if dist == "load":
        assert same("-n2", "test_outcomes.py").counts == COUNTS
    else:
        counts = same("-n2", "--dist", dist, "scopes", "test_outcomes.py").counts
        assert counts == dict(COUNTS, passed=COUNTS["passed"] + SCOPES_PASSED)


def test_each(same):
    counts = same("--dist", "each", "--tx", "2*popen", "test_outcomes.py").counts
    assert (counts["passed"], counts["failed"]) == (2 * COUNTS["passed"], 2 * COUNTS["failed"])


def test_crashing_workers(same):
    ours = same("-n2", "crashes.py", tests=False)
    assert ours.counts == {"passed": 40, "failed": 2}
    assert ours.out.count("crashed while running") == 2
    assert "replacing crashed worker gw" in ours.out


def test_crash_without_a_worker_left(same):
    ours = same("-n2", "--max-worker-restart=0", "crashes.py", "-k", "exits or killed", tests=False)
    assert ours.status == 1


def test_maxfail(run):
    for which in "gangway", "debian":
        ended = run(which, "-n2", "--maxfail=2", "failures.py")
        assert "stopping after 2 failures" in ended.out
        assert ended.status == 2 and 2 <= ended.counts["failed"] < 40
        assert ended.err == ""


def test_python_of_a_worker(same):
    ours = same("--dist", "load", "--tx", "popen//python=" + sys.executable, "--tx", "popen", "-v", "test_outcomes.py",
                "-k", "not many")
    assert ours.counts["passed"] == 4
    assert "[gw0]" in ours.out and "[gw1]" in ours.out


def test_rsyncdir(same, project, tmp_path):
    (project / "data.txt").write_text("some data")
    (tmp_path / "far").mkdir()
    (project / "where.py").write_text(
        "import os\n"
        "def test_is_run_elsewhere():\n"
        "    assert os.path.dirname(__file__) == %r + '/project'\n"
        "    assert open('project/data.txt').read() == 'some data'\n" % str(tmp_path / "far"))
    # The second run finds the files of the first one.
    ours = same("--dist", "load", "--tx", "popen//chdir=%s" % (tmp_path / "far"), "--rsyncdir", project, project / "where.py")
    assert (tmp_path / "far" / "project" / "data.txt").read_text() == "some data"
    assert ours.counts == {"passed": 1, "warnings": 2}  # the option is deprecated
