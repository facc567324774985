"""How long does an int take to user code on the far side and back?"""
from support.harness import Line, Question, limit, main, ours, peer

QUESTION = Question(
    "ping_pong",
    [
        limit("C over pipes", "ping_pong"),
        peer("multiprocessing", "ping_pong"),
        peer("execnet", "ping_pong"),
        peer("rpyc", "ping_pong"),
        peer("mitogen", "ping_pong"),
        *ours("ping_pong"),
    ],
    [
        Line("ping-pong of an int, one CPU", "one", "us", "C over pipes", "<= 1.6x", "<= 2.2x"),
        Line("ping-pong of an int, two CPUs", "two", "us", "C over pipes", "<= 1.1x", "<= 1.15x"),
    ],
    runs=9,
)

if __name__ == "__main__":
    main(QUESTION)
