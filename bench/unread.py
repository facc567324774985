"""By how much do the processes grow when nobody reads 1 GiB?

The window is 16 MiB; 4 MiB more are allowed for buffers on the way.
"""
from support.harness import Line, Question, main, ours, peer

QUESTION = Question(
    "unread",
    [peer("execnet", "unread", every=7), *ours("unread")],
    [
        Line("1 GiB unread from the agent: controller", "down_controller_mb", "MB", None, "<= 20", "<= 20"),
        Line("1 GiB unread from the agent: agent", "down_agent_mb", "MB", None, "<= 20", "<= 20"),
        Line("1 GiB unread from the controller: controller", "up_controller_mb", "MB", None, "<= 20", "<= 20"),
        Line("1 GiB unread from the controller: agent", "up_agent_mb", "MB", None, "<= 20", "<= 20"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
