"""remote_exec(function, globals=True): what a function needs goes along."""
import collections
import functools
import importlib.machinery
import inspect
import json
import math as mathematics
import os
import os.path
import sys
import threading
import types
import xml.dom.minidom
from collections import OrderedDict as Ordered
from os.path import join

import pytest

import gangway
from shipped import broken, shapes
from shipped.units import square

INTERPRETERS = ["native", sys.executable] + [
    path for path in [os.path.expanduser("~/.pyenv/versions/3.6.15/bin/python")] if os.path.exists(path)]
LIMITS = {"low": [1, 2.5, None], (1, 2): b"\xff", "set": {1}, "frozen": frozenset(), "inf": float("inf"), "z": 1j, "one": (1,)}
BIG = 7 ** 3000
COUNTER = 0
OPEN_FILE = open(os.devnull)
LOCK = threading.Lock()
NOT_PLAIN = [object()]
HUGE = "x" * (2 << 20)
Point = collections.namedtuple("Point", "x y")
double = lambda x: 2 * x  # noqa: E731
alias = shapes.area


@pytest.fixture(scope="module", params=INTERPRETERS, ids=lambda path: "3.6" if "3.6" in path else os.path.basename(path))
def gateway(request):
    group = gangway.Group()
    # Where the far side finds nothing of ours by itself.
    yield group.makegateway("popen//chdir=/tmp" + ("" if request.param == "native" else "//python=" + request.param))
    group.terminate(timeout=5)


def traced(function):
    @functools.wraps(function)
    def inner(*args):
        return ["traced", function(*args)]

    return inner


@traced
def decorated(x):
    return mathematics.floor(x)


class Base:
    scale = 10


class Scaled(Base):
    def times(self, x):
        return self.scale * helper(x)


def helper(x, factor=LIMITS["low"][0]):
    return x * factor + len(Ordered())


def recursive(n):
    return 1 if n < 2 else n * recursive(n - 1)


def fails(text):
    raise KeyError(text)  # the line of the error


def test_functions_classes_and_decorators(gateway):
    def function(channel, x):
        channel.send([helper(x), Scaled().times(x), decorated(2.5), recursive(5), list(Point(1, y=2)), double(4)])

    assert gateway.remote_exec(function, globals=True, x=3).receive() == [3, 30, ["traced", 2], 120, [1, 2], 8]


def test_modules_and_names_of_modules(gateway):
    def function(channel):
        channel.send([json.dumps([1]), mathematics.pi, join("a", "b"), os.path.basename("/x/y"), list(Ordered(a=1)),
                      xml.dom.minidom.parseString("<a/>").documentElement.tagName])

    assert gateway.remote_exec(function, globals=True).receive() == ["[1]", mathematics.pi, "a/b", "y", ["a"], "a"]


def test_constants_are_copies_of_their_values(gateway):
    def function(channel):
        global COUNTER
        COUNTER += 1
        channel.send([LIMITS, BIG, COUNTER])

    for _ in range(2):
        assert gateway.remote_exec(function, globals=True).receive() == [LIMITS, BIG, 1]
    assert COUNTER == 0


def test_modules_of_the_program_go_along(gateway):
    def function(channel):
        import shipped

        channel.send([shapes.area(2, 4), square(1), alias(1, 1), shapes.text({}), shapes.__name__, shapes.__package__,
                      sys.modules["shipped.shapes"] is shapes and shipped.shapes is shapes])

    got = gateway.remote_exec(function, globals=True).receive()
    assert got == ["24 m2", "1 m2", "3 m2", "{}", "shipped.shapes", "shipped", True]

    def source(channel):
        import inspect

        channel.send([inspect.getsource(shapes.area), inspect.getsource(helper)])

    assert gateway.remote_exec(source, globals=True).receive() == [inspect.getsource(shapes.area), inspect.getsource(helper)]


def test_tracebacks_show_file_and_line(gateway):
    def function(channel, where):
        fails("here") if where == "same" else shapes.fail()

    for where, fails_in, line, text in (
            ("same", __file__, fails.__code__.co_firstlineno + 1, "the line of the error"),
            ("other", shapes.__file__, shapes.fail.__code__.co_firstlineno + 1, "the line that a traceback shows")):
        with pytest.raises(gangway.RemoteError) as info:
            gateway.remote_exec(function, globals=True, where=where).waitclose()
        lines = str(info.value).splitlines()
        assert [line for line in lines if line.startswith("  File")][0] == (
            '  File "%s", line %d, in function' % (__file__, function.__code__.co_firstlineno + 1))
        assert '  File "%s", line %d, in %s' % (fails_in, line, "fails" if where == "same" else "fail") in lines
        assert text in str(info.value)


def test_an_error_of_an_import_names_the_module(gateway):
    def function(channel):
        channel.send(broken.__name__)

    gateway.remote_exec("import os; os.environ['SHIPPED_BROKEN'] = '1'").waitclose()
    with pytest.raises(gangway.RemoteError) as info:
        gateway.remote_exec(function, globals=True).receive()
    assert 'broken.py", line 5' in str(info.value) and "broken on import" in str(info.value)
    assert len(str(info.value)) < 1000
    gateway.remote_exec("import os; del os.environ['SHIPPED_BROKEN']").waitclose()
    assert gateway.remote_exec(function, globals=True).receive() == "shipped.broken"


def uses_file(channel):
    return OPEN_FILE


def uses_lock(channel):
    return LOCK


def uses_closure(channel):
    return decorated_elsewhere(1)


def uses_not_plain(channel):
    return NOT_PLAIN


def uses_undefined(channel):
    return nowhere  # noqa: F821


def uses_huge(channel):
    return HUGE


decorated_elsewhere = functools.partial(helper, 1)


@pytest.mark.parametrize("function, texts", [
    (uses_file, ["`OPEN_FILE`", "uses_file, line", "an open file"]), (uses_lock, ["`LOCK`", "a _thread.lock"]),
    (uses_closure, ["`decorated_elsewhere`", "functools.partial"]), (uses_not_plain, ["`NOT_PLAIN`", "more than plain values"]),
    (uses_undefined, ["`nowhere`", "defined neither in"]), (uses_huge, ["`HUGE`", "too large", "1048576"])],
    ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_sent_is_named(gateway, function, texts):
    with pytest.raises(ValueError) as info:
        gateway.remote_exec(function, globals=True)
    for text in texts:
        assert text in str(info.value)


def test_closures_are_refused(gateway):
    kept = 1

    def function(channel):
        return kept

    with pytest.raises(ValueError, match="`kept`"):
        gateway.remote_exec(function, globals=True)


def test_a_module_that_is_not_python_is_refused(gateway, tmp_path, monkeypatch):
    file = tmp_path / ("speedups" + importlib.machinery.EXTENSION_SUFFIXES[0])
    file.touch()
    module = types.ModuleType("speedups")
    loader = importlib.machinery.ExtensionFileLoader("speedups", str(file))
    module.__spec__ = importlib.machinery.ModuleSpec("speedups", loader, origin=str(file))
    monkeypatch.setitem(sys.modules, "speedups", module)
    monkeypatch.setitem(globals(), "speedups", module)

    def function(channel):
        speedups.run()  # noqa: F821

    with pytest.raises(ValueError, match="`speedups`.*an extension module"):
        gateway.remote_exec(function, globals=True)


def test_without_globals_the_text_says_what_they_are(gateway):
    def function(channel):
        channel.send(json.dumps(helper(LIMITS)))

    with pytest.raises(ValueError) as info:
        gateway.remote_exec(function)
    line = function.__code__.co_firstlineno + 1
    for text in ("`json` (a module, line %d)" % line, "`helper` (a function, line %d)" % line, "`LIMITS` (a dict, line %d)" % line,
                 "globals=True"):
        assert text in str(info.value)
    assert info.value.args[1] == ["json", "helper", "LIMITS"]


def test_a_parameter_of_that_name_is_the_functions(gateway):
    def function(channel, globals):
        channel.send(globals)

    assert gateway.remote_exec(function, globals=5).receive() == 5


def test_globals_is_for_functions(gateway):
    with pytest.raises(TypeError, match="globals=True"):
        gateway.remote_exec("1", globals=True)
    gateway.remote_exec("1", globals=False).waitclose()


def test_each_module_is_sent_once(gateway):
    def function(channel):
        channel.send(shapes.FACTOR)

    from gangway.source import prepare

    gateway.remote_exec(function, globals=True).waitclose()
    assert gateway._send_modules(prepare(function, {"globals": True})) is None


def test_group_sends_to_all(gateway):
    def function(channel):
        channel.send(shapes.area(1, 1))

    with_two = gangway.Group(["popen", "popen//python=%s" % sys.executable])
    try:
        assert with_two.remote_exec(function, globals=True).receive_each() == ["3 m2", "3 m2"]
    finally:
        with_two.terminate(timeout=5)


def test_a_program_on_its_first_line(run_program):
    text = ("def work(channel): channel.send([twice(NUMBER), os.sep])\n"
            "def twice(x): return 2 * x\n"
            "import os\n"
            "import gangway\n"
            "NUMBER = 21\n"
            "print(gangway.makegateway().remote_exec(work, globals=True).receive())\n")
    assert run_program(text) == "[42, '/']\n"


def test_annotations_that_nobody_evaluates_need_nothing(run_program):
    text = ("from __future__ import annotations\n"
            "import gangway\n"
            "def work(channel: gangway.Channel, more: 'Nothing' = None) -> NoSuchName:\n"
            "    x: gangway.Channel = channel\n"
            "    channel.send(type(x).__name__)\n"
            "print(gangway.makegateway().remote_exec(work, globals=True).receive())\n")
    assert run_program(text) == "Channel\n"


@pytest.fixture
def run_program(tmp_path):
    import subprocess

    def run(text):
        (tmp_path / "program.py").write_text(text)
        done = subprocess.run([sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
