"""What does one local gateway take: create it, get a result, see it end?

Inside a running controller, beside an interpreter that does nothing at all.
"""
from support.harness import Line, Question, limit, main, ours, peer, variant

QUESTION = Question(
    "start_up",
    [
        limit("python3 -c pass", "interpreters"),
        peer("execnet", "start_up"),
        peer("mitogen", "start_up"),
        *ours("start_up"),
        variant("start_up", "native, no site", "popen//isolated//no_site"),
        variant("start_up", "portable, no site", "popen//python=/usr/bin/python3//isolated//no_site"),
    ],
    [
        Line("popen: create, first result, exit", "ms", "ms", ("python3 -c pass", "plain_ms"), "<= 1.15x", "<= 1.45x"),
        Line("the same without site (-I -S)", "ms", "ms", ("python3 -c pass", "isolated_ms"), "<= 1.3x", "<= 1.9x",
             variant=", no site"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
