"""Includes go downwards only, and few files know sockets, TLS, ssh or Python.

core <- channels <- gateways <- rsync, rpc, tasks <- python, examples. The upper ones, from
rsync on, are built on the public headers alone; python/ is the exception, it is close to the wire.
"""
import pathlib
import re
import sys

LAYERS = {"core": 0, "channels": 1, "gateways": 2, "rsync": 3, "rpc": 3, "tasks": 3, "python": 4, "examples": 4}
PUBLIC_ONLY = {"rsync", "rpc", "tasks", "examples"}
# The public headers, all of them.
PUBLIC = {
    "core": "big_int bytes convert death_record dump error limits value xspec",
    "channels": "channel channel_file multi_channel remote_status",
    "gateways": "gangway gateway group native_agent output ssh",
}
LAYER_OF = {header: layer for layer, headers in PUBLIC.items() for header in headers.split()}
# Which files may include what.
RESERVED = {
    r"sys/socket\.h|netinet/.*|netdb\.h|sys/un\.h|boost/asio\.hpp|boost/asio/(ip|local)/.*": r"gateways/.*",
    r"libssh/.*": r"gateways/ssh_handles\.hpp",
    r"gateways/ssh_handles\.hpp": r"gateways/ssh_.*",
    r"boost/asio/ssl(/.*|\.hpp)|openssl/ssl\.h": r"gateways/tls_stream\.cpp",
    # TLS, and what needs a digest or a comparison in constant time.
    r"openssl/.*": r"gateways/(tls_stream|secret|ssh_known_hosts|server/death_book)\.cpp",
    r"Python\.h|pybind11/.*": r"python/.*",
}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def layer_of(path):
    """The layer of `path`, which is relative to the root; None for what belongs to none."""
    if path.parts[:2] == ("include", "gangway"):
        return LAYER_OF.get(path.stem)
    return path.parts[0] if path.parts[0] in LAYERS else None


def complaints(root):
    headers = {path.stem for path in (root / "include/gangway").glob("*.hpp")}
    for name in sorted(headers ^ set(LAYER_OF)):
        yield f"include/gangway/{name}.hpp is {'not in the table of this file' if name in headers else 'not there'}"
    for path in sorted(p for top in ("include", *LAYERS) for p in (root / top).rglob("*.[ch]pp")):
        path = path.relative_to(root)
        here = layer_of(path)
        for name in INCLUDE.findall((root / path).read_text()):
            for reserved, owners in RESERVED.items():
                if re.fullmatch(reserved, name) and not re.fullmatch(owners, str(path)):
                    yield f"{path}: <{name}> is only for {owners}"
            included = pathlib.Path("include", name) if name.startswith("gangway/") else pathlib.Path(name)
            there = layer_of(included)
            if not there or not here:
                continue
            if LAYERS[there] > LAYERS[here] or (LAYERS[there] == LAYERS[here] and there != here):
                yield f"{path}: {here} must not know {there} ({name})"
            elif here in PUBLIC_ONLY and there != here and included.parts[0] != "include":
                yield f"{path}: {here} is built on the public headers, not on {name}"


found = list(complaints(pathlib.Path(__file__).resolve().parent.parent))
print("\n".join(found) or "includes go downwards")
sys.exit(bool(found))
