"""tests/faults/README.md is whole, and true as far as a script can tell.

Each row of the catalogue begins a line of a table, alone or in a list (`C1, C4`, `F5 to F14`), and says what
happens; each test that is named, in the last cell or outside of the tables, exists: `Suite.Name`, followed by more
`Names` of the suite, `file.py::name`. And row D14: nothing on the controller can make anything but plain values of
what an agent sends.
"""
import ast
import pathlib
import re
import sys

# How many rows each section has. H comes with file synchronisation.
ROWS = {"A": 20, "B": 22, "C": 14, "D": 22, "E": 14, "F": 16, "G": 14, "I": 10}

# What makes objects, or code, of bytes.
UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "copyreg", "_compat_pickle"}

tests = pathlib.Path(__file__).resolve().parent
root = tests.parent


def unnamed_rows(table):
    """And those that the catalogue does not have."""
    named = set()
    for cell in re.findall(r"^\| ([^|]*) \|", table, re.M):
        for section, first, last in re.findall(r"\b([A-I])(\d+)(?: to \1(\d+))?\b", cell):
            named.update(section + str(n) for n in range(int(first), int(last or first) + 1))
    rows = {section + str(n) for section, count in ROWS.items() for n in range(1, count + 1)}
    for row in sorted(rows ^ named, key=lambda row: (row[0], int(row[1:]))):
        yield row + (" has no line" if row in rows else " is not in the catalogue")


def incomplete_lines(page):
    """Tables have three cells; in those of the guarantees the first one may be empty."""
    for line in re.findall(r"^\|.*", page, re.M):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 3 or not all(cells[1:]):
            yield "a line needs a row, what happens, and a test: " + line[:60]


def missing_tests(page):
    known = set()
    for source in tests.glob("*/*.cpp"):
        known.update("%s.%s" % found for found in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", source.read_text(), re.M))
    for source in tests.glob("python/**/test_*.py"):
        known.update(source.name + "::" + name for name in re.findall(r"^ *(?:async )?def (test_\w+)", source.read_text(), re.M))
    for line in page.splitlines():
        named = line.rstrip("| ").rpartition("|")[2]  # in a table the last cell; what happens may be `Like.this`
        for suite, rest in re.findall(r"`([A-Z]\w+\.|test_\w+\.py::)(\w*`(?:,? `\w+`)*)", named):
            for name in rest.strip("`").replace(",", "").split("` `"):
                if not any(test.startswith(suite + name) for test in known):
                    yield "%s%s does not exist" % (suite, name)


def unpicklers():
    sources = [root / "python/agent/arrays.py"]  # which the controller has, too
    for path in sources + sorted((root / "python/gangway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Constant):  # of an __import__, say
                names = [str(node.value)]
            for name in UNPICKLERS & {name.split(".")[0] for name in names}:
                yield "D14: %s:%d has to do with %s" % (path.relative_to(root), node.lineno, name)
    for top in "core", "channels", "gateways", "python/common", "python/bindings":
        for path in sorted((root / top).rglob("*.[ch]pp")):
            text = path.read_text()
            for found in re.findall(r'"(?:%s)"|PyMarshal_\w+|PyRun_\w+|PyEval_Eval\w+' % "|".join(sorted(UNPICKLERS)), text):
                yield "D14: %s has to do with %s" % (path.relative_to(root), found)
    # The decoder of Python objects calls what makes arrays, of a type and a shape that were checked, and nothing else.
    for path in sorted((root / "python/common").glob("object_builder.*")):
        for found in re.findall(r"(?:Py\w*|\.)(?:[Cc]all|attr|Import|GetAttr|GetItemString|Type_)\w*\([^,)]*", path.read_text()):
            if found != "PyObject_CallFunction(maker.get(":
                yield "D14: %s: %s" % (path.relative_to(root), found)


page = (tests / "faults/README.md").read_text()
catalogue = page.split("## The guarantees")[0]
complaints = [*unnamed_rows(catalogue), *incomplete_lines(page), *missing_tests(page), *unpicklers()]
sys.exit("\n".join(complaints) if complaints else 0)
