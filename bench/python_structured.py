"""How many structured items per second go to and from a controller in Python?"""
from support.harness import Line, Question, main, ours_in_python, peer, python_limit

QUESTION = Question(
    "python_structured",
    [python_limit("1 / loads", "loads.py", "structured"), peer("execnet", "structured"), peer("multiprocessing", "structured"),
     *ours_in_python("execnet", "structured")],
    [
        Line("10 KB items to a controller in Python", "10k_to_controller", "/s", ("1 / loads", "10k")),
        Line("10 KB items to the agent, from Python", "10k_to_agent", "/s", ("1 / loads", "10k")),
        Line("1 MB items to a controller in Python", "1m_to_controller", "/s", ("1 / loads", "1m")),
        Line("1 MB items to the agent, from Python", "1m_to_agent", "/s", ("1 / loads", "1m")),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
