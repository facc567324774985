"""Compiles and runs the C++ snippets of README.md against a build, and runs the Python ones, and those of
spec-docs/event-loops.md.

usage: tests/readme_snippets.py BUILD_DIR COMPILER

A snippet with a main() is taken as it is; of others, the includes go to the top and the rest into a main().
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
build, compiler = pathlib.Path(sys.argv[1]), sys.argv[2]

snippets = re.findall(r"^```cpp\n(.*?)^```", (root / "README.md").read_text(), re.DOTALL | re.MULTILINE)
assert snippets, "README.md has no ```cpp block"
if not (root / "include/gangway/gangway.hpp").exists():
    print("skipped: there is no gangway/gangway.hpp yet")
    sys.exit(77)

environment = dict(os.environ, GANGWAY_AGENT=str(build / "bin/gangway-agent"))
for number, snippet in enumerate(snippets, 1):
    if "int main(" not in snippet:
        lines = snippet.splitlines(keepends=True)
        includes = "".join(line for line in lines if line.startswith("#include"))
        body = "".join(line for line in lines if not line.startswith("#include"))
        snippet = f"{includes}\nint main() {{\n{body}}}\n"
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory, f"snippet{number}.cpp")
        source.write_text(snippet)
        program = source.with_suffix("")
        subprocess.run([compiler, "-std=c++20", f"-I{root}/include", source, "-o", program, f"-L{build}", "-lgangway",
                        "-lssh", "-lssl", "-lcrypto", "-pthread", f"-Wl,-rpath,{build}"], check=True)
        run = subprocess.run([program], env=environment, timeout=60, check=True, stdout=subprocess.PIPE, text=True)
    print(f"snippet {number}: {run.stdout.strip() or 'no output'}")

environment["PYTHONPATH"] = str(build / "python")
if list((build / "python/gangway").glob("_gangway.*")):
    pages = "".join((root / page).read_text() for page in ("README.md", "spec-docs/event-loops.md"))
    for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```", pages, re.DOTALL | re.MULTILINE), 1):
        run = subprocess.run([sys.executable, "-c", snippet], env=environment, timeout=60, check=True,
                             stdout=subprocess.PIPE, text=True)
        print(f"Python snippet {number}: {run.stdout.strip() or 'no output'}")
