"""How long do 200 gateways take that are each 250 ms away?"""
from support.harness import Line, Question, main, variant

QUESTION = Question(
    "fan_out",
    [variant("fan_out", "portable, fanout %d" % number, str(number)) for number in (0, 4, 8, 16)],
    [
        Line("200 gateways ready, fanout %d" % number, "s", "s", variant=", fanout %d" % number)
        for number in (0, 4, 8, 16)
    ],
    runs=3,
)

if __name__ == "__main__":
    main(QUESTION)
