"""From an XSpec to the text that the C++ side starts a gateway by, and what is left to do then."""

from __future__ import annotations

import os
import sys

from . import worker_path
from .build import PYTHON
from .errors import HostNotFound
from .execmodel import GREEN
from .xspec import XSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .gateway import Gateway

KINDS = ("popen", "ssh", "vagrant_ssh", "socket", "installvia", "unix", "command", "docker", "podman",
         "kubectl", "sudo", "su", "slurm")


def check_kind(spec: XSpec) -> None:
    """ValueError when the spec does not say where."""
    if not any(getattr(spec, kind) for kind in KINDS):
        raise ValueError("no gateway type found for %r: it needs one of %s" % (str(spec), ", ".join(KINDS)))
    if (spec.socket or spec.installvia or spec.unix) and spec.python:  # as in execnet
        raise AssertionError("python= does not go with a socket: the server has chosen its interpreter already")


def start(core: Any, spec: XSpec) -> Any:
    """The started gateway of the C++ side."""
    try:
        return core.start(text_of(spec), spec)
    except HostNotFound as problem:
        if spec.ssh or spec.vagrant_ssh:  # execnet's only argument
            raise HostNotFound(spec.ssh or spec.vagrant_ssh) from problem
        if not spec.socket:
            raise
        import socket

        # execnet's has no arguments either.
        raise HostNotFound() from socket.gaierror(socket.EAI_NONAME, str(problem))


def is_plain_popen(spec: XSpec) -> bool:
    """Whether the worker is to be the same interpreter as this one."""
    return bool(spec.popen) and not spec.python and not spec.via


def native_agent_will_do(spec: XSpec) -> bool:
    """Whether the native agent is the same interpreter as this one, and can do what is asked for.

    It embeds the interpreter that it was built for, and knows nothing of virtual environments. It
    has no green threads, and does not send what tasks print.
    """
    if sys.prefix != sys.base_prefix or os.path.realpath(sys.executable) != os.path.realpath(PYTHON):
        return False
    return spec.execmodel not in GREEN and not {spec.stdout, spec.stderr} & {"forward", "callback"}


def text_of(spec: XSpec) -> str:
    """The spec as it is now, assigned attributes included; what is None is left out.

    ValueError for assigned values that a text cannot have. Items of env like that are left to late_env().
    """
    values = {key: value for key, value in vars(spec).items()
              if key not in ("_spec", "env") and value is not None and value is not False}
    if is_plain_popen(spec) and not native_agent_will_do(spec):
        import shlex

        values["python"] = shlex.quote(sys.executable)
    if values.get("chdir") not in (None, True):
        values["chdir"] = plain_path(values["chdir"])
    parts = [part_of(key, value) for key, value in values.items()]
    late = late_env(spec)
    parts += [part_of("env:" + name, value) for name, value in spec.env.items() if name not in late]
    parts.sort(key=lambda part: part.endswith("/"))  # the "/" would be taken for one of the "//" behind it
    if len(parts) > 1 and parts[-2].endswith("/"):
        raise ValueError("only one value can end with a slash: %s" % ", ".join(parts[-2:]))
    return "//".join(parts)


def plain_path(path: Any) -> str:
    """The same directory, without doubled slashes and without one at the end."""
    text = os.fspath(path)
    while "//" in text:
        text = text.replace("//", "/")
    return "/." if text == "/" else text.rstrip("/")


def part_of(key: str, value: object) -> str:
    if value is True:
        return key
    if "//" in str(value):
        raise ValueError("%s=%s: a value cannot contain //" % (key, value))
    return "%s=%s" % (key, value)


def late_env(spec: XSpec) -> dict[str, str]:
    """Variables that cannot stand in a text: spec.env["NAME"] = "http://...", and directories with a slash
    at their end."""
    return {name: str(value) for name, value in spec.env.items() if "//" in str(value) or str(value).endswith("/")}


def prepare(gateway: Gateway) -> None:
    """What the worker needs before its first task and the handshake does not carry."""
    lines = []
    late = late_env(gateway.spec)
    if late:
        lines.append("import os; os.environ.update(%r)" % late)
    if is_plain_popen(gateway.spec) and worker_path.missing():
        lines.append(worker_path.SOURCE % worker_path.missing())
    if lines:
        gateway.remote_exec("\n".join(lines)).waitclose()
