"""Runs a program that imports execnet on Gangway:

    python -m gangway.as_execnet PROGRAM [ARGUMENT...]
    python -m gangway.as_execnet -m MODULE [ARGUMENT...]

A directory with an `execnet` package, whose classes and functions are Gangway's, is put first on
sys.path. Its name is printed by

    python -m gangway.as_execnet --path

for those who set PYTHONPATH instead, which reaches the processes that the program starts as well.
Workers find the same package.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dropin")


def find_program(name: str) -> str:
    """A file, or else a program on PATH, like a shell does. (Console scripts like pytest.)"""
    if os.path.exists(name):
        return name
    found = shutil.which(name)
    if found is None:
        sys.exit("gangway.as_execnet: there is no program %s" % name)
    return found


def main(arguments: list[str]) -> None:
    if arguments in (["--path"], ["--directory"]):  # the second is its older name
        print(DIRECTORY)
        return
    module = arguments[:1] == ["-m"]
    words = arguments[1:] if module else arguments
    if not words or words[0].startswith("-"):
        sys.exit(__doc__)
    # As the interpreter does: the program finds what lies beside it, a module what lies here.
    program = words[0] if module else find_program(words[0])
    sys.path[0] = os.getcwd() if module else os.path.dirname(os.path.realpath(program))
    sys.path.insert(0, DIRECTORY)
    sys.argv = [program] + words[1:]
    if module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
