"""How long until a task that is interrupted has ended?

Nobody else has it. Every task here waits or loops in Python code; what is in a C call that
knows nothing of interrupts ends when that returns.
"""
from support.harness import Line, Question, main, ours

QUESTION = Question(
    "interrupt",
    ours("interrupt"),
    [
        Line("interrupt of an endless loop", "loop_ms", "ms", None, "<= 100", "<= 100"),
        Line("interrupt of time.sleep", "sleep_ms", "ms", None, "<= 100", "<= 100"),
        Line("interrupt of channel.receive", "receive_ms", "ms", None, "<= 100", "<= 100"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
