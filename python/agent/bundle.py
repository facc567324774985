#!/usr/bin/python3
"""Packs the portable agent into a C++ source: bundle.py --out DIR. Run by CMake.

The bundle is what the agent's process reads after its one-liner (spec-docs/bootstrap.md):
deflated, and a sequence of parts with a zero byte between them:

    0       a few lines that start the others (START below)
    1       keeper.py
    2       task.py and the other MODULES in one namespace
    3...    "NAME:" and what is marked @rare, compiled at its first use

What is marked @on_demand("part") is left out: the controller has it, and sends it when the
agent asks (spec-docs/wire.md, section 8). It shares its names with the bundle.

Sources are stripped of docstrings, comments, annotations and long names. The result
runs on 3.6.

Compiling parts 1 and 2 takes 4 ms, half of what an interpreter needs to start. For
processes on this machine, where bytes are free, there is a second bundle with the code
objects of everything behind the sources. An interpreter with another magic number than
ours, the one that is embedded, takes the sources.
"""
import argparse
import ast
import builtins
import collections
import importlib.util
import marshal
import os
import subprocess
import symtable
import sys
import tempfile
import zlib

from shrink import PUBLIC_ATTRIBUTES, Inline, Localize, Refer, Rename, Split, Strip, fold, gather_imports, squeeze, text_of

# One program in this order. Each module can be read, and linted, alone: what it takes from
# another one stands in a relative import, which check_names() holds true and Strip drops.
MODULES = ["task.py", "sleep.py", "wire.py", "errors.py", "spelling.py", "items.py", "transfer.py", "channel.py", "waiting.py",
           "interrupt.py", "writer.py", "reader.py", "receiver.py", "demand.py", "control.py", "output.py", "link.py",
           "boot.py", "callbacks.py", "strings.py", "stacks.py", "status.py", "files.py", "green.py", "arrays.py", "buffers.py"]
# Modules that are a part as a whole. The native agent has arrays.py, files.py and stacks.py, too.
PART_MODULES = {"arrays.py": "arrays", "buffers.py": "arrays", "callbacks.py": "callbacks", "files.py": "files", "green.py": "green", "stacks.py": "status", "status.py": "status",
                "strings.py": "strings"}
STAGE0_NAMES = {"path"}  # in the namespace before the first part runs

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 12288  # bytes deflated; start-up time is what it protects
PART_LIMIT = 65000  # bytes deflated: a part travels in one frame

# Part 0. Compiles before the keeper forks: afterwards each page that is written to
# would be copied (1.4 ms more).
START = """
from _frozen_importlib_external import MAGIC_NUMBER
parts = bundle[:LENGTH].split(bytes(1))
bundle = bundle[LENGTH:]
compiled = {}
if bundle[:4] == MAGIC_NUMBER:
    import marshal
    codes, compiled = marshal.loads(bundle[4:])
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
        while not code:
            for part in parts:
                if part.startswith((name + ":").encode()):
                    code = compile(part[len(name) + 1:], __name__, "exec")
                    break
            else:
                need(name)
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
# shell inside single quotes. ~ stands for a newline. Python 2 gets as far as its version.
STAGE0 = (
    'import os,sys;v=sys.version_info;'
    'v<(3,6)and sys.exit("gangway: Python too old: it is %d.%d, 3.6 is needed"%v[:2]);'
    'q=sys.path;p=q[:];q[:]=filter(None,q);import zlib;m="gangway: bootstrap corrupt: %s";'
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
    """What these files make: the text of the program, {name: text} of what is rare in the
    bundle, and {part: the same} of what is not in it. constants replaces values of theirs."""
    check_names(names)
    tree = ast.Module([], [])
    for name in names:
        source = Strip().visit(ast.parse(source_of(name)))
        check(source, name)
        if name in PART_MODULES:
            for node in source.body:  # but not imports and constants
                node.decorator_list = [ast.parse("on_demand(%r)" % PART_MODULES[name], mode="eval").body]
        tree.body += source.body
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in constants:
            node.value = ast.parse(repr(constants[node.targets[0].id]), mode="eval").body
    tree = gather_imports(fold(tree))
    splitter = Split()
    tree = splitter.visit(tree)
    parts = splitter.rare
    rare = parts.pop("", [])
    if rare:
        tree.body = ast.parse(LOADER).body + tree.body
    tree.body += ast.parse(call).body + rare
    elsewhere = ast.Module([node for part in parts for node in parts[part]], [])
    for change in Localize(), Refer(splitter.names), Inline(tree.body + elsewhere.body):
        tree = change.visit(tree)
        elsewhere = change.visit(elsewhere)
    entries = {part: entries_of(part, parts, tree) for part in sorted(parts)}
    rename = Rename(tree, elsewhere.body, splitter.names, splitter.methods)
    tree = rename.visit(tree)
    elsewhere = rename.visit(elsewhere)
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == rename.name("CONTENTS"):
            node.value = ast.Constant(";".join(
                " ".join([part] + [rename.attribute(name) for name in names]) for part, names in entries.items()))

    def texts_of(nodes):
        return {node.name: text_of([node]) for node in nodes}

    size = len(tree.body) - len(rare)
    return text_of(tree.body[:size]), texts_of(tree.body[size:]), {part: texts_of(parts[part]) for part in entries}


def entries_of(part, parts, tree):
    """The names of a part that others, or users, look for."""
    names = {node.name for node in parts[part]}
    found = names & PUBLIC_ATTRIBUTES
    for outside in [tree] + [node for other in parts if other != part for node in parts[other]]:
        found |= names & {node.attr for node in ast.walk(outside) if isinstance(node, ast.Attribute)}
    return sorted(found)


def deflate(text):
    """A zlib stream: zopfli's is 3 % shorter than the best of zlib's own."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        packed = subprocess.run(["zopfli", "--zlib", "-c", file.name], check=True, stdout=subprocess.PIPE).stdout
    assert zlib.decompress(packed) == text
    return packed


Bundle = collections.namedtuple("Bundle", [
    "text",  # the sources
    "packed",  # them, deflated
    "local",  # them and the code objects of everything, not deflated
    "parts",  # name -> what the agent executes when the part has come, deflated
])


def bundle(**constants):
    """constants: for tests that do not want to wait for END_GRACE, for instance."""
    keeper, _, _ = parts_of(["keeper.py"], "fork_keeper()", constants)
    program, rare, parts = parts_of(MODULES, "main()", constants)
    texts = dict(rare)
    for part in parts.values():
        texts.update(part)
    codes = {name: marshal.dumps(compile(text, "_gangway", "exec")) for name, text in texts.items()}
    start_codes = [compile(text, "_gangway", "exec") for text in (keeper, program)]
    text = "\0".join(["", keeper, program] + named(rare)[::-1]).encode()  # in this order 50 bytes deflate away
    length = len(text)
    while True:  # part 0 holds the length of all
        start = squeeze(START.replace("LENGTH", str(length))).encode()
        if len(start + text) == length:
            break
        length = len(start + text)
    text = start + text
    return Bundle(
        text, deflate(text),
        zlib.compress(text + importlib.util.MAGIC_NUMBER + marshal.dumps((start_codes, codes)), 0),  # inflating takes 0.5 ms
        {name: deflate(("parts+=%r\n" % [text.encode() for text in named(part)]).encode()) for name, part in parts.items()})


def named(texts):
    return [name + ":" + text for name, text in texts.items()]


def stage0(length):
    text = STAGE0.replace("LENGTH", str(length))
    assert not set("'!\n\\") & set(text) and len(text) < 1024
    return text


def task_source():
    """task.py for the native agent: as it is, for readable tracebacks."""
    return source_of("task.py")


def relay_source():
    """relay.py, as small as may be: it is sent for each gateway with `via`."""
    return text_of(Strip().visit(ast.parse(source_of("relay.py"))).body)


def cpp_literal(data):
    """A string literal and its size."""
    lines = []
    for start in range(0, len(data), 64):
        chunk = data[start:start + 64]
        # Three octal digits: a digit that follows can never become part of the escape.
        lines.append('    "%s"' % "".join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else "\\%03o" % c for c in chunk))
    lines.append("    , %d" % len(data))
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

// What an agent has to be sent when it asks for this part of itself; empty: there is none.
[[nodiscard]] std::string_view portable_part(std::string_view name) noexcept;

extern const std::string_view task_source; // task.py, for the native agent

extern const std::string_view relay_source; // relay.py, which the hop of another gateway executes

} // namespace gangway::detail
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    text, packed, local, parts = bundle()
    print("portable agent: %d bytes, deflated %d of %d; local bundle %d; parts: %s" % (
        len(text), len(packed), LIMIT, len(local), ", ".join("%s %d" % (name, len(part)) for name, part in parts.items())))
    if len(packed) > LIMIT or any(len(part) > PART_LIMIT for part in parts.values()):
        sys.exit("bundle.py: the portable agent is too large")
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "agent_bundle.hpp"), "w") as file:
        file.write(HEADER)
    with open(os.path.join(options.out, "agent_bundle.cpp"), "w") as file:
        file.write('// Generated by python/agent/bundle.py.\n#include "agent_bundle.hpp"\n\nnamespace gangway::detail {\n\n')
        for name, value in (
            ("portable_bundle", packed),
            ("portable_stage0", stage0(len(packed)).encode()),
            ("portable_local_bundle", local),
            ("portable_local_stage0", stage0(len(local)).encode()),
            ("task_source", task_source().encode()),
            ("relay_source", relay_source().encode()),
        ):
            file.write("const std::string_view %s{\n%s};\n\n" % (name, cpp_literal(value)))
        file.write("std::string_view portable_part(std::string_view name) noexcept {\n")
        for name, value in parts.items():
            file.write("  if (name == \"%s\") return {\n%s};\n" % (name, cpp_literal(value)))
        file.write("  return {};\n}\n\n")
        file.write("} // namespace gangway::detail\n")


if __name__ == "__main__":
    main()
