#!/usr/bin/python3
"""Packs the portable agent into a C++ source: bundle.py --out DIR. Run by CMake.

The bundle is what the agent's process reads after its one-liner (spec-docs/bootstrap.md):
deflated, and a sequence of parts with a zero byte between them:

    0       keeper.py, executed first
    1       task.py and portable.py in one namespace
    2...    "NAME:" and what is marked @rare, compiled at its first use

Sources are stripped of docstrings, comments and annotations. The result runs on 3.6.
"""
import argparse
import ast
import builtins
import collections
import io
import keyword
import os
import re
import string
import sys
import tokenize
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 12288  # bytes deflated; start-up time is what it protects (DESIGN.md)

# What compiles a part when it is first used: a method of a class with this base, or a
# function or class that the code below names as an attribute of RARE.
LOADER = """
class Lazy:
    __slots__ = ()
    def __getattr__(self, name):
        for part in parts:
            if part.startswith((name + ":").encode()):
                space = {}
                exec(compile(part[len(name) + 1:], __name__, "exec"), globals(), space)
                setattr(self if type(self) is Rare else type(self), name, space[name])
                return getattr(self, name)
        raise AttributeError(name)
class Rare(Lazy):
    pass
RARE = Rare()
"""


# No single quote, exclamation mark, newline or backslash: it has to survive any login
# shell inside single quotes. ~ stands for a newline.
STAGE0 = (
    'import os,select,sys,zlib;m="gangway: bootstrap corrupt: %s";'
    'g=type(sys)("_gangway").__dict__;sys.modules["_gangway"]=s=type(sys)("_gangway");g=s.__dict__;'
    'exec("b=bytearray()~try:~ while len(b)<LENGTH:~  select.select([0],[],[])~  c=os.read(0,LENGTH-len(b))~'
    "  if not c:os._exit(1)~  b+=c~ b=zlib.decompress(b)~"
    'except Exception as e:sys.exit(m%e)".replace("~",chr(10)));'
    'g["parts"]=p=b.split(bytes(1));exec(compile(p[0],"_gangway","exec"),g);exec(compile(p[1],"_gangway","exec"),g)'
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
        self.names = set()

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


# What users or the interpreter look up by name.
PUBLIC = set("""
    channel Channel RemoteError TimeoutError DataFormatError DumpError LoadError Gateway ExecModel
    formatted warn send receive close isclosed waitclose next id gateway newchannel join execmodel backend
    timeout error item fast reducer_override dispatch_table write find_spec exec_module parts name path
    target func args link main VERSION MAIN_THREAD_ONLY_DEADLOCK_TEXT INTERRUPT_TEXT
    _getremoteerror _executing _finish mode bufsize closefd
""".split())


class Names(ast.NodeVisitor):
    """How often each name occurs that is ours: a variable, a parameter, a definition,
    an attribute that is assigned to."""

    def __init__(self):
        self.ours = set()
        self.seen = collections.Counter()

    def visit_Name(self, node):
        self.seen[node.id] += 1
        if isinstance(node.ctx, ast.Store):
            self.ours.add(node.id)

    def visit_Attribute(self, node):
        self.seen[node.attr] += 1
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            self.ours.add(node.attr)
        self.generic_visit(node)

    def visit_arg(self, node):
        self.seen[node.arg] += 1
        self.ours.add(node.arg)

    def visit_ExceptHandler(self, node):
        if node.name:
            self.ours.add(node.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self.seen[node.name] += 1
        self.ours.add(node.name)
        self.generic_visit(node)

    visit_ClassDef = visit_FunctionDef


def foreign_names():
    """Attributes of what the agent uses: an attribute of ours with such a name keeps it."""
    import _pickle, _signal, _thread, pickle, importlib.machinery, io, linecache, select, struct, threading, time, traceback
    from collections import deque

    things = [os, sys, pickle, pickle.Pickler, pickle._Pickler, _pickle, _signal, _thread, select, time, ast, io, struct, threading, traceback, linecache, importlib,
              bytes, bytearray, str, int, float, complex, list, tuple, dict, set, memoryview, deque, io.BytesIO,
              struct.Struct, select.poll(), _thread.RLock(), _thread.allocate_lock(), sys.stdout, sys.implementation,
              threading.Thread, traceback.TracebackException, traceback.StackSummary, traceback.FrameSummary,
              importlib.machinery.ModuleSpec, importlib.machinery.SourceFileLoader, BaseException, OSError, os.waitpid]
    names = set(dir(builtins)) | set(keyword.kwlist)
    for thing in things:
        names.update(dir(thing))
    return names | {"stack", "f_code", "co_filename", "exceptions", "cache", "_active", "_ident", "_main_thread",
                    "_tstate_lock", "filename", "loader", "register_at_fork", "partial", "_pickle", "pickle"}


class Rename(ast.NodeTransformer):
    """One short name for each of ours, everywhere: scopes need not be told apart."""

    def __init__(self, tree):
        names = Names()
        names.visit(tree)
        keep = PUBLIC | foreign_names()
        ours = [n for n, _ in names.seen.most_common() if n in names.ours and n not in keep and not n.startswith("__")]
        taken = keep | set(names.seen)
        short = (a + b for a in [""] + list(string.ascii_letters) for b in string.ascii_letters)
        self.short = {name: next(s for s in short if s not in taken) for name in ours}

    def get(self, name):
        return self.short.get(name, name)

    def visit_Name(self, node):
        node.id = self.get(node.id)
        return node

    def visit_Attribute(self, node):
        node.attr = self.get(node.attr)
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.arg = self.get(node.arg)
        return node

    def visit_keyword(self, node):
        if node.arg:
            node.arg = self.get(node.arg)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        node.name = self.get(node.name)
        return self.generic_visit(node)

    visit_ClassDef = visit_FunctionDef

    def visit_Global(self, node):
        node.names = [self.get(name) for name in node.names]
        return node

    visit_Nonlocal = visit_Global

    def visit_ExceptHandler(self, node):
        node.name = self.get(node.name)
        return self.generic_visit(node)

    def visit_Assign(self, node):
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__slots__":
            for element in node.value.elts:
                element.value = self.get(element.value)
        return self.generic_visit(node)


def squeeze(text):
    """Source with one blank per level of indentation, and none where none is needed."""
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
            lines.append(line)
            line = last = ""
        elif kind not in (tokenize.NL, tokenize.ENDMARKER, tokenize.COMMENT):
            if not line:
                line = " " * depth
            elif re.match(r"\w", last[-1]) and re.match(r"[\w\"']", value):
                line += " "
            line += value
            last = value
    return "\n".join(lines) + "\n"


def check(tree, name):
    """3.6 has to read it."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.NamedExpr, ast.Match)) or getattr(node, "posonlyargs", None):
            sys.exit("bundle.py: %s:%d needs a newer Python than 3.6" % (name, node.lineno))


def text_of(nodes):
    return squeeze(ast.unparse(ast.fix_missing_locations(ast.Module(nodes, []))))


def parts_of(names, call):
    """The texts of the parts that these files make."""
    tree = ast.Module([], [])
    for name in names:
        source = Strip().visit(ast.parse(source_of(name)))
        check(source, name)
        tree.body += source.body
    splitter = Split()
    tree = splitter.visit(tree)
    rare = splitter.rare
    if rare:
        tree.body = ast.parse(LOADER).body + tree.body
    tree.body += ast.parse(call).body
    tree.body += rare
    tree = Refer(splitter.names).visit(tree)
    tree = Inline(tree.body).visit(tree)
    rename = Rename(tree)
    tree = rename.visit(tree)
    core = tree.body[:len(tree.body) - len(rare)]
    return [text_of(core)] + [node.name + ":" + text_of([node]) for node in tree.body[len(core):]]


def bundle():
    parts = parts_of(["keeper.py"], "fork_keeper()") + parts_of(["task.py", "portable.py"], "main()")
    for part in parts:
        compile(part.partition(":")[2] if re.match(r"\w+:", part) else part, "<bundle>", "exec")
    text = "\0".join(parts).encode()
    return text, zlib.compress(text, 9)


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
extern const std::string_view task_source;     // task.py, for the native agent

} // namespace gangway::detail
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    text, data = bundle()
    print("portable agent: %d bytes, deflated %d of %d" % (len(text), len(data), LIMIT))
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
            ("task_source", task_source().encode()),
        ):
            file.write(cpp_string(name, value) + "\n\n")
        file.write("} // namespace gangway::detail\n")


if __name__ == "__main__":
    main()
