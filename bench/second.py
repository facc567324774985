"""What does the second and every later local gateway of a group take?

In one program, one after the other: create it, get a result, see it end.
"""
from support.harness import Line, Question, limit, main, ours, peer, variant

QUESTION = Question(
    "second",
    [
        limit("one fork", "fork"),
        limit("python3 -c pass", "interpreters"),
        peer("execnet", "start_up"),
        *ours("second"),
        variant("second", "native, cold", "popen", GANGWAY_WARM=0),
    ],
    [
        Line("second and later local gateways (warm)", "ms", "ms", "one fork", "<= 3"),
        Line("the same, started afresh (GANGWAY_WARM=0)", "ms", "ms", ("python3 -c pass", "plain_ms"), variant=", cold"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
