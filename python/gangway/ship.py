"""What a function needs that is defined outside of it: remote_exec(function, globals=True).

The far side gets a text of as many lines as the function's file has. Where that defines what the
function uses, and what that uses in turn, its lines stand; the others are empty. So tracebacks
show the right file and lines. In detail, for a name that is

    a function or class of the same file    its source, decorators included, which run there again
    a module                                an import; modules of the program (not of the standard
                                            library, not installed) go along as source, with the
                                            modules of the program that they import
    something imported from a module        the same import
    None, bool, int, float, complex, str,   its value at this time: a copy
    bytes, bytearray, or a list, tuple,
    dict, set, frozenset of such

ValueError says what cannot go: open files and other objects of a process, extension modules of the
program, closures, names that nothing defines. What is installed here has to be installed there, and
data files beside the modules are not sent. A module that the far side has imported already stays as it is.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import io
import linecache
import math
import os
import sys
import sysconfig
import textwrap
import types

from .source import Source, check_function, names_used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

LITERAL_LIMIT = 1 << 20  # characters of a constant: it is compiled there, which takes 30 times its size
DEPTH_LIMIT = 50  # of a constant; Python's parser gives up at 100 brackets

# Modules whose import has to work there by itself, wherever they lie here.
OURS = {"gangway", "execnet", "__main__"}


def source_with_globals(function: types.FunctionType) -> Source:
    """The function with what it needs. ValueError for what cannot be sent, with its name."""
    check_function(function)
    text = Text(function)
    text.add_function(function)
    return Source(text.text(), text.file, function.__name__, text.modules)


class Text:
    """The lines of one file that are sent."""

    def __init__(self, function: types.FunctionType) -> None:
        self.space = function.__globals__
        self.file = function.__code__.co_filename
        self.module = function.__module__
        lines = linecache.getlines(inspect.getsourcefile(function) or self.file, self.space)
        tree = ast.parse("".join(lines))
        self.lines = lines
        self.statements = dict(bindings(tree.body))
        self.imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
        self.future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        self.later = any(alias.name == "annotations" for node in self.future for alias in node.names)
        self.blocks: dict[int, list[str]] = {}  # first line -> lines
        self.simple: dict[int, list[str]] = {}  # line -> statements; 0: anywhere
        self.known: set[str] = set()
        self.modules: dict[str, tuple[str, str, bool]] = {}
        for node in self.future:
            names = ", ".join(alias.name for alias in node.names)
            self.put(node.lineno, "from __future__ import " + names)

    def add_function(self, function: types.FunctionType) -> None:
        try:
            lines, first = inspect.getsourcelines(function)
        except OSError as error:
            raise ValueError("there is no source of %s(), said to be in %s" % (function.__name__, self.file)) from error
        if self.space.get(function.__name__) is function:
            self.known.add(function.__name__)
        self.add_block(function.__name__, max(first, 1), textwrap.dedent("".join(lines)))

    def add_block(self, name: str, first: int, source: str) -> None:
        lines = source.rstrip("\n").split("\n")
        for other, there in self.blocks.items():
            if first < other + len(there) and other < first + len(lines):
                raise ValueError("`%s` stands inside of another function or class that is needed" % name)
        self.blocks[first] = lines
        for used in names_used(source, self.file, not self.later):
            self.add_name(used, "%s, line %d" % (name, first))

    def add_name(self, name: str, user: str) -> None:
        if name in self.known or name == "__name__":
            return
        self.known.add(name)
        if name not in self.space:
            if name != "channel" and not hasattr(builtins, name):
                raise ValueError("`%s`, which %s uses, is defined neither in %s nor by Python" % (name, user, self.file))
            return
        value = self.space[name]
        nodes = self.statements.get(name, [])
        line = nodes[-1].lineno if nodes else 0
        definition = definition_of(value, nodes, self.file)
        constant = literal(value)
        if isinstance(value, types.ModuleType):
            self.add_module(name, value, user, line)
        elif definition is not None:
            self.add_statement(name, definition)
        elif constant is not None:
            if len(constant) > LITERAL_LIMIT:
                raise ValueError("`%s`, which %s uses, is too large to go along: %d characters, the limit is %d. "
                                 "Pass it as an argument" % (name, user, len(constant), LITERAL_LIMIT))
            self.put(line, "%s = %s" % (name, constant))
        elif not (self.add_import(name, value, user, nodes) or self.add_assignment(name, value, nodes)):
            raise ValueError("`%s`, which %s uses, is %s, which cannot be sent. Make it inside of the function, or pass "
                             "what it is made of as an argument" % (name, user, described(value)))

    def add_statement(self, name: str, node: ast.stmt) -> None:
        decorators = getattr(node, "decorator_list", None)
        first = decorators[0].lineno if decorators else node.lineno
        self.add_block(name, first, textwrap.dedent("".join(self.lines[first - 1:node.end_lineno])))

    def add_module(self, name: str, module: types.ModuleType, user: str, line: int) -> None:
        full = module.__name__
        if full == "__main__" or sys.modules.get(full) is not module:
            raise ValueError("`%s`, which %s uses, is the module %r, which cannot be imported there" % (name, user, full))
        self.send_module(full, name, user)
        self.put(line, "import %s" % full if full == name else "import %s as %s" % (full, name))
        for node in self.imports:  # of `import a.b` the name is a
            for alias in node.names:
                if alias.asname is None and alias.name.startswith(full + ".") and full == name:
                    self.send_module(alias.name, name, user)
                    self.put(line, "import " + alias.name)

    def send_module(self, full: str, name: str, user: str) -> None:
        if is_extension_of_program(full):
            raise ValueError("`%s`, which %s uses, is of %s, an extension module, which cannot be sent. Install it there, and "
                             "import it inside of the function" % (name, user, full))
        collect(full, self.modules)

    def add_import(self, name: str, value: Any, user: str, nodes: list[ast.stmt]) -> bool:
        """If it comes from another module, by the statement here or by what it says of itself."""
        places = [place for node in nodes if isinstance(node, ast.ImportFrom) for place in self.places(node, name)]
        if callable(value):
            places.append((getattr(value, "__module__", None), getattr(value, "__qualname__", ""), 0))
        for module, attribute, line in places:
            if module in (None, "__main__", self.module) or module not in sys.modules or not attribute.isidentifier():
                continue
            if getattr(sys.modules[module], attribute, None) is value:
                self.send_module(module, name, user)
                self.put(line, "from %s import %s as %s" % (module, attribute, name))
                return True
        return False

    def places(self, node: ast.ImportFrom, name: str) -> Iterator[tuple[str | None, str, int]]:
        module = absolute(node, self.space.get("__package__") or "")
        for alias in node.names:
            if alias.name == "*" or (alias.asname or alias.name) == name:
                yield module, name if alias.name == "*" else alias.name, node.lineno

    def add_assignment(self, name: str, value: Any, nodes: list[ast.stmt]) -> bool:
        """If a statement like `Point = namedtuple(...)` or `square = lambda x: x * x` makes it."""
        if not nodes or not isinstance(nodes[-1], ast.Assign) or getattr(value, "__closure__", None):
            return False
        if not isinstance(value, (type, types.FunctionType)):
            return False
        self.add_statement(name, nodes[-1])
        return True

    def put(self, line: int, statement: str) -> None:
        statements = self.simple.setdefault(line, [])
        if statement not in statements:
            statements.append(statement)

    def text(self) -> str:
        lines: dict[int, str] = {}
        for first, block in self.blocks.items():
            lines.update(enumerate(block, first))
        elsewhere = self.simple.pop(0, [])
        for line, statements in self.simple.items():
            if line in lines:
                elsewhere += statements
            else:
                lines[line] = "; ".join(statements)
        if elsewhere:
            # What a definition needs while it runs is imported above it, in its file as well as here.
            start = max((node.lineno for node in self.future), default=0) + 1
            line = next(line for line in range(start, max(lines) + 2) if line not in lines)
            lines[line] = "; ".join(elsewhere)
        return "".join(lines.get(line, "") + "\n" for line in range(1, max(lines) + 1))


def bindings(statements: list[ast.stmt]) -> Iterator[tuple[str, list[ast.stmt]]]:
    """What a file defines, outside of functions and classes: name and statements, in order."""
    found: dict[str, list[ast.stmt]] = {}

    def look(statements: list[ast.stmt]) -> None:
        for node in statements:
            for name in bound_by(node):
                found.setdefault(name, []).append(node)
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                for field in ("body", "handlers", "orelse", "finalbody"):
                    for inner in getattr(node, field, []):
                        look(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])

    look(statements)
    return iter(found.items())


def bound_by(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    targets: list[Any] = [getattr(node, "target", None)]
    if isinstance(node, ast.Assign):
        targets += node.targets
    return [name.id for target in targets if target is not None for name in ast.walk(target)
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]


def definition_of(value: Any, nodes: list[ast.stmt], file: str) -> ast.stmt | None:
    """The def or class statement that made it: the last one, unless its lines say which."""
    found = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    if not found:
        return None
    code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
    if code is not None and code.co_filename == file:
        for node in found:
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            if code.co_firstlineno in (first, node.lineno):
                return node
    elsewhere = code is not None and code.co_filename != file and len(found) < len(nodes)
    return None if found[-1] is not nodes[-1] or elsewhere else found[-1]


def absolute(node: ast.ImportFrom, package: str) -> str | None:
    """The module that `from ... import` names."""
    if not node.level:
        return node.module
    parent = package.rsplit(".", node.level - 1)[0] if package else ""
    return ".".join(filter(None, [parent, node.module])) or None


def literal(value: Any, depth: int = 0) -> str | None:
    """An expression for a value that an item can carry; None for others."""
    kind = type(value)
    if value is None or kind in (bool, str, bytes, bytearray):
        return repr(value)
    if kind is int:
        return hex(value) if value.bit_length() > 1000 else repr(value)  # decimal digits take their time
    if kind is float:
        return repr(value) if math.isfinite(value) else "float('%r')" % value
    if kind is complex:
        return "complex(%s, %s)" % (literal(value.real), literal(value.imag))
    if kind not in (list, tuple, dict, set, frozenset) or depth >= DEPTH_LIMIT:
        return None
    parts: list[Any] = [part for item in value.items() for part in item] if kind is dict else list(value)
    items = [literal(part, depth + 1) for part in parts]
    texts = [item for item in items if item is not None]
    if len(texts) < len(items):
        return None
    if kind is dict:
        return "{%s}" % ", ".join(map(": ".join, zip(texts[::2], texts[1::2])))
    if kind is tuple:
        return "(%s)" % "".join(text + "," for text in texts)
    inside = "[%s]" % ", ".join(texts)
    return inside if kind is list else "%s(%s)" % (kind.__name__, inside)


def described(value: Any) -> str:
    if isinstance(value, io.IOBase):
        return "an open file"
    if getattr(value, "__closure__", None):
        return "a closure"
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return "a %s that holds more than plain values" % type(value).__name__
    return "a %s.%s" % (type(value).__module__, type(value).__qualname__)


def place_of(name: str) -> Any:
    """The spec of a module, without importing it; None when there is none."""
    parent = name.rpartition(".")[0]
    if name not in sys.modules and parent and parent not in sys.modules:
        return None
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def is_of_program(name: str, spec: Any) -> bool:
    """Whether a module belongs to the program, rather than to an installation."""
    root = name.partition(".")[0]
    if spec is None or root in OURS or root in getattr(sys, "stdlib_module_names", sys.builtin_module_names):
        return False
    files = list(spec.submodule_search_locations or []) if spec.origin is None else [spec.origin]
    if not files or not os.path.isabs(files[0]):
        return False
    paths = sysconfig.get_paths()
    installed = {os.path.join(paths[kind], "") for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    parts = set(files[0].split(os.sep))
    return not files[0].startswith(tuple(installed)) and not parts & {"site-packages", "dist-packages"}


def is_extension_of_program(name: str) -> bool:
    spec = place_of(name)
    return is_of_program(name, spec) and isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)


def collect(name: str, modules: dict[str, tuple[str, str, bool]]) -> None:
    """Adds a module of the program, those that it is in, and those that it imports: name to
    (source, file, whether it is a package)."""
    waiting = [name]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        waiting += [".".join(parts[:count]) for count in range(1, len(parts)) if ".".join(parts[:count]) not in modules]
        spec: Any = None if name in modules else place_of(name)
        if not is_of_program(name, spec) or isinstance(spec.loader, importlib.machinery.ExtensionFileLoader):
            continue
        package = spec.submodule_search_locations is not None
        source = (spec.loader.get_source(name) if spec.origin and hasattr(spec.loader, "get_source") else None) or ""
        modules[name] = source, spec.origin or "<namespace %s>" % name, package
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = absolute(node, name if package else spec.parent)
                if base:
                    waiting += [base] + ["%s.%s" % (base, alias.name) for alias in node.names if alias.name != "*"]


# Runs on the far side, on Python 3.6, too.
RECEIVER = '''\
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader


class SentModule(SourceFileLoader):
    """A module whose source came from the controller."""

    def __init__(self, name, entry):
        SourceFileLoader.__init__(self, name, entry[1])
        self.entry = entry

    def get_source(self, name):
        return self.entry[0]

    def get_code(self, name):
        return compile(self.entry[0], self.path, "exec", dont_inherit=True)

    def is_package(self, name):
        return self.entry[2]


class SentModules:
    """In sys.meta_path, first: what was sent is what is meant."""

    def __init__(self):
        self.entries = {}

    def find_spec(self, name, path=None, target=None):
        entry = self.entries.get(name)
        if entry:
            spec = ModuleSpec(name, SentModule(name, entry), origin=entry[1], is_package=entry[2])
            spec.has_location = not entry[1].startswith("<")
            return spec


def receive_modules(channel, modules):
    found = [finder for finder in sys.meta_path if type(finder).__name__ == "SentModules"]
    if not found:
        found = [SentModules()]
        sys.meta_path[:0] = found
    found[0].entries.update(modules)
'''
