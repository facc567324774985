"""How many small items per second go to and from a controller in Python?"""
from support.harness import Line, Question, limit, main, ours_in_python, peer

QUESTION = Question(
    "python_small_items",
    [limit("C, one write each", "small_items"), peer("execnet", "small_items"), peer("zmq", "small_items"),
     *ours_in_python("execnet", "small_items")],
    [
        Line("ints to a controller in Python", "to_controller", "M/s", ("C, one write each", "rate")),
        Line("ints to the agent, from Python", "to_agent", "M/s", ("C, one write each", "rate")),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
