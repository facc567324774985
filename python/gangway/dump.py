"""dumps, loads, dump, load: execnet's portable storage format. Exact types only: None, bool, int,
float, complex, str, bytes, list, tuple, dict, set, frozenset."""

from __future__ import annotations


from . import _gangway

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO


def dumps(obj: Any) -> bytes:
    """The object as bytes. DumpError for what cannot be stored."""
    return _gangway.dumps(obj)


def dump(byteio: BinaryIO, obj: Any) -> None:
    """Writes what dumps gives."""
    byteio.write(_gangway.dumps(obj))


def loads(data: Any, py2str_as_py3str: bool = False, py3str_as_py2str: bool = False) -> Any:
    """The object in the bytes; what follows it is ignored.

    py2str_as_py3str: strings of Python 2 become str (latin-1), not bytes. py3str_as_py2str: str
    becomes bytes (UTF-8). Raises LoadError for bytes that are no dump, EOFError when they end too
    early, TypeError for what is not bytes-like.
    """
    return _gangway.loads(data, py2str_as_py3str, py3str_as_py2str)


def load(io: BinaryIO, py2str_as_py3str: bool = False, py3str_as_py2str: bool = False) -> Any:
    """The next object of a file, by its read(n); not a byte more is read. Options and errors of loads."""
    return _gangway.load(io.read, py2str_as_py3str, py3str_as_py2str)
