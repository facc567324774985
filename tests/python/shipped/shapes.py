"""A module of a program, which imports another one."""
import json

from . import units

FACTOR = 3


def area(width, height):
    return units.square(FACTOR * width * height)


def fail():
    raise ValueError("in shapes")  # the line that a traceback shows


def text(value):
    return json.dumps(value)
