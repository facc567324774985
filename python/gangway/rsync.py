"""RSync: makes directories on far sides like one that is here.

Each far side runs rsync_receiver.py as an ordinary task. What goes there are items (kind, directory,
details): a `begin`, the listing by `directory`, and `listed`; it answers with `want` for the files
that it has not, with the hash of what it has instead if that could be the same, and `listed`. Then
come `file` (with further items for what is larger than a piece) or `same`, each answered by `ack`,
at last `link` and `end`, answered by `done`. Both sides are of one version, so nothing of this is
promised to anybody.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from . import rsync_receiver
from .errors import RemoteError
from .multi_channel import MultiChannel
from .rsync_source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable

    from .channel import Channel
    from .gateway import Gateway
    from .rsync_source import Directory, File

PIECE = 1 << 20  # bytes of a file in one item. With N targets it is sent N times, and read once
ENTRIES = 1000  # of a directory in one item
END = object()  # of a channel


class Target:
    """A far side's directory, and how far it is."""

    def __init__(self, gateway: Gateway, channel: Channel, directory: str, finished: Callable[[], object] | None) -> None:
        self.gateway = gateway
        self.channel = channel
        self.directory = directory
        self.finished = finished
        self.asked = 0  # bytes
        self.listed = False  # all that it wants is known
        self.done = False
        self.over = False  # nothing more comes from it
        self.error: Exception | None = None

    def send(self, item: tuple) -> None:
        if self.error is not None or self.over:
            return
        try:
            self.channel.send(item)
        except OSError as error:
            self.error = error  # the end of the channel brings a better one, if there is one


class RSync:
    """Sends a directory's contents to directories of far sides, all at the same time.

        rsync = gangway.RSync("src")
        for gateway in group:
            rsync.add_target(gateway, "copy", delete=True)
        rsync.send()

    Files that a far side has are not sent: those with equal size and time of modification, and those
    with equal size and content. Modes and times follow the source; owners do not. A file appears under
    its name when it is complete. Subclasses may override filter().

    `callback(command, size, channel)` is called with ("list", bytes that a target asked for) and then
    with ("ack", size) for each of these files. `verbose`: prints a line for each file that is sent.

    One thread at a time may use it. It reads a file once for all targets, and holds two MiB of it.
    """

    def __init__(self, sourcedir: Any, callback: Callable[..., object] | None = None, verbose: bool = True) -> None:
        if callback is not None and not callable(callback):
            raise AssertionError("callback=%r is not callable" % (callback,))
        self._sourcedir = str(sourcedir)
        self._verbose = verbose
        self._callback = callback
        self._targets: list[Target] = []

    def filter(self, path: str) -> bool:
        """Whether to send what is at `path`, with all that is below it. Called once for each entry
        below the source directory; to be overridden."""
        return True

    def add_target(self, gateway: Gateway, destdir: Any, finishedcallback: Callable[[], object] | None = None,
                   **options: Any) -> None:
        """Starts a task on the gateway that lasts until send() is through.

        `destdir` is relative to the far working directory, and made with its parents.
        `finishedcallback()` is called when this target is through. Option: `delete=True` removes what
        the far side has and the source has not (or the filter leaves out).
        """
        for name in options:
            if name != "delete":
                raise AssertionError("unknown option %r: there is only `delete`" % name)
        if finishedcallback is not None and not callable(finishedcallback):
            raise AssertionError("finishedcallback=%r is not callable" % (finishedcallback,))
        channel = gateway.remote_exec(rsync_receiver)
        channel.send({"delete": bool(options.get("delete"))})
        self._targets.append(Target(gateway, channel, os.fspath(destdir), finishedcallback))

    def send(self, raises: bool = True) -> None:
        """Sends to all targets that were added, and waits until they have everything; they are used up.

        Raises OSError without targets (not with `raises=False`), ValueError for a source that has other
        things than files, directories and links, OSError for what cannot be read. When a far side
        fails, the others are served before its RemoteError is raised; EOFError or OSError for one
        that is gone.
        """
        targets, self._targets = self._targets, []
        if not targets:
            if raises:
                raise OSError("no targets available: add_target() adds some, send() uses them up")
            return
        try:
            Sending(self, targets).run()
        except BaseException as error:
            for target in targets:
                target.channel.close("the sender failed: %s: %s" % (type(error).__name__, error))
            raise
        for target in targets:
            if target.error is not None:
                raise target.error

    def _report_send_file(self, gateway: Gateway, modified_rel_path: str) -> None:
        if self._verbose:
            print("%s <= %s" % (gateway, modified_rel_path))


class Sending:
    """One run of send()."""

    def __init__(self, rsync: RSync, targets: list[Target]) -> None:
        self.rsync = rsync
        self.targets = targets
        self.target_of = {target.channel: target for target in targets}
        self.wanted: dict[int, list[tuple[Target, bytes | None]]] = {}  # by the file's number

    def run(self) -> None:
        self.source = Source(self.rsync._sourcedir, self.rsync.filter)
        # From here on what comes is taken at once, so that no far side waits for us to read.
        self.queue = MultiChannel(list(self.target_of)).make_receive_queue(endmarker=END)
        self.empty = self.targets[0].gateway.execmodel.queue.Empty
        self.send_listing()
        self.wait(lambda target: target.listed)
        for number in sorted(self.wanted):
            self.send_file(number, self.wanted.pop(number))
            self.take_answers()
        for directory in self.source.directories:
            for link in directory.links:
                self.send(("link", link.parts, (link.name, link.target, link.inside)))
        self.send(("end", (), ()))
        self.wait(lambda target: target.over)

    def send(self, item: tuple) -> None:
        for target in self.targets:
            target.send(item)

    # What they answer.

    def wait(self, reached: Callable[[Target], bool]) -> None:
        """Until that is true of all targets, or they have ended."""
        while not all(target.over or reached(target) for target in self.targets):
            self.take(*self.queue.get())

    def take_answers(self) -> None:
        """Those that are there."""
        try:
            while True:
                self.take(*self.queue.get_nowait())
        except self.empty:
            pass

    def take(self, channel: Channel, item: Any) -> None:
        target = self.target_of[channel]
        if item is END:
            self.end(target)
            return
        kind, details = item
        if kind == "want":
            for number, digest in details:
                target.asked += self.source.files[number].size
                self.wanted.setdefault(number, []).append((target, digest))
        elif kind == "listed":
            target.listed = True
            self.call_back("list", target.asked, channel)
        elif kind == "ack":
            self.call_back("ack", self.source.files[details].size, channel)
        else:
            target.done = True

    def call_back(self, command: str, size: int, channel: Channel) -> None:
        if self.rsync._callback is not None:
            self.rsync._callback(command, size, channel)

    def end(self, target: Target) -> None:
        target.over = True
        try:
            target.channel.waitclose()
            if not target.done:
                raise EOFError("%r ended before it had everything" % target.gateway)
        except (RemoteError, EOFError, OSError) as error:
            target.error = error
        else:
            target.error = None
            if target.finished is not None:
                target.finished()

    # What they get.

    def send_listing(self) -> None:
        for target in self.targets:
            target.send(("begin", (), (os.fsencode(target.directory), self.source.is_file)))
        for directory in self.source.directories:
            self.send_directory(directory)
        self.send(("listed", (), ()))

    def send_directory(self, directory: Directory) -> None:
        entries: list[tuple] = [("file", file.name, (file.mode, file.size, file.mtime)) for file in directory.files]
        entries += [("directory", name, ()) for name in directory.directories]
        entries += [("link", link.name, ()) for link in directory.links]
        for begin in range(0, max(1, len(entries)), ENTRIES):
            end = begin + ENTRIES
            self.send(("directory", directory.parts, (directory.mode, entries[begin:end], end >= len(entries))))

    def send_file(self, number: int, wanted: list[tuple[Target, bytes | None]]) -> None:
        """To those who want it, unless it is gone."""
        known = self.source.files[number]
        try:
            # Somebody may have put something else in its place.
            opened = os.open(self.source.path(known), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | self.nofollow())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            if error.errno == errno.ELOOP:
                return
            raise
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            os.close(opened)
            return
        with open(opened, "rb") as file:
            # As it is now: what is written to it later changes its time, and the next run sees that.
            about = (number, known.name, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
            size = min(PIECE, status.st_size + 1)  # room for 1 MiB takes longer than to read a small file
            content = file.read(size)
            more = len(content) == size
            digest = None
            if any(has is not None for _, has in wanted):
                digest, content, more = self.digest_of(file, content, more)
            others = []
            for target, has in wanted:
                if has is not None and has == digest:
                    target.send(("same", known.parts, about))
                else:
                    self.rsync._report_send_file(target.gateway, self.source.relative(known))
                    others.append(target)
            if others:
                self.send_content(others, known, about, file, content, more)

    def nofollow(self) -> int:
        return 0 if self.source.is_file else os.O_NOFOLLOW

    def digest_of(self, file: BinaryIO, content: bytes, more: bool) -> tuple[bytes, bytes, bool]:
        """SHA-256 of the file that begins with `content`, and these two again: a large one is read twice,
        since what it is compared with is known at its end only."""
        digest = hashlib.sha256(content)
        if not more:
            return digest.digest(), content, False
        piece = file.read(PIECE)
        while piece:
            digest.update(piece)
            piece = file.read(PIECE)
        file.seek(0)
        return digest.digest(), file.read(PIECE), True

    def send_content(self, targets: list[Target], known: File, about: tuple, file: BinaryIO, content: bytes,
                     more: bool) -> None:
        following = file.read(PIECE) if more else b""
        for target in targets:
            target.send(("file", known.parts, (*about, content, bool(following))))
        while following:
            content, following = following, file.read(PIECE)
            for target in targets:
                target.send((content, bool(following)))
