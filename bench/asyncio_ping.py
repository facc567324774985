"""How long does an int take to user code on the far side and back, when an event loop waits for it?"""
from support.harness import BENCH, OURS, PYTHON, ROOT, Contestant, Line, Question, main, peer

package = "PYTHONPATH=%s" % (ROOT / "build" / "release" / "python")
agent = "GANGWAY_AGENT=%s" % (ROOT / "build" / "release" / "bin" / "gangway-agent")
program = str(BENCH / "support" / "asyncio_side.py")

QUESTION = Question(
    "asyncio_ping",
    [
        peer("asyncio", "ping_pong"),
        *(Contestant(name, ["env", package, agent, PYTHON, "-B", program, name]) for name in OURS),
    ],
    [
        Line("ping-pong of an int in asyncio, us", "loop", "us", "asyncio", "<= 1x", "<= 1x"),
        Line("two hundred at a time, us each", "many", "us", "asyncio", "<= 1x", "<= 1x"),
    ],
    runs=9,
)

if __name__ == "__main__":
    main(QUESTION)
