"""What remote_exec accepts, as the text that is sent: strings, functions, modules.

Most programs send strings; what only the others need is imported when it is needed.
"""

from __future__ import annotations

import builtins
import types
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    import symtable
    from typing import Any, Iterator


class Source:
    """Python source as it is compiled on the far side. `file` is for tracebacks, None is <remote exec>;
    `function` is called as function(channel, **kwargs), None is just executed."""

    def __init__(self, text: str, file: str | None = None, function: str | None = None) -> None:
        self.text = text
        self.file = file
        self.function = function


# Those that were sent, with their code. Looking at the source takes half a millisecond; and it is
# the source of the function that is in memory, whatever becomes of its file.
functions: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def source_of(source: Any) -> Source:
    """The Source of a function, a module, or anything else by its str().

    Raises ValueError for a function that cannot be sent, OSError for a module without source.
    """
    if isinstance(source, types.FunctionType):
        code, known = functions.get(source, (None, None))
        if code is not source.__code__:
            code = source.__code__
            known = Source(source_of_function(source), code.co_filename, source.__name__)
            functions[source] = code, known
        return known
    if isinstance(source, types.ModuleType):
        return source_of_module(source)
    return Source(dedent(str(source)))


def dedent(text: str) -> str:
    """The text without its common indentation. Most have none, which is seen at once."""
    code = text.lstrip()
    above = text[:len(text) - len(code)]  # empty lines, and the first one's indentation
    if not above or above.endswith("\n"):
        return text
    import textwrap

    return textwrap.dedent(text)


def source_of_module(module: types.ModuleType) -> Source:
    """The module's source as it is now in its file."""
    import inspect
    import linecache
    import os
    import tokenize

    file = inspect.getsourcefile(module)
    if file is None:
        raise OSError("there is no source of module %r" % module.__name__)
    if os.path.exists(file):
        with tokenize.open(file) as stream:  # by its coding line
            return Source(stream.read(), file)
    lines = linecache.getlines(file, vars(module))  # in an archive, or made by somebody
    if not lines:
        raise OSError("there is no source of module %r: %s cannot be read" % (module.__name__, file))
    return Source("".join(lines), file)


def source_of_function(function: types.FunctionType) -> str:
    """The dedented source of a function, with an empty line for each line above it, so that
    tracebacks show the right numbers.

    Raises ValueError, whose text says what to do about it, for a function that cannot run alone.
    """
    import inspect
    import textwrap

    name = function.__name__
    if name == "<lambda>":
        raise ValueError("a lambda cannot be sent: define a function with def")
    arguments = inspect.getfullargspec(function).args
    if not arguments or arguments[0] != "channel":
        raise ValueError("the first argument of %s() must be `channel`, not %s"
                         % (name, "`%s`" % arguments[0] if arguments else "missing"))
    code = function.__code__
    if function.__closure__:
        raise ValueError("%s() is a closure: %s of the function around it. Functions with closures "
                         "cannot be sent: pass it as an argument" % (name, spoken("it uses", code.co_freevars)))
    try:
        source = inspect.getsource(function)
    except OSError as error:
        raise ValueError("there is no source of %s(), said to be in %s" % (name, code.co_filename)) from error
    source = textwrap.dedent(source)
    names = find_non_builtin_globals(source, code)
    if names:
        raise ValueError("%s() has the use of non-builtin globals: %s, which the far side does not have. Import it "
                         "inside of the function, or pass it as an argument" % (name, spoken("it uses", names)), names)
    return "\n" * (code.co_firstlineno - 1) + source


def find_non_builtin_globals(source: str, code: types.CodeType) -> list[str]:
    """The names that a function's source uses and that neither it nor Python defines, in the order
    of their first use. Decorators, defaults and annotations count; attributes and keywords do not."""
    import ast
    import symtable

    missing = set()
    module = symtable.symtable(source, code.co_filename, "exec")
    defined = {symbol.get_name() for table in tables(module) for symbol in table.get_symbols()
               if symbol.is_assigned() and (table is module or symbol.is_global())}
    for table in tables(module):
        for symbol in table.get_symbols():
            used = symbol.is_referenced() and (table is module or symbol.is_global())
            if used and symbol.get_name() not in defined and not hasattr(builtins, symbol.get_name()):
                missing.add(symbol.get_name())
    uses = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and node.id in missing]
    uses.sort(key=lambda node: (node.lineno, node.col_offset))
    return list(dict.fromkeys(node.id for node in uses))


def tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """The scope and those inside of it."""
    yield table
    for child in table.get_children():
        yield from tables(child)


def spoken(verb: str, names) -> str:
    return "%s %s" % (verb, ", ".join("`%s`" % name for name in names))
