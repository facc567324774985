"""Each test that tests/faults/README.md names must exist: `Suite.Name`, followed by more `Names` of the suite."""
import pathlib
import re
import sys

tests = pathlib.Path(__file__).resolve().parent
known = set()
for source in tests.glob("*/*.cpp"):
    known.update("%s.%s" % found for found in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", source.read_text(), re.M))

missing = []
for line in (tests / "faults/README.md").read_text().splitlines():
    for suite, rest in re.findall(r"`([A-Z]\w+)\.(\w+`(?: `\w+`)*)", line):
        for name in re.findall(r"\w+", rest):
            if not any(test.startswith(suite + "." + name) for test in known):
                missing.append(suite + "." + name)
sys.exit("tests/faults/README.md names tests that do not exist: " + ", ".join(missing) if missing else 0)
