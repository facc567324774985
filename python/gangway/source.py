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
    `function` is called as function(channel, **kwargs), None is just executed; `modules` are those
    that have to be there before: name to (source, file, whether it is a package)."""

    def __init__(self, text: str, file: str | None = None, function: str | None = None,
                 modules: dict[str, tuple[str, str, bool]] | None = None) -> None:
        self.text = text
        self.file = file
        self.function = function
        self.modules = modules


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


def prepare(source: Any, arguments: dict[str, Any]) -> Source:
    """The same as remote_exec() got it: `globals` among the arguments is ours, unless it is the
    name of a parameter of the function. It is taken out of them then.

    TypeError for arguments without a function, and for globals without one.
    """
    if "globals" in arguments and "globals" not in parameters_of(source):
        wanted = arguments.pop("globals")
        if wanted and not isinstance(source, types.FunctionType):
            raise TypeError("globals=True is for functions, not for %r" % type(source))
        if wanted:
            from .ship import source_with_globals

            return source_with_globals(source)
    found = source_of(source)
    if arguments and found.function is None:
        raise TypeError("can't pass kwargs to non-function remote_exec")
    return found


def parameters_of(source: Any) -> tuple[str, ...]:
    if not isinstance(source, types.FunctionType):
        return ()
    code = source.__code__
    return code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]


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

    check_function(function)
    name = function.__name__
    code = function.__code__
    try:
        source = inspect.getsource(function)
    except OSError as error:
        raise ValueError("there is no source of %s(), said to be in %s" % (name, code.co_filename)) from error
    source = textwrap.dedent(source)
    uses = uses_of_globals(source, code)
    if uses:
        above = code.co_firstlineno - 1
        kinds = ", ".join("`%s` (%sline %d)" % (used, kind_of(used, function), above + line) for used, line in uses.items())
        raise ValueError("%s() has the use of non-builtin globals: %s, which the far side does not have: %s. Import it inside "
                         "of the function, pass it as an argument, or say remote_exec(%s, globals=True)"
                         % (name, spoken("it uses", uses), kinds, name), list(uses))
    return "\n" * (code.co_firstlineno - 1) + source


def check_function(function: types.FunctionType) -> None:
    """ValueError for one that cannot be sent, whatever goes with it."""
    import inspect

    name = function.__name__
    if name == "<lambda>":
        raise ValueError("a lambda cannot be sent: define a function with def")
    arguments = inspect.getfullargspec(function).args
    if not arguments or arguments[0] != "channel":
        raise ValueError("the first argument of %s() must be `channel`, not %s"
                         % (name, "`%s`" % arguments[0] if arguments else "missing"))
    if function.__closure__:
        raise ValueError("%s() is a closure: %s of the function around it. Functions with closures cannot be sent: pass it "
                         "as an argument" % (name, spoken("it uses", function.__code__.co_freevars)))


def kind_of(name: str, function: types.FunctionType) -> str:
    """What a global is at this time, for a text."""
    if name not in function.__globals__:
        return "not defined, "
    value = function.__globals__[name]
    kinds = ((types.ModuleType, "module"), (types.FunctionType, "function"), (type, "class"))
    return "a %s, " % next((text for kind, text in kinds if isinstance(value, kind)), type(value).__name__)


def find_non_builtin_globals(source: str, code: types.CodeType) -> list[str]:
    """The names that a function's source uses and that neither it nor Python defines, in the order
    of their first use. Decorators, defaults and annotations count; attributes and keywords do not."""
    return list(uses_of_globals(source, code))


def uses_of_globals(source: str, code: types.CodeType) -> dict[str, int]:
    """The same with the lines of the source."""
    import ast
    import symtable

    module = symtable.symtable(source, code.co_filename, "exec")
    defined = {symbol.get_name() for table in tables(module) for symbol in table.get_symbols()
               if symbol.is_assigned() and (table is module or symbol.is_global())}
    missing = {name for name in names_used(source, code.co_filename) if name not in defined and not hasattr(builtins, name)}
    uses = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and node.id in missing]
    uses.sort(key=lambda node: (node.lineno, node.col_offset), reverse=True)
    lines = {node.id: node.lineno for node in uses}  # of the first use
    return {node.id: lines[node.id] for node in reversed(uses)}


def names_used(source: str, file: str, annotations: bool = True) -> set[str]:
    """The globals that a text uses, those of its functions included, but for what it binds itself
    outside of them. Without `annotations` these do not count."""
    import symtable

    if not annotations:
        source = without_annotations(source)
    module = symtable.symtable(source, file, "exec")
    bound = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned() or symbol.is_namespace()}
    return {symbol.get_name() for table in tables(module) for symbol in table.get_symbols()
            if (symbol.is_referenced() if table is module else symbol.is_global())} - bound


def without_annotations(source: str) -> str:
    import ast

    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.unparse(tree)


def tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """The scope and those inside of it."""
    yield table
    for child in table.get_children():
        yield from tables(child)


def spoken(verb: str, names) -> str:
    return "%s %s" % (verb, ", ".join("`%s`" % name for name in names))
