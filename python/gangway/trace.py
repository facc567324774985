"""Tracing, for those who look for a fault: EXECNET_DEBUG, read at import. 2 writes to stderr, any
other text to the file `fn`. Never raises."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

fn: str | None = None
_stream: Any = None


def notrace(*words: object) -> None:
    """Nobody asked for a trace."""


def _write(*words: object) -> None:
    try:
        text = " ".join(map(str, words)).replace("\n", "\\n")
        _stream.write("[%d] %s\n" % (os.getpid(), text))
        _stream.flush()
    except Exception:
        pass  # a word without a text, a full disk, a closed stderr


_mode = os.environ.get("EXECNET_DEBUG")
if not _mode:
    trace = notrace
elif _mode == "2":
    _stream = sys.stderr
    trace = _write
else:
    import tempfile

    fn = os.path.join(tempfile.gettempdir(), "execnet-debug-%d" % os.getpid())
    try:
        # 0600, and nothing that somebody else put there is followed: the directory is everybody's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        _stream = os.fdopen(os.open(fn, flags, 0o600), "w", encoding="utf-8", errors="backslashreplace")
    except OSError:
        trace = notrace
    else:
        trace = _write
