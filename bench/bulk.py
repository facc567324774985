"""How fast do large bytes go?"""
from support.harness import Line, Question, limit, main, ours, peer

QUESTION = Question(
    "bulk",
    [limit("C over a pipe", "bulk"), peer("multiprocessing", "bulk"), peer("execnet", "bulk", every=3),
     peer("mitogen", "bulk", every=3), *ours("bulk")],
    [
        Line("1 MiB x 512 to the controller", "1m_to_controller", "GB/s", ("C over a pipe", "1m"), ">= 0.85x", ">= 0.75x"),
        Line("1 MiB x 512 to the agent", "1m_to_agent", "GB/s", ("C over a pipe", "1m"), ">= 0.85x", ">= 0.75x"),
        Line("64 MiB x 8 to the controller", "64m_to_controller", "GB/s", ("C over a pipe", "64m"), ">= 0.7x", ">= 0.6x"),
        Line("64 MiB x 8 to the agent", "64m_to_agent", "GB/s", ("C over a pipe", "64m")),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
