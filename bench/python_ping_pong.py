"""The same as ping_pong, with a controller in Python."""
from support.harness import Line, Question, limit, main, ours_in_python, peer

QUESTION = Question(
    "python_ping_pong",
    [limit("C over pipes", "ping_pong"), peer("multiprocessing", "ping_pong"), peer("execnet", "ping_pong"),
     *ours_in_python("execnet", "ping_pong")],
    [
        Line("ping-pong from Python, one CPU", "one", "us", "C over pipes", "<= 1.9x", "<= 2.5x"),
        Line("ping-pong from Python, two CPUs", "two", "us", "C over pipes", "<= 1.15x", "<= 1.2x"),
    ],
    runs=9,
)

if __name__ == "__main__":
    main(QUESTION)
