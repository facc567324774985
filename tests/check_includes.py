"""Includes go downwards only, and few files know sockets or Python.

core <- channels <- gateways <- rsync, rpc, tasks <- python, examples. The upper ones, from
rsync on, are built on the public headers alone; python/ is the exception, it is close to the wire.
"""
import pathlib
import re
import sys

LAYERS = {"core": 0, "channels": 1, "gateways": 2, "rsync": 3, "rpc": 3, "tasks": 3, "python": 4, "examples": 4}
PUBLIC_ONLY = {"rsync", "rpc", "tasks", "examples"}
# Public headers that are above core. One that is missing here is found out by what it includes.
PUBLIC = {
    "channels": "channel channel_file multi_channel remote_status",
    "gateways": "gangway gateway group makegateway",
}
LAYER_OF = {header: layer for layer, headers in PUBLIC.items() for header in headers.split()}
# Who may include what.
RESERVED = {
    r"sys/socket\.h|netinet/.*|netdb\.h|sys/un\.h|boost/asio\.hpp|boost/asio/(ip|local)/.*": {"gateways"},
    r"Python\.h|pybind11/.*": {"python"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def layer_of(path):
    """The layer of `path`, which is relative to the root; None for what belongs to none."""
    if path.parts[:2] == ("include", "gangway"):
        return LAYER_OF.get(path.stem, "core")
    return path.parts[0] if path.parts[0] in LAYERS else None


def complaints(root):
    for path in sorted(p for top in ("include", *LAYERS) for p in (root / top).rglob("*.[ch]pp")):
        path = path.relative_to(root)
        here = layer_of(path)
        for name in INCLUDE.findall((root / path).read_text()):
            for reserved, owners in RESERVED.items():
                if re.fullmatch(reserved, name) and here not in owners:
                    yield f"{path}: <{name}> is only for {', '.join(owners)}/"
            included = pathlib.Path("include", name) if name.startswith("gangway/") else pathlib.Path(name)
            there = layer_of(included)
            if not there:
                continue
            if LAYERS[there] > LAYERS[here] or (LAYERS[there] == LAYERS[here] and there != here):
                yield f"{path}: {here} must not know {there} ({name})"
            elif here in PUBLIC_ONLY and there != here and included.parts[0] != "include":
                yield f"{path}: {here} is built on the public headers, not on {name}"


found = list(complaints(pathlib.Path(__file__).resolve().parent.parent))
print("\n".join(found) or "includes go downwards")
sys.exit(bool(found))
