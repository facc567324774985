"""Which functions can be sent."""

import inspect

import pytest
from execnet.gateway import _find_non_builtin_globals, _source_of_function

VALUE = 3


def source_and_code(function):
    import textwrap

    return textwrap.dedent(inspect.getsource(function)), function.__code__


def nothing(channel):
    pass


def closure():
    kept = 3

    def function(channel):
        return kept

    return function


def uses_a_global(channel):
    return VALUE


def uses_two(channel):
    return inspect.getsource(VALUE) or VALUE


def default(channel, value=VALUE):
    pass


def annotation(channel: VALUE):
    pass


def builtins(channel):
    return len("123") + print.x


def attributes(channel):
    text = dict(VALUE=1)
    return text.VALUE


def imports(channel):
    import os.path as path
    from sys import argv

    return path, argv


@pytest.mark.parametrize("function", [nothing, attributes, imports, lambda: 0], ids=str)
def test_source_has_the_lines_above(function):
    if function.__name__ == "<lambda>":
        return
    source = _source_of_function(function)
    line = function.__code__.co_firstlineno
    assert source.startswith("\n" * (line - 1) + "def ")


def test_source_is_dedented():
    def function(channel):
        return 1

    assert _source_of_function(function).lstrip("\n") == "def function(channel):\n    return 1\n"


@pytest.mark.parametrize("function, names", [
    (uses_a_global, ["VALUE"]), (default, ["VALUE"]), (annotation, ["VALUE"])])
def test_globals_are_refused(function, names):
    with pytest.raises(ValueError) as info:
        _source_of_function(function)
    assert info.value.args[1] == names


@pytest.mark.better("names come as often as they are used")
def test_globals_are_named_once():
    with pytest.raises(ValueError) as info:
        _source_of_function(uses_two)
    assert info.value.args[1] == ["inspect", "VALUE"]
    assert "`inspect`, `VALUE`" in info.value.args[0]


def decorated_by(function):
    return function


@decorated_by
def decorated(channel):
    pass


def test_decorators_count():
    with pytest.raises(ValueError) as info:
        _source_of_function(decorated)
    assert info.value.args[1] == ["decorated_by"]


@pytest.mark.parametrize("function", [nothing, builtins, attributes, imports])
def test_find_non_builtin_globals_finds_none(function):
    assert _find_non_builtin_globals(*source_and_code(function)) == []


def test_find_non_builtin_globals():
    assert _find_non_builtin_globals(*source_and_code(uses_a_global)) == ["VALUE"]


@pytest.mark.better("locals of inner scopes are taken for globals")
def test_inner_scopes_are_understood():
    def function(channel, n=3):
        squares = [x * x for x in range(n)]

        def inner(y):
            return y + n + len(squares)

        class Inside:
            z = 3
            w = z

        if n:
            function(channel, n - 1)
        try:
            return inner(1), Inside, (lambda a: a)(1)
        except ValueError as error:
            return error

    assert _find_non_builtin_globals(*source_and_code(function)) == []


@pytest.mark.better("the same")
def test_globals_of_inner_scopes_are_found():
    def function(channel):
        def inner():
            return [VALUE for _ in "x"]

        return inner

    assert _find_non_builtin_globals(*source_and_code(function)) == ["VALUE"]


def no_arguments():
    pass


def other_argument(ch, channel):
    pass


@pytest.mark.parametrize("function", [lambda channel: 1, no_arguments, other_argument, closure()], ids=lambda f: f.__name__)
def test_what_cannot_be_sent(gateway, function):
    with pytest.raises(ValueError):
        gateway.remote_exec(function)


@pytest.mark.better("it is not named")
def test_messages_name_what_is_wrong():
    for function, text in ((closure(), "`kept`"), (other_argument, "`ch`"), (uses_a_global, "`VALUE`")):
        with pytest.raises(ValueError, match=text):
            _source_of_function(function)


def test_function_without_source():
    namespace = {}
    exec("def function(channel): pass", namespace)
    with pytest.raises(ValueError):
        _source_of_function(namespace["function"])


@pytest.mark.parametrize("text", [
    "x", "", "\n\nx\n  y", "  x\n  y", "\n    if 1:\n        x\n", "\tx", "  \n x\n y", "x\n  y"])
def test_dedent(request, text):
    import textwrap

    if request.config.getoption("--oracle"):
        pytest.skip("not with the oracle")
    from gangway.source import dedent

    assert dedent(text).split() == text.split()
    strip = [line.rstrip() for line in dedent(text).split("\n")]
    assert strip == [line.rstrip() for line in textwrap.dedent(text).split("\n")]
