"""Does a large item hold up a ping of the same connection?"""
from support.harness import Line, Question, main, ours, peer

QUESTION = Question(
    "busy_ping",
    [peer("execnet", "busy_ping", every=3), *ours("busy_ping")],
    [
        Line("ping, idle", "idle_us", "us"),
        Line("ping while 256 MiB go to the agent, median", "up_us", "us", ("own", "idle_us"), "<= 3x"),
        Line("ping while 256 MiB go to the agent, longest", "up_max_ms", "ms", None, "<= 2", "<= 5"),
        Line("ping while 256 MiB come from it, median", "down_us", "us", ("own", "idle_us"), "<= 3x"),
        Line("ping while 256 MiB come from it, longest", "down_max_ms", "ms", None, "<= 2", "<= 5"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
