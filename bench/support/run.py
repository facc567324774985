"""The driver: all questions of bench/, or those that are named; then one table.

    ./dev bench [NAME...]

A NAME without a .py is a program of its own (micro_items) and only runs when it is named.
"""
import importlib
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support import harness  # noqa: E402

# The order of the rows, as in the tables of bench/README.md.
ORDER = ["start_up", "second", "fifty", "remote_exec", "ping_pong", "small_items", "structured", "bulk", "busy_ping",
         "unread", "held_gil", "interrupt", "ssh", "via", "fan_out", "python_ping_pong", "python_small_items",
         "python_structured", "python_bulk", "asyncio_ping", "xdist"]
LATER = {
    "sync": "comes with rsync/",
}


def commit():
    """What was measured, as far as git knows."""
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=harness.ROOT, capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD").strip() + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main(names):
    begin = time.monotonic()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"others are busy here (load {load:.1f}): read the ratios with care", file=sys.stderr)
    measured = commit()
    rows = []
    for name in names or ORDER:
        if not (harness.BENCH / (name + ".py")).exists():
            subprocess.run([str(harness.BIN / ("bench_" + name))], check=True)
            continue
        rows += harness.run(importlib.import_module(name).QUESTION)
    if not rows:
        return
    print(harness.table(rows))
    if not names:
        for topic, why in LATER.items():
            print(f"not yet: {topic}: {why}")
    judged = [entry for row in rows for entry in row["ours"].values() if "hit" in entry]
    print(f"{sum(entry['hit'] for entry in judged)} of {len(judged)} targets hit, {time.monotonic() - begin:.0f} s; "
          f"all samples: {harness.RESULTS}/*.json")
    print(f"commit {measured}")
    (harness.RESULTS / "summary.json").write_text(json.dumps({"commit": measured, "rows": rows}, indent=1) + "\n")


main(sys.argv[1:])
