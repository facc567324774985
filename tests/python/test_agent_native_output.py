"""What tasks print, on the native agent: test_output.py with another start."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_agent_native import load_suite, python  # noqa: E402, F401

suite = load_suite("test_output")
agent = suite.agent
# This agent cannot be told to be impatient with tasks that print for ever.
del suite.test_terminate_does_not_wait_for_a_reader
globals().update((name, test) for name, test in vars(suite).items() if name.startswith("test_"))
