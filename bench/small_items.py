"""How many small items per second go one way?"""
from support.harness import Line, Question, limit, main, ours, peer

QUESTION = Question(
    "small_items",
    [limit("C, one write each", "small_items"), peer("multiprocessing", "small_items"),
     peer("execnet", "small_items"), peer("zmq", "small_items"), *ours("small_items")],
    [
        Line("200,000 ints to the controller", "to_controller", "M/s", ("C, one write each", "rate"), ">= 1.5x", ">= 0.45x"),
        Line("200,000 ints to the agent", "to_agent", "M/s", ("C, one write each", "rate"), ">= 1.5x", ">= 0.6x"),
    ],
    runs=9,
)

if __name__ == "__main__":
    main(QUESTION)
