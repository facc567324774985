"""What does the controller learn while a task holds the GIL for 2 s?

keepalive is 200 ms here, so silence is to be reported after 600 ms and one interval.
"""
from support.harness import Line, Question, main, ours, peer

QUESTION = Question(
    "held_gil",
    [peer("execnet", "held_gil", every=3), *ours("held_gil")],
    [
        Line("status, idle", "idle_ms", "ms"),
        Line("status while the GIL is held for 2 s", "status_ms", "ms", None, "<= 20"),
        Line("reported as unresponsive after", "reported_ms", "ms", None, "", "<= 850"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
