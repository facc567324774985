#!/usr/bin/python3
"""Packs the portable agent into a C++ source: bundle.py --out DIR. Run by CMake.

The bundle is what the agent's process reads after its one-liner (spec-docs/bootstrap.md):
deflated, and a sequence of parts with a zero byte between them:

    0       a few lines that start the others (START below)
    1       keeper.py
    2       task.py and portable.py in one namespace
    3...    "NAME:" and what is marked @rare, compiled at its first use

Sources are stripped of docstrings, comments, annotations and long names. The result
runs on 3.6.

Compiling parts 1 and 2 takes 4 ms, half of what an interpreter needs to start. For
processes on this machine, where bytes are free, there is a second bundle with the code
objects of all parts behind the sources. An interpreter with another magic number than
ours, the one that is embedded, takes the sources.
"""
import argparse
import ast
import builtins
import collections
import importlib.util
import io
import keyword
import marshal
import os
import re
import sys
import tokenize
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 12288  # bytes deflated; start-up time is what it protects (DESIGN.md)

# Part 0. Compiles before the keeper forks: afterwards each page that is written to
# would be copied (1.4 ms more).
START = """
import sys
parts = bundle[:LENGTH].split(bytes(1))
compiled = {}
if bundle[LENGTH:LENGTH + 4] == sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
    import marshal
    codes, compiled = marshal.loads(bundle[LENGTH + 4:])
else:
    codes = [compile(part, __name__, "exec") for part in parts[1:3]]
for code in codes:
    exec(code)
"""

# What compiles a part when it is first used: a method of a class with this base, or a
# function or class that the code below names as an attribute of RARE.
LOADER = """
class Lazy:
    __slots__ = ()
    def __getattr__(self, name):
        code = compiled.get(name)
        if code:
            import marshal
            code = marshal.loads(code)
        else:
            for part in parts:
                if part.startswith((name + ":").encode()):
                    code = compile(part[len(name) + 1:], __name__, "exec")
                    break
            else:
                raise AttributeError(name)
        space = {}
        exec(code, globals(), space)
        setattr(self if type(self) is Rare else type(self), name, space[name])
        return getattr(self, name)
class Rare(Lazy):
    pass
RARE = Rare()
"""


# The current directory leaves sys.path until main(): a file there that is called zlib.py
# shall not be taken for ours.
# No single quote, exclamation mark, newline or backslash: it has to survive any login
# shell inside single quotes. ~ stands for a newline.
STAGE0 = (
    'import os,sys;q=sys.path;p=q[:];q[:]=filter(None,q);import zlib;m="gangway: bootstrap corrupt: %s";'
    's=sys.modules["_gangway"]=type(sys)("_gangway");'
    'exec("b=bytearray()~try:~ while len(b)<LENGTH:~  try:~   c=os.read(0,LENGTH-len(b))~   if not c:os._exit(1)~   b+=c~'
    '  except BlockingIOError:import select;select.select([0],[],[])~ b=zlib.decompress(b)~'
    'except Exception as e:sys.exit(m%e)".replace("~",chr(10)));'
    's.bundle=b;s.path=p;exec(b[:b.find(0)],s.__dict__)'
)


def source_of(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


class Strip(ast.NodeTransformer):
    """Docstrings and annotations out."""

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
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def is_rare(node):
    return any(isinstance(mark, ast.Name) and mark.id == "rare" for mark in getattr(node, "decorator_list", ()))


class Split(ast.NodeTransformer):
    """Takes out what is marked @rare."""

    def __init__(self):
        self.rare = []
        self.names = set()  # of module-level ones
        self.methods = set()

    def take(self, node):
        node.decorator_list = []
        assert node.name not in {other.name for other in self.rare}, node.name
        self.rare.append(node)

    def visit_Module(self, tree):
        for node in list(tree.body):
            if is_rare(node):
                self.names.add(node.name)
                self.take(node)
                tree.body.remove(node)
            elif getattr(node, "name", None) == "rare":
                tree.body.remove(node)
            elif isinstance(node, ast.ClassDef):
                self.split_class(node)
        return tree

    def split_class(self, tree):
        found = [node for node in tree.body if is_rare(node)]
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
    channel Channel RemoteError TimeoutError DataFormatError DumpError LoadError timeout error
    parts compiled bundle codes path Rare VERSION MAIN_THREAD_ONLY_DEADLOCK_TEXT INTERRUPT_TEXT
""".split())
# ... and attributes.
PUBLIC_ATTRIBUTES = set("""
    RemoteError TimeoutError Gateway ExecModel formatted warn send receive close isclosed waitclose next id gateway
    newchannel join execmodel backend fast reducer_override dispatch_table write find_spec exec_module
    _getremoteerror _executing _finish
""".split())


def foreign_attributes():
    """Attributes of what the agent uses: an attribute of ours with such a name keeps it."""
    import _pickle, _signal, _thread, importlib.machinery, linecache, pickle, select, struct, threading, time, traceback

    things = [
        os, sys, time, io, _thread, _signal, select, struct, threading, traceback, linecache, importlib,
        bytes, bytearray, str, int, float, complex, list, tuple, dict, set, memoryview, collections.deque, io.BytesIO,
        struct.Struct, select.poll(), _thread.RLock(), _thread.allocate_lock(), sys.stdout, sys.implementation,
        pickle, pickle.Pickler, pickle._Pickler, _pickle, threading.Thread, traceback.TracebackException,
        traceback.StackSummary, traceback.FrameSummary, importlib.machinery.ModuleSpec,
        importlib.machinery.SourceFileLoader, OSError]
    names = {"stack", "f_code", "co_filename", "exceptions", "cache", "_active", "_ident", "_main_thread",
             "_tstate_lock", "filename", "loader"}
    return names.union(*map(dir, things))


class Names(ast.NodeVisitor):
    """How often each name occurs, and which ones are ours: something binds them."""

    def __init__(self, rare):
        self.rare = rare  # functions and classes that are looked up as attributes
        self.names = collections.Counter()
        self.attributes = collections.Counter()
        self.our_names = set()
        self.our_attributes = set(rare)

    def visit_Name(self, node):
        self.names[node.id] += 1
        if isinstance(node.ctx, ast.Store):
            self.our_names.add(node.id)

    def visit_Attribute(self, node):
        self.attributes[node.attr] += 1
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            self.our_attributes.add(node.attr)
        self.generic_visit(node)

    def visit_arg(self, node):
        self.names[node.arg] += 1
        self.our_names.add(node.arg)

    def visit_ExceptHandler(self, node):
        if node.name:
            self.our_names.add(node.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        if node.name not in self.rare:
            self.names[node.name] += 1
            self.our_names.add(node.name)
        self.generic_visit(node)

    def visit_ClassDef(self, node):
        self.visit_FunctionDef(node)
        for part in node.body:
            # Bound in a class body: an attribute, whatever the loop above took it for.
            targets = [part] if isinstance(part, ast.FunctionDef) else getattr(part, "targets", [])
            for target in targets:
                self.our_attributes.add(getattr(target, "name", getattr(target, "id", None)))


class Rename(ast.NodeTransformer):
    """Short names: one for each variable, whatever its scope, and one for each attribute.
    Keywords in calls stay: the agent uses them only for functions that are not its own."""

    def __init__(self, tree, rare, methods):
        seen = Names(rare)
        seen.visit(tree)
        seen.our_attributes |= methods
        self.in_class = 0
        self.rare = rare
        self.methods = methods
        self.names = self.shorten(seen.names, seen.our_names, PUBLIC_NAMES | set(dir(builtins)), seen.names)
        self.attributes = self.shorten(
            seen.attributes, seen.our_attributes, PUBLIC_ATTRIBUTES | foreign_attributes(), seen.attributes)

    @staticmethod
    def shorten(count, ours, keep, seen):
        ours = {name for name in ours - keep if not name.startswith("__")}
        taken = keep | set(seen) | set(keyword.kwlist)
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        short = (a + b for a in [""] + list(letters) for b in letters)
        return {name: next(s for s in short if s not in taken)
                for name, _ in (count + collections.Counter(ours)).most_common() if name in ours}

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


def check(tree, name):
    """3.6 has to read it."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.NamedExpr, ast.Match)) or getattr(node, "posonlyargs", None):
            sys.exit("bundle.py: %s:%d needs a newer Python than 3.6" % (name, node.lineno))


def text_of(nodes):
    return squeeze(ast.unparse(ast.fix_missing_locations(ast.Module(nodes, []))))


def parts_of(names, call, constants):
    """The texts of the parts that these files make; constants replaces values of theirs."""
    tree = ast.Module([], [])
    for name in names:
        source = Strip().visit(ast.parse(source_of(name)))
        check(source, name)
        tree.body += source.body
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in constants:
            node.value = ast.parse(repr(constants[node.targets[0].id]), mode="eval").body
    splitter = Split()
    tree = splitter.visit(tree)
    rare = splitter.rare
    if rare:
        tree.body = ast.parse(LOADER).body + tree.body
    tree.body += ast.parse(call).body
    tree.body += rare
    tree = Refer(splitter.names).visit(tree)
    tree = Inline(tree.body).visit(tree)
    tree = Rename(tree, splitter.names, splitter.methods).visit(tree)
    core = tree.body[:len(tree.body) - len(rare)]
    return [text_of(core)] + [node.name + ":" + text_of([node]) for node in tree.body[len(core):]]


def bundle(**constants):
    """(the sources, the sources deflated, the sources and our code objects not deflated)

    constants: for tests that do not want to wait for END_GRACE, for instance."""
    parts = parts_of(["keeper.py"], "fork_keeper()", constants) + parts_of(["task.py", "portable.py"], "main()", constants)
    rare = {}
    for part in parts[2:]:
        name, _, source = part.partition(":")
        rare[name] = marshal.dumps(compile(source, "_gangway", "exec"))
    codes = [compile(part, "_gangway", "exec") for part in parts[:2]]
    text = "\0".join([""] + parts).encode()
    length = len(text)
    while True:  # part 0 holds the length of all
        start = squeeze(START.replace("LENGTH", str(length))).encode()
        if len(start + text) == length:
            break
        length = len(start + text)
    text = start + text
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9)
    return text, packer.compress(text) + packer.flush(), zlib.compress(
        text + importlib.util.MAGIC_NUMBER + marshal.dumps((codes, rare)), 0)  # inflating takes 0.5 ms


def stage0(length):
    text = STAGE0.replace("LENGTH", str(length))
    assert not set("'!\n\\") & set(text) and len(text) < 1024
    return text


def task_source():
    """task.py for the native agent: as it is, for readable tracebacks."""
    return source_of("task.py")


def cpp_string(name, data):
    lines = ["const std::string_view %s{" % name]
    for start in range(0, len(data), 64):
        chunk = data[start:start + 64]
        # Three octal digits: a digit that follows can never become part of the escape.
        lines.append('    "%s"' % "".join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else "\\%03o" % c for c in chunk))
    lines.append("    , %d};" % len(data))
    return "\n".join(lines)


HEADER = """// Generated by python/agent/bundle.py.
#pragma once

#include <string_view>

namespace gangway::detail {

extern const std::string_view portable_bundle; // the agent, deflated
extern const std::string_view portable_stage0; // for python -c; reads portable_bundle.size() bytes of it

// For processes on this machine: works with any interpreter, too, and starts the one that was
// embedded at build time 4 ms faster.
extern const std::string_view portable_local_bundle;
extern const std::string_view portable_local_stage0;

extern const std::string_view task_source; // task.py, for the native agent

} // namespace gangway::detail
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    text, data, local = bundle()
    print("portable agent: %d bytes, deflated %d of %d; local bundle %d" % (len(text), len(data), LIMIT, len(local)))
    if len(data) > LIMIT:
        sys.exit("bundle.py: the portable agent is too large")
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "agent_bundle.hpp"), "w") as file:
        file.write(HEADER)
    with open(os.path.join(options.out, "agent_bundle.cpp"), "w") as file:
        file.write('// Generated by python/agent/bundle.py.\n#include "agent_bundle.hpp"\n\nnamespace gangway::detail {\n\n')
        for name, value in (
            ("portable_bundle", data),
            ("portable_stage0", stage0(len(data)).encode()),
            ("portable_local_bundle", local),
            ("portable_local_stage0", stage0(len(local)).encode()),
            ("task_source", task_source().encode()),
        ):
            file.write(cpp_string(name, value) + "\n\n")
        file.write("} // namespace gangway::detail\n")


if __name__ == "__main__":
    main()
