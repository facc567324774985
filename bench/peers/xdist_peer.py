"""pytest-xdist on the execnet that is installed, or on what PYTHONPATH has in its place, with the spec of
the command line."""
import os
import subprocess
import sys
import tempfile

from common import clock, main

TESTS = """
import pytest
@pytest.mark.parametrize("number", range(2000))
def test_many(number): pass
def test_one(): pass
"""
SPEC = (sys.argv[2:] or ["popen"])[0]


def seconds(directory, test):
    begin = clock()
    subprocess.run([sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tx", "2*" + SPEC, "--dist", "load",
                    "test_it.py::" + test], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return clock() - begin


def run():
    with tempfile.TemporaryDirectory() as directory:
        for name, text in ("test_it.py", TESTS), ("pytest.ini", "[pytest]\n"):
            with open(os.path.join(directory, name), "w") as file:
                file.write(text)
        return {"one": seconds(directory, "test_one"), "many": seconds(directory, "test_many")}


main(globals())
