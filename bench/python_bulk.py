"""How fast do large bytes go to and from a controller in Python?"""
from support.harness import Line, Question, limit, main, ours_in_python, peer

QUESTION = Question(
    "python_bulk",
    [limit("C over a pipe", "bulk"), peer("execnet", "bulk", every=3), *ours_in_python("execnet", "bulk")],
    [
        Line("1 MiB x 256 to a controller in Python", "1m_to_controller", "GB/s", ("C over a pipe", "1m")),
        Line("1 MiB x 256 to the agent, from Python", "1m_to_agent", "GB/s", ("C over a pipe", "1m")),
        Line("64 MiB x 4 to a controller in Python", "64m_to_controller", "GB/s", ("C over a pipe", "64m")),
        Line("64 MiB x 4 to the agent, from Python", "64m_to_agent", "GB/s", ("C over a pipe", "64m")),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
