"""Makes Python sources small, for bundle.py: what is not needed to run them goes, names get short."""
import ast
import builtins
import collections
import importlib
import io
import keyword
import os
import re
import sys
import tokenize


class Strip(ast.NodeTransformer):
    """Docstrings, annotations and relative imports out."""

    def visit_ImportFrom(self, node):
        return None if node.level else node

    def visit_body(self, node):
        self.generic_visit(node)
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            del node.body[0]
        if not node.body and not isinstance(node, ast.Module):
            node.body.append(ast.Pass())
        return node

    visit_Module = visit_ClassDef = visit_body

    def visit_FunctionDef(self, node):
        node.returns = None
        for arg in node.args.args + node.args.kwonlyargs:
            arg.annotation = None
        return self.visit_body(node)

    def visit_AnnAssign(self, node):
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def is_marked(node, mark):
    return any(isinstance(other, ast.Name) and other.id == mark for other in getattr(node, "decorator_list", ()))


def part_of(node):
    """The name in @on_demand("name"), "" for @rare, else None."""
    for mark in getattr(node, "decorator_list", ()):
        if isinstance(mark, ast.Call) and getattr(mark.func, "id", None) == "on_demand":
            return mark.args[0].value
    return "" if is_marked(node, "rare") else None


def fold(tree):
    """Puts the bodies of classes that are marked @part into the one that derives from them."""
    parts = {node.name: node for node in tree.body if is_marked(node, "part")}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and parts and {base.id for base in node.bases if isinstance(base, ast.Name)} & set(parts):
            for base in node.bases:
                node.body += parts.pop(base.id).body
            node.bases = []
            names = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
            assert len(names) == len(set(names)), names
            tree.body = [other for other in tree.body if not is_marked(other, "part")]
    assert not parts, list(parts)
    return tree


def gather_imports(tree):
    """The imports of all modules in front, each once."""
    modules, names = {}, {}
    for node in [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]:
        tree.body.remove(node)
        for alias in node.names:
            into = modules if isinstance(node, ast.Import) else names.setdefault(node.module, {})
            into[alias.name, alias.asname] = alias
    imports = [ast.Import(list(modules.values()))] if modules else []
    imports += [ast.ImportFrom(module, list(aliases.values()), 0) for module, aliases in names.items()]
    tree.body[:0] = imports
    return tree


class Split(ast.NodeTransformer):
    """Takes out what is marked @rare or @on_demand."""

    def __init__(self):
        self.rare = {}  # the part's name, "" for the bundle -> nodes
        self.names = set()  # of module-level ones
        self.methods = set()

    def take(self, node):
        assert node.name not in {other.name for nodes in self.rare.values() for other in nodes}, node.name
        self.rare.setdefault(part_of(node), []).append(node)
        node.decorator_list = []

    def visit_Module(self, tree):
        for node in list(tree.body):
            if part_of(node) is not None and hasattr(node, "name"):
                self.names.add(node.name)
                self.take(node)
                tree.body.remove(node)
            elif getattr(node, "name", None) in ("rare", "on_demand", "part"):
                tree.body.remove(node)
            elif isinstance(node, ast.ClassDef):
                self.split_class(node)
        return tree

    def split_class(self, tree):
        found = [node for node in tree.body if part_of(node) is not None]
        for node in found:
            self.methods.add(node.name)
            self.take(node)
            tree.body.remove(node)
        if found:
            assert not tree.bases
            tree.bases = [ast.Name("Lazy", ast.Load())]


class Refer(ast.NodeTransformer):
    """Makes RARE.name out of the name of something that is compiled later."""

    def __init__(self, names):
        self.names = names

    def visit_Name(self, node):
        if node.id in self.names:
            return ast.Attribute(ast.Name("RARE", ast.Load()), node.id, ast.Load())
        return node


class Inline(ast.NodeTransformer):
    """Module constants (upper case, of numbers) by their values."""

    def __init__(self, body):
        self.values = {}
        for node in body:
            if isinstance(node, ast.Assign):
                self.collect(node)

    def collect(self, node):
        targets, values = node.targets, [node.value]
        if isinstance(targets[0], ast.Tuple):
            targets, values = targets[0].elts, getattr(node.value, "elts", [])
        for target, value in zip(targets, values):
            if isinstance(target, ast.Name) and target.id.isupper() and not target.id.startswith("__"):
                try:
                    self.values[target.id] = eval(ast.unparse(value), {}, dict(self.values))
                except Exception:
                    continue
                if type(self.values[target.id]) not in (int, float):
                    del self.values[target.id]

    def visit_Assign(self, node):
        names = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
        if all(isinstance(name, ast.Name) and name.id in self.values for name in names):
            return None
        return self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in self.values:
            return ast.copy_location(ast.Constant(self.values[node.id]), node)
        return node


# What users, the interpreter or a part look up by name: variables and parameters ...
PUBLIC_NAMES = set("""
    array channel Channel RemoteError TimeoutError DataFormatError DumpError LoadError timeout error mode proxyclose callback endmarker py2str_as_py3str
    py3str_as_py2str
    parts compiled bundle codes path Rare VERSION INTERRUPT_TEXT
""".split())
# ... and attributes.
PUBLIC_ATTRIBUTES = set("""
    RemoteError TimeoutError Gateway ExecModel formatted warn send receive close isclosed waitclose next id gateway
    newchannel makefile setcallback reconfigure channel isatty readline join execmodel backend fast reducer_override dispatch_table write find_spec exec_module
    _getremoteerror _executing _finish
""".split())


def foreign_attributes():
    """Attributes of what the agent uses: an attribute of ours with such a name keeps it."""
    import _pickle, _signal, _thread, importlib.machinery, linecache, pickle, select, struct, threading, time, traceback

    things = [
        os, sys, time, io, _thread, _signal, select, struct, threading, traceback, linecache, importlib,
        bytes, bytearray, str, int, float, complex, list, tuple, dict, set, memoryview, collections.deque, io.BytesIO,
        struct.Struct, select.poll(), _thread.RLock(), _thread.allocate_lock(), sys.stdout, sys.implementation,
        pickle, pickle.Pickler, pickle._Pickler, _pickle, threading.Thread, threading.Event, traceback.TracebackException,
        traceback.StackSummary, traceback.FrameSummary, importlib.machinery.ModuleSpec,
        importlib.machinery.SourceFileLoader, OSError]
    names = {"stack", "f_code", "co_filename", "exceptions", "cache", "_active", "_ident", "_main_thread",
             "_tstate_lock", "filename", "loader"}
    return names.union(*map(dir, things))


class Localize(ast.NodeTransformer):
    """A variable of a function that is called like something of PUBLIC_NAMES, but is another
    thing, may get a short name: channel, error, timeout. Not in functions that users call,
    perhaps with keywords."""

    def visit_FunctionDef(self, node):
        if node.name in PUBLIC_ATTRIBUTES:
            return node
        bound, outside = set(), set()
        for inner in ast.walk(node):
            if isinstance(inner, ast.arg):
                bound.add(inner.arg)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                bound.add(inner.id)
            elif isinstance(inner, ast.ExceptHandler):
                bound.add(inner.name)
            elif isinstance(inner, ast.Global):
                outside.update(inner.names)
        here = bound & PUBLIC_NAMES - outside
        for inner in ast.walk(node):
            for field in "id", "arg", "name":
                if getattr(inner, field, None) in here and not isinstance(inner, (ast.keyword, ast.FunctionDef, ast.alias)):
                    setattr(inner, field, getattr(inner, field) + "_")
        return node


class Names(ast.NodeVisitor):
    """How often each name occurs, and which ones are ours: something binds them."""

    def __init__(self, rare):
        self.rare = rare  # functions and classes that are looked up as attributes
        self.names = collections.Counter()
        self.attributes = collections.Counter()
        self.our_names = set()
        self.our_attributes = set(rare)
        self.weight = 1  # of an occurrence
        self.unit = None  # the function or method that we are in, if any
        self.units = collections.defaultdict(set)  # name -> where it occurs

    def note(self, name):
        self.names[name] += self.weight
        self.units[name].add(self.unit)

    def visit_Global(self, node):
        for name in node.names:
            self.units[name].add(None)

    def visit_Name(self, node):
        self.note(node.id)
        if isinstance(node.ctx, ast.Store):
            self.our_names.add(node.id)

    def visit_Attribute(self, node):
        self.attributes[node.attr] += self.weight
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            self.our_attributes.add(node.attr)
        self.generic_visit(node)

    def visit_arg(self, node):
        self.note(node.arg)
        self.our_names.add(node.arg)

    def visit_ExceptHandler(self, node):
        if node.name:
            self.note(node.name)
            self.our_names.add(node.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self.bind(node)
        outer = self.unit
        self.unit = outer or node
        self.generic_visit(node)
        self.unit = outer

    def bind(self, node):
        if node.name not in self.rare:
            self.note(node.name)
            self.our_names.add(node.name)

    def visit_ClassDef(self, node):
        self.bind(node)
        self.generic_visit(node)
        for part in node.body:
            # Bound in a class body: an attribute, whatever the loop above took it for.
            targets = [part] if isinstance(part, ast.FunctionDef) else getattr(part, "targets", [])
            for target in targets:
                self.our_attributes.add(getattr(target, "name", getattr(target, "id", None)))


class Rename(ast.NodeTransformer):
    """Short names: one for each variable, whatever its scope, and one for each attribute.
    Variables that never meet in one function, and are not global, may get the same one.
    Keywords in calls stay: the agent uses them only for functions that are not its own."""

    def __init__(self, tree, parts, rare, methods):
        seen = Names(rare)
        for node in parts:
            seen.visit(node)
        seen.weight = 1000  # the shortest names are for what every session carries
        seen.visit(tree)
        seen.our_attributes |= methods
        self.in_class = 0
        self.rare = rare
        self.methods = methods
        self.names = self.shorten(seen.names, seen.our_names, PUBLIC_NAMES | set(dir(builtins)), seen.units)
        self.attributes = self.shorten(
            seen.attributes, seen.our_attributes, PUBLIC_ATTRIBUTES | foreign_attributes(),
            dict.fromkeys(list(seen.attributes) + sorted(seen.our_attributes - {None}), {None}))

    @staticmethod
    def shorten(count, ours, keep, seen):
        """seen: name -> units. Names that share one, or of which one is global (None), differ."""
        ours = {name for name in ours - keep if name and not name.startswith("__")}
        taken = keep | set(seen) | set(keyword.kwlist)
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        short = [a + b for a in [""] + list(letters) for b in letters]
        short = [name for name in short if name not in taken]
        result = {}
        used = {}  # short name -> units
        for name, _ in (count + collections.Counter(ours)).most_common():
            if name in ours:
                where = seen[name]
                result[name] = next(s for s in short if s not in used or not (
                    None in where or None in used[s] or where & used[s]))
                used[result[name]] = used.get(result[name], set()) | where
        return result

    def name(self, name):
        return self.names.get(name, name)

    def attribute(self, name):
        return self.attributes.get(name, name)

    def visit_Name(self, node):
        node.id = self.attribute(node.id) if self.in_class else self.name(node.id)
        return node

    def visit_Attribute(self, node):
        node.attr = self.attribute(node.attr)
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.arg = self.name(node.arg)
        return node

    def visit_FunctionDef(self, node):
        attribute = self.in_class or node.name in self.rare or node.name in self.methods
        node.name = self.attribute(node.name) if attribute else self.name(node.name)
        self.in_class, outer = 0, self.in_class
        self.generic_visit(node)
        self.in_class = outer
        return node

    def visit_ClassDef(self, node):
        node.name = self.attribute(node.name) if node.name in self.rare else self.name(node.name)
        node.bases = [self.visit(base) for base in node.bases]
        for part in node.body:
            if isinstance(part, ast.Assign):
                part.value = self.visit(part.value)
                for target in part.targets:
                    if target.id == "__slots__":
                        for element in part.value.elts:
                            element.value = self.attribute(element.value)
                    target.id = self.attribute(target.id)
            else:
                self.in_class = 1
                self.visit(part)
                self.in_class = 0
        return node

    def visit_Global(self, node):
        node.names = [self.name(name) for name in node.names]
        return node

    visit_Nonlocal = visit_Global

    def visit_ExceptHandler(self, node):
        if node.name:
            node.name = self.name(node.name)
        return self.generic_visit(node)


COMPOUND = re.compile(r"(if|elif|else|for|while|try|except|finally|with|def|class)\b|@")


def join(lines, start=0, depth=0):
    """The statements of a block, simple ones on one line where the grammar permits:
    gives the text lines and where the block ends."""
    result = []
    simple = False  # the last line may be continued
    while start < len(lines) and lines[start][0] >= depth:
        text = lines[start][1]
        start += 1
        if COMPOUND.match(text):
            inner, start = join(lines, start, depth + 1)
            if len(inner) == 1 and not COMPOUND.match(inner[0].lstrip(" ")):
                result.append(" " * depth + text + inner[0].lstrip(" "))
            else:
                result += [" " * depth + text] + inner
            simple = False
        elif simple:
            result[-1] += ";" + text
        else:
            result.append(" " * depth + text)
            simple = True
    return result, start


def squeeze(text):
    """Source with as few blanks and lines as possible."""
    lines = []
    line = last = ""
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind, value = token.type, token.string
        if kind == tokenize.INDENT:
            depth += 1
        elif kind == tokenize.DEDENT:
            depth -= 1
        elif kind == tokenize.NEWLINE:
            lines.append((depth, line))
            line = last = ""
        elif kind not in (tokenize.NL, tokenize.ENDMARKER, tokenize.COMMENT):
            if line and re.match(r"\w", last[-1]) and re.match(r"[\w\"']", value):
                line += " "
            line += value
            last = value
    return "\n".join(join(lines)[0]) + "\n"


def text_of(nodes):
    text = squeeze(ast.unparse(ast.fix_missing_locations(ast.Module(nodes, []))))
    new = re.sub(r"\b(and|or)\((not [\w.]+)\)(?![.(\[\w])", r"\1 \2", text)  # unparse() is cautious
    assert ast.dump(ast.parse(new)) == ast.dump(ast.parse(text))  # as it has to be before a comparison
    return new
