"""How many lists of small dicts per second go one way?

The limit is how often C pickle loads one, without any connection.
"""
from support.harness import Line, Question, main, ours, peer, python_limit

QUESTION = Question(
    "structured",
    [python_limit("1 / loads", "loads.py", "structured"), peer("execnet", "structured"),
     peer("multiprocessing", "structured"), *ours("structured")],
    [
        Line("10 KB items to the controller", "10k_to_controller", "/s", ("1 / loads", "10k"), ">= 0.9x", ">= 0.75x"),
        Line("10 KB items to the agent", "10k_to_agent", "/s", ("1 / loads", "10k"), ">= 0.9x", ">= 0.75x"),
        Line("1 MB items to the controller", "1m_to_controller", "/s", ("1 / loads", "1m"), ">= 0.9x", ">= 0.75x"),
        Line("1 MB items to the agent", "1m_to_agent", "/s", ("1 / loads", "1m"), ">= 0.9x", ">= 0.75x"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
