"""From an XSpec to what the C++ side starts a gateway by."""

from __future__ import annotations

import contextlib
import os
import sys

from . import _gangway, worker_path
from .build import PYTHON, PYTHON_VERSION
from .errors import HostNotFound
from .xspec import XSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

KINDS = ("popen", "ssh", "vagrant_ssh", "socket", "installvia", "unix", "command", "docker", "podman",
         "kubectl", "sudo", "su", "doas", "nsenter", "unshare", "slurm")

# Makes the interpreter that runs it an agent (python/native/extension.cpp).
BECOME_AGENT = ("__import__('_imp').create_dynamic(__import__('_frozen_importlib')"
                ".ModuleSpec('_gangway', None, origin=%s)).serve()")


def check_kind(spec: XSpec) -> None:
    """ValueError when the spec does not say where."""
    if not any(getattr(spec, kind) for kind in KINDS):
        raise ValueError("no gateway type found for %r: it needs one of %s" % (str(spec), ", ".join(KINDS)))
    if (spec.socket or spec.installvia or spec.unix) and spec.python:  # as in execnet
        raise AssertionError("python= does not go with a socket: the server has chosen its interpreter already")


@contextlib.contextmanager
def host_named(specs: list[XSpec]) -> Iterator[None]:
    """HostNotFound has what the spec says of the host as its only argument, as in execnet."""
    try:
        yield
    except HostNotFound as problem:
        spec = next((spec for spec in specs if ("gateway %s:" % spec.id) in str(problem)), specs[0])
        if spec.ssh or spec.vagrant_ssh:
            raise HostNotFound(spec.ssh or spec.vagrant_ssh) from problem
        if not spec.socket:
            raise
        import socket

        # execnet's has no arguments here.
        raise HostNotFound() from socket.gaierror(socket.EAI_NONAME, str(problem))


def use_this_interpreter(core: _gangway.Group) -> None:
    """Workers of popen without python= are this interpreter, with its sys.path, from now on."""
    core.set_native_agent(native_agent(), [os.fsencode(place) for place in worker_path.places()], interpreter())


def interpreter() -> list[bytes]:
    """This one, as it was started; empty in a program that embeds Python."""
    return [os.fsencode(sys.executable), *interpreter_flags()] if sys.executable else []


def native_agent() -> list[bytes]:
    """The command that starts the native agent with this interpreter; empty: gangway-agent as it is.

    gangway-agent starts 1 ms faster than an interpreter that loads the extension module. It is taken
    where that is the only difference (spec-docs/decisions/0005-the-controllers-interpreter.md).
    """
    words = interpreter()
    if not words:
        return []
    program, *flags = words
    agent = _gangway.native_agent_path()
    if not flags and is_embedded_one() and agent:
        return [agent, b"--python", program]
    folder, name = os.path.split(_gangway.__file__)
    extension = os.path.join(folder, name.replace("_gangway", "_agent", 1))
    return [program, b"-u", *flags, b"-c", os.fsencode(BECOME_AGENT % ascii(extension))]


def is_embedded_one() -> bool:
    """Whether this interpreter is the one that gangway-agent embeds, in no virtual environment."""
    return (sys.prefix == sys.base_prefix and os.path.realpath(sys.executable) == os.path.realpath(PYTHON)
            and "%d.%d.%d" % sys.version_info[:3] == PYTHON_VERSION)


def interpreter_flags() -> list[bytes]:
    """The options of this interpreter that say whose modules it takes."""
    flags = sys.flags
    options: list[tuple[int, bytes]]
    if flags.isolated:
        options = [(True, b"-I")]
    else:
        options = [(flags.ignore_environment, b"-E"), (flags.no_user_site, b"-s"),
                   (getattr(flags, "safe_path", False), b"-P")]
    return [option for given, option in options + [(flags.no_site, b"-S")] if given]


def text_of(spec: XSpec) -> bytes:
    """What the spec was made from, with whatever bytes file names in it may have."""
    return str(spec).encode("utf-8", "surrogateescape")


def keys_of(spec: XSpec) -> dict[str, Any]:
    """The spec as it is now, assigned attributes included: key -> str or True, "env:NAME" among them.
    What is None or False is left out."""
    given = {key: value for key, value in vars(spec).items() if key != "env" and not key.startswith("_")}
    given.update(("env:" + name, value) for name, value in spec.env.items())
    return {key: as_text(value) for key, value in given.items() if value is not None and value is not False}


def as_text(value: Any) -> Any:
    if value is True:
        return value
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)
