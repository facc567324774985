"""How long from a remote_exec to its first result?"""
from support.harness import Line, Question, limit, main, ours, peer

QUESTION = Question(
    "remote_exec",
    [limit("pipes, compile, exec", "remote_exec"), peer("execnet", "remote_exec"),
     peer("mitogen", "remote_exec"), *ours("remote_exec")],
    [
        Line("remote_exec round trip, one CPU", "one", "us", "pipes, compile, exec", "<= 2x", "<= 3.2x"),
        Line("remote_exec round trip, two CPUs", "two", "us", "pipes, compile, exec"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
