"""Runs what a question compares in turns, and judges the medians against its targets.

A question is a file bench/NAME.py with a `QUESTION`, whose lines have the targets. Each contestant is a command that
measures once and prints "key=value ..."; a line of the table is one of those keys. In
turns, because the machine is never equally fast for a minute: whatever disturbs, disturbs
everybody.
"""
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build" / "release" / "bin"
BENCH = ROOT / "bench"
RESULTS = ROOT / "build" / "bench"
PYTHON = "/usr/bin/python3"
OURS = ("native", "portable")


@dataclasses.dataclass
class Contestant:
    name: str
    command: list
    every: int = 1  # takes part in every n-th round only: a peer that takes very long


def limit(name, program, *arguments):
    return Contestant(name, [str(BIN / ("limit_" + program)), *arguments])


def python_limit(name, file, *arguments):
    return Contestant(name, [PYTHON, "-B", str(BENCH / "limits" / file), *arguments])


def peer(name, question, every=1):
    return Contestant(name, [PYTHON, "-B", str(BENCH / "peers" / (name + "_peer.py")), question], every)


def ours(question):
    return [Contestant(agent, [str(BIN / ("bench_" + question)), agent]) for agent in OURS]


def ours_in_python(name, question):
    """A peer's program on Gangway: it imports execnet, and gets the drop-in package."""
    package = ROOT / "build" / "release" / "python"
    places = [str(package / "gangway" / "dropin"), os.environ.get("PYTHONPATH")]
    specs = {"native": "popen", "portable": "popen//python=" + PYTHON}
    return [Contestant(agent, ["env", "PYTHONPATH=" + os.pathsep.join(filter(None, places)),
                               *peer(name, question).command, specs[agent]]) for agent in OURS]


def variant(question, name, spec, **environment):
    """Gangway with another spec or environment: `name` is "native, ..." or "portable, ..."."""
    variables = ["%s=%s" % pair for pair in environment.items()]
    return Contestant(name, [*(["env", *variables] if variables else []), str(BIN / ("bench_" + question)), spec])


@dataclasses.dataclass
class Line:
    """One topic. A target is "<= 1.5x" or ">= 0.9x" of the limit, "<= +20" above it, or "<= 20": absolute.

    `limit` is the contestant that is the limit, with the key of its result if that is another
    one; "own" is each agent's own result. `variant` is what follows "native" and "portable"
    in the contestants' names.
    """

    topic: str
    key: str
    unit: str
    limit: object = None  # "name", ("name", key), or None
    native: str = ""
    portable: str = ""
    variant: str = ""


@dataclasses.dataclass
class Question:
    name: str
    contestants: list
    lines: list
    runs: int = 7


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def sample(contestant):
    """Its results, or a text that says what went wrong."""
    environment = dict(os.environ, GANGWAY_AGENT=str(BIN / "gangway-agent"))
    try:
        done = subprocess.run(contestant.command, capture_output=True, text=True, timeout=60, env=environment)
    except subprocess.TimeoutExpired:
        return "no result within 60 s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["exit status %d" % done.returncode])[-1]
    return {key: float(value) for key, value in (pair.split("=") for pair in done.stdout.split())}


def missing(contestant):
    if contestant.name == "native" and not (BIN / "gangway-agent").exists():
        return "gangway-agent is not built"
    if contestant.command[0].startswith(str(BIN)) and not os.path.exists(contestant.command[0]):
        return contestant.command[0] + " is not built"


def progress(text):
    if sys.stderr.isatty():
        print("\r\x1b[K" + text, end="", file=sys.stderr, flush=True)


def measure(question):
    """name -> key -> samples, and name -> what went wrong."""
    samples = {contestant.name: {} for contestant in question.contestants}
    failures = {contestant.name: text for contestant in question.contestants if (text := missing(contestant))}
    for turn in range(question.runs):
        for contestant in question.contestants:
            if contestant.name in failures or turn % contestant.every:
                continue
            result = sample(contestant)
            if isinstance(result, str):
                failures[contestant.name] = result
                continue
            for key, value in result.items():
                samples[contestant.name].setdefault(key, []).append(value)
        progress(f"{question.name}: {turn + 1}/{question.runs}")
    progress("")
    return samples, failures


def verdict(target, value, limit_value):
    """What is judged, as part of the entry: {"ratio" or "above": ..., "hit": ...}"""
    relation, bound = target.split()
    judged = {}
    if bound.endswith("x"):
        value = judged["ratio"] = value / limit_value
    elif bound.startswith("+"):
        value = judged["above"] = value - limit_value
    bound = float(bound.rstrip("x"))
    judged["hit"] = value <= bound if relation == "<=" else value >= bound
    return judged


def judge(question, samples, failures):
    """One dict for each line of the table."""

    def value_of(name, key):
        found = samples.get(name, {}).get(key)
        return statistics.median(found) if found else None

    rows = []
    for line in question.lines:
        row = {"question": question.name, "topic": line.topic, "unit": line.unit, "ours": {}, "peers": {}}
        limit_name, limit_key = line.limit if isinstance(line.limit, tuple) else (line.limit, line.key)
        for contestant in question.contestants:
            value = value_of(contestant.name, line.key)
            if not contestant.name.startswith(OURS) and contestant.name != limit_name and value is not None:
                row["peers"][contestant.name] = value
        for agent in OURS:
            own_limit = limit_name == "own"
            name = agent + line.variant
            limit_value = value_of(name if own_limit else limit_name, limit_key)
            if not own_limit and limit_value is not None:
                row["limit"] = {"name": limit_name, "value": limit_value}
            entry = row["ours"][agent] = {"target": getattr(line, agent), "value": value_of(name, line.key)}
            if entry["value"] is None:
                entry["failure"] = failures.get(name, "not measured")
                continue
            found = samples[name][line.key]
            entry["spread"] = [min(found), max(found)]
            if own_limit:
                entry["limit"] = limit_value
            if entry["target"]:
                entry.update(verdict(entry["target"], entry["value"], limit_value))
            elif limit_value:
                entry["ratio"] = entry["value"] / limit_value
        rows.append(row)
    return rows


def ours_text(entry):
    if entry["value"] is None:
        return entry["failure"][:60] if entry["target"] else "-"
    text = number(entry["value"])
    if entry.get("ratio") is not None:
        text += f" = {entry['ratio']:.2f}x"
    if "above" in entry:
        text += f" = limit {'-' if entry['above'] < 0 else '+'} {number(abs(entry['above']))}"
    if "limit" in entry:
        text += f" of {number(entry['limit'])}"
    if entry["target"]:
        text += f" ({entry['target']}) " + ("hit" if entry["hit"] else "MISSED")
    return text


def table(rows):
    """Markdown, padded so that it can be read in a terminal."""
    cells = [["topic", "limit", "peers", "native", "portable"]]
    for row in rows:
        bound = f"{row['limit']['name']}: {number(row['limit']['value'])}" if "limit" in row else "-"
        peers = ", ".join(f"{name} {number(value)}" for name, value in row["peers"].items()) or "-"
        cells.append([f"{row['topic']}, {row['unit']}", bound, peers, *(ours_text(row["ours"][agent]) for agent in OURS)])
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def run(question):
    """Measures; writes build/bench/NAME.json; gives the rows of the table."""
    load = os.getloadavg()[0]
    samples, failures = measure(question)
    rows = judge(question, samples, failures)
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = {"question": question.name, "runs": question.runs, "load_before": load, "rows": rows,
              "samples": samples, "failures": failures}
    (RESULTS / (question.name + ".json")).write_text(json.dumps(result, indent=1) + "\n")
    for name, text in failures.items():
        print(f"{question.name}: {name}: {text}", file=sys.stderr)
    return rows


def main(question):
    print(table(run(question)))
