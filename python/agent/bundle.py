#!/usr/bin/python3
"""Packs the portable agent into a C++ source: bundle.py --out DIR. Run by CMake.

The bundle is what the agent's process reads after its one-liner (spec-docs/bootstrap.md):
deflated, and a sequence of parts with a zero byte between them:

    0       a few lines that start the others (START below)
    1       keeper.py
    2       task.py and the other MODULES in one namespace
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
import importlib.util
import marshal
import os
import symtable
import sys
import zlib

from shrink import Inline, Refer, Rename, Split, Strip, fold, gather_imports, squeeze, text_of

# One program in this order. Each module can be read, and linted, alone: what it takes from
# another one stands in a relative import, which check_names() holds true and Strip drops.
MODULES = ["task.py", "sleep.py", "wire.py", "errors.py", "spelling.py", "items.py", "transfer.py", "channel.py", "waiting.py",
           "writer.py", "reader.py", "receiver.py", "control.py", "link.py", "boot.py"]
STAGE0_NAMES = {"path"}  # in the namespace before the first part runs

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


def check(tree, name):
    """3.6 has to read it."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.NamedExpr, ast.Match)) or getattr(node, "posonlyargs", None):
            sys.exit("bundle.py: %s:%d needs a newer Python than 3.6" % (name, node.lineno))


def names_of(source):
    """(the names that a module binds, those that it uses)"""
    table = symtable.symtable(source, "", "exec")
    used = set()
    tables = [table]
    for inner in tables:
        tables += inner.get_children()
        used.update(s.get_name() for s in inner.get_symbols()
                    if s.is_referenced() and (inner is table or s.is_global()))
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_annotated() or s.is_imported() or s.is_namespace()}, used


def check_names(names):
    """Nothing undefined, and each relative import finds what it names."""
    bound = {}
    for name in names:
        source = source_of(name)
        bound[name], used = names_of(source)
        unknown = used - bound[name] - set(dir(builtins)) - STAGE0_NAMES
        if unknown:
            sys.exit("bundle.py: %s uses %s, and does not say where they come from" % (name, ", ".join(sorted(unknown))))
    for name in names:
        for node in ast.parse(source_of(name)).body:
            for alias in node.names if isinstance(node, ast.ImportFrom) and node.level else ():
                if alias.name not in bound.get(node.module + ".py", ()) or alias.asname:
                    sys.exit("bundle.py: %s: there is no %s in %s" % (name, alias.name, node.module))


def parts_of(names, call, constants):
    """The texts of the parts that these files make; constants replaces values of theirs."""
    check_names(names)
    tree = ast.Module([], [])
    for name in names:
        source = Strip().visit(ast.parse(source_of(name)))
        check(source, name)
        tree.body += source.body
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in constants:
            node.value = ast.parse(repr(constants[node.targets[0].id]), mode="eval").body
    tree = gather_imports(fold(tree))
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


def deflate(text, memory):
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, memory)
    return packer.compress(text) + packer.flush()


def bundle(**constants):
    """(the sources, the sources deflated, the sources and our code objects not deflated)

    constants: for tests that do not want to wait for END_GRACE, for instance."""
    parts = parts_of(["keeper.py"], "fork_keeper()", constants) + parts_of(MODULES, "main()", constants)
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
    return text, min((deflate(text, memory) for memory in range(5, 10)), key=len), zlib.compress(
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
