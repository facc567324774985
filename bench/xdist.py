"""Is a test suite with pytest-xdist on Gangway as fast as on Debian's execnet?"""
import dataclasses

from support.harness import Line, Question, main, ours_in_python, peer

QUESTION = Question(
    "xdist",
    [dataclasses.replace(peer("xdist", "run"), name="execnet"), *ours_in_python("xdist", "run")],
    [
        Line("pytest -n2, one test", "one", "s", "execnet", "<= 1.0x", "<= 1.0x"),
        Line("pytest -n2, 2,000 tests", "many", "s", "execnet", "<= 1.0x", "<= 1.0x"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
