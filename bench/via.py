"""What does a hop (via=) cost?"""
from support.harness import Line, Question, main, ours, peer

QUESTION = Question(
    "via",
    [peer("execnet", "via"), *ours("via")],
    [
        Line("ping-pong of an int through a hop", "trip", "us"),
        Line("the same, direct", "direct_trip", "us"),
        Line("1 MiB x 256 to the controller through a hop", "to_controller", "GB/s"),
        Line("the same, direct", "direct_to_controller", "GB/s"),
        Line("1 MiB x 256 to the agent through a hop", "to_agent", "GB/s"),
        Line("the same, direct", "direct_to_agent", "GB/s"),
        Line("one more gateway through a hop, first result", "start", "ms"),
    ],
    runs=5,
)

if __name__ == "__main__":
    main(QUESTION)
