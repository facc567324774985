"""The demo, which is what the README has people run first: that its count is proved, and what it says of a crash.

usage: tests/check_demo.py BUILD_DIR
"""
import os
import pathlib
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
build = pathlib.Path(sys.argv[1])
texts = root / "spec-docs"
demo = subprocess.run([build / "bin/word_count", texts], timeout=120, check=True, text=True,
                      stdout=subprocess.PIPE,
                      env={**os.environ, "GANGWAY_AGENT": str(build / "bin/gangway-agent")}).stdout
print(demo)

words = sum(len(file.read_bytes().split()) for file in texts.rglob("*") if file.is_file())
for wanted in (
    f"{words} words, ",
    "the same count made here: equal\n",
    "a remote crash is an error here:\ngateway crash: the connection was lost: killed by SIGSEGV (signal 11)",
    "last lines of its stderr:\nabout to read address 0\n",
    "in string_at\n",  # where it was
):
    assert wanted in demo, f"the demo does not say: {wanted}"
