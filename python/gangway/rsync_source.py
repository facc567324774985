"""What RSync sends: one look at the source directory, before anything is sent. So a tree that cannot
be read, or a filter that raises, leaves the destinations as they are.

Names are bytes, as the system has them: not all of them are text. Memory is some 400 bytes per entry.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Tuple

    Parts = Tuple[bytes, ...]  # of a directory: the names that lead there from the source directory


class File:
    """A regular file, as it was then."""

    __slots__ = ("parts", "name", "mode", "size", "mtime")

    def __init__(self, parts: Parts, name: bytes, status: os.stat_result) -> None:
        self.parts = parts
        self.name = name
        self.mode = stat.S_IMODE(status.st_mode)
        self.size = status.st_size
        self.mtime = status.st_mtime_ns


class Link:
    """A symbolic link. `inside`: the target is below the source directory, and given relative to it."""

    __slots__ = ("parts", "name", "target", "inside")

    def __init__(self, parts: Parts, name: bytes, target: bytes, inside: bool) -> None:
        self.parts = parts
        self.name = name
        self.target = target
        self.inside = inside


class Directory:
    __slots__ = ("parts", "mode", "files", "links", "directories")

    def __init__(self, parts: Parts, mode: int | None) -> None:
        self.parts = parts
        self.mode = mode  # None: only takes a file
        self.files: List[File] = []
        self.links: List[Link] = []
        self.directories: List[bytes] = []


class Source:
    """`top` is a directory, or a file, which is then the only thing in `directories[0]`.

    Raises OSError for what cannot be read, ValueError for what is neither file, directory nor link.
    What vanishes meanwhile is left out.
    """

    def __init__(self, top: str, filter: Callable[[str], bool]) -> None:
        self.top = top.rstrip("/") or "/"
        self._filter = filter
        self._absolute = os.fsencode(os.path.abspath(self.top))
        status = os.stat(self.top)
        self.is_file = stat.S_ISREG(status.st_mode)
        if self.is_file:
            directory = Directory((), None)
            directory.files.append(File((), os.path.basename(self._absolute), status))
            self.directories = [directory]
        elif stat.S_ISDIR(status.st_mode):
            self.directories = list(self._walk(stat.S_IMODE(status.st_mode)))
        else:
            raise ValueError("cannot sync %r: it is no directory" % self.top)
        self.files = [file for directory in self.directories for file in directory.files]

    def relative(self, file: File) -> str:
        """Its path below the source directory."""
        return "" if self.is_file else os.fsdecode(b"/".join(file.parts + (file.name,)))

    def path(self, file: File) -> str:
        return self.top if self.is_file else os.path.join(self.top, self.relative(file))

    def _walk(self, mode: int) -> Iterator[Directory]:
        """Parents before their children."""
        todo = [Directory((), mode)]
        while todo:
            directory = todo.pop()
            path = self.top if not directory.parts else os.path.join(self.top, os.fsdecode(b"/".join(directory.parts)))
            try:
                with os.scandir(path) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except FileNotFoundError:
                if directory.parts:
                    continue
                raise
            inner: List[Directory] = []
            for entry in entries:
                if self._filter(entry.path):
                    self._take(directory, entry, inner)
            todo += reversed(inner)
            yield directory

    def _take(self, directory: Directory, entry: os.DirEntry, inner: List[Directory]) -> None:
        """Puts the entry into its directory, and itself into `inner` if it is one."""
        name = os.fsencode(entry.name)
        try:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                target = os.fsencode(os.readlink(entry.path))
                directory.links.append(Link(directory.parts, name, *self._based(target)))
                return
        except FileNotFoundError:
            return
        if stat.S_ISREG(status.st_mode):
            directory.files.append(File(directory.parts, name, status))
        elif stat.S_ISDIR(status.st_mode):
            directory.directories.append(name)
            inner.append(Directory(directory.parts + (name,), stat.S_IMODE(status.st_mode)))
        else:
            raise ValueError("cannot sync %r: it is neither a file, a directory nor a symbolic link" % entry.path)

    def _based(self, target: bytes) -> Tuple[bytes, bool]:
        """The target of a link, and whether that is relative to the source directory now."""
        below = os.path.join(self._absolute, b"")
        if target.startswith(below) and os.path.normpath(target).startswith(below):
            return target[len(below):], True
        return target, False
