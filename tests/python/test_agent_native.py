"""The native agent: the whole suite of the portable one, and what it has of its own.

GANGWAY_AGENT is the executable. The two agents must behave the same, so a test that is
left out here says why.
"""
import importlib.util
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from agent_controller import Agent  # noqa: E402

AGENT = os.environ.get("GANGWAY_AGENT") or os.path.join(HERE, "..", "..", "build", "dev", "bin", "gangway-agent")
PYTHON = "/usr/bin/python3"  # the one that is embedded

# About the bundle and its stage 0, which the native agent has not.
NOT_HERE = {
    "test_hello_names_the_agent",
    "test_stage0_survives_every_shell",
    "test_bundle_stays_small",
    "test_end_of_stream_within_the_bundle_is_a_quiet_failure",
    "test_flipped_byte_in_the_bundle_is_reported",
    "test_bundle_may_arrive_byte_by_byte",
}


def load_suite():
    """A copy of the portable suite that starts this agent instead."""
    os.environ["GANGWAY_TEST_PYTHONS"] = PYTHON
    spec = importlib.util.spec_from_file_location("agent_suite", os.path.join(HERE, "test_agent_portable.py"))
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    suite.start = start
    return suite


def start(python=PYTHON, local=False, handshake=True, **options):
    agent = Agent([AGENT], **options)
    if handshake:
        agent.handshake()
    return agent


suite = load_suite()
for name, thing in list(vars(suite).items()):
    if name.startswith(("test_", "Test")) and name not in NOT_HERE or name in ("python", "agent"):
        globals()[name] = thing


def test_hello_names_the_native_agent():
    with start() as agent:
        assert agent.hello["agent"] == "native" and agent.hello["protocol"] == (1, 0)
        assert agent.hello["executable"] == PYTHON
        assert agent.run("import os; channel.send(os.getpid())") == [agent.hello["pid"]]
        assert agent.terminate() == 0
        assert agent.stderr == b""
