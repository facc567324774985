"""The command lines of section "kinds of gateways" in execnet's manual, for programs that print or
extend them. The C++ side makes its own from the same keys."""

from __future__ import annotations

import shlex
import sys

from .xspec import XSpec

BOOTSTRAP = "import sys;exec(eval(sys.stdin.readline()))"


def popen_args(spec: XSpec) -> list[str]:
    args = shlex.split(spec.python) if spec.python else [sys.executable]
    args.append("-u")
    if spec.dont_write_bytecode:
        args.append("-B")
    return args + ["-c", BOOTSTRAP]


def remote_command(spec: XSpec) -> str:
    return '%s -c "%s"' % (spec.python or "python", BOOTSTRAP)


def ssh_args(spec: XSpec) -> list[str]:
    args = ["ssh", "-C"]
    if spec.ssh_config is not None:
        args += ["-F", str(spec.ssh_config)]
    return args + spec.ssh.split() + [remote_command(spec)]


def vagrant_ssh_args(spec: XSpec) -> list[str]:
    args = ["vagrant", "ssh", spec.vagrant_ssh, "--", "-C"]
    if spec.ssh_config is not None:
        args += ["-F", str(spec.ssh_config)]
    return args + [remote_command(spec)]
