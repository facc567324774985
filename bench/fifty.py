"""What do 50 gateways take, in time, memory and threads?"""
from support.harness import Line, Question, limit, main, ours, peer, variant

QUESTION = Question(
    "fifty",
    [limit("python3 -c pass, 2 at a time", "interpreters"), peer("execnet", "fifty", every=2),
     peer("mitogen", "fifty", every=3), *ours("fifty"),
     variant("fifty", "native, cold", "popen", GANGWAY_WARM=0),
     variant("fifty", "native, warm", "popen", GANGWAY_WARM=1)],
    [
        Line("50 gateways, all used, terminated", "s", "s", "python3 -c pass, 2 at a time", "<= 1.1x", "<= 1.8x"),
        Line("the same, each started afresh (GANGWAY_WARM=0)", "s", "s", "python3 -c pass, 2 at a time", "<= 1.1x",
             variant=", cold"),
        Line("the same with a warm server", "s", "s", "python3 -c pass, 2 at a time", "<= 0.5x", variant=", warm"),
        Line("resident memory per agent", "rss_mb", "MB", "python3 -c pass, 2 at a time", "<= 10", "<= 11"),
        Line("share of memory per agent and its keeper", "pss_mb", "MB"),
        Line("threads of the controller", "threads", "threads", None, "<= 4", "<= 4"),
    ],
)

if __name__ == "__main__":
    main(QUESTION)
