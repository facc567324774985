"""The far side of RSync: makes a directory here like the one of the sender. Sent as source, so it
runs on Python 3.6 and needs nothing of the package.

Whoever sends may be mistaken, and others may write here at the same time. So each name is looked
at, each step below the destination is taken from an open directory and follows no link, and a file
appears under its name when it is complete. What the messages are is said in rsync.py.
"""
import hashlib
import os
import stat
import sys

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NOFOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
# For what its owner may not read. PyPy has no name for it.
O_PATH = getattr(os, "O_PATH", 0o10000000 if sys.platform.startswith("linux") else 0)
PIECE = 1 << 20  # bytes that are hashed at once: the GIL is released for each
REQUESTS = 1000  # go in one item: few items, and the sender sees progress


def checked(names):
    """The names, none of which leads out of its directory."""
    for name in names:
        if type(name) is not bytes or name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise ValueError("unsafe file name %r" % (name,))
    return names


def set_mode(fd, name, mode):
    """chmod that follows no link, which Linux has for open files only."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NOFOLLOW, dir_fd=fd)
    except PermissionError:
        if not O_PATH:
            raise
        opened = os.open(name, O_PATH | NOFOLLOW, dir_fd=fd)
        try:
            os.chmod("/proc/self/fd/%d" % opened, mode)
        finally:
            os.close(opened)
    else:
        try:
            os.fchmod(opened, mode)
        finally:
            os.close(opened)


def open_directory(fd, name):
    """A directory in another one, also if its owner has no right to it."""
    try:
        return os.open(name, DIRECTORY | NOFOLLOW, dir_fd=fd)
    except PermissionError:
        if not is_directory(fd, name):
            raise
        set_mode(fd, name, 0o700)
        return os.open(name, DIRECTORY | NOFOLLOW, dir_fd=fd)


def status_of(fd, name):
    """What lstat says of a name, None when there is nothing."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_directory(fd, name):
    status = status_of(fd, name)
    return status is not None and stat.S_ISDIR(status.st_mode)


def names_in(fd):
    return [os.fsencode(name) for name in os.listdir(fd)]


def digest_of(fd, name):
    """SHA-256 of a file, None when it cannot be read. Not MD5: that is slower where processors help,
    and some systems forbid it."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NOFOLLOW, dir_fd=fd)
    except OSError:
        return None
    with open(opened, "rb", buffering=0) as file:
        digest = hashlib.sha256()
        piece = file.read(PIECE)
        while piece:
            digest.update(piece)
            piece = file.read(PIECE)
        return digest.digest()


class Destination:
    """A tree, whose directories are known by the tuple of names that leads there from its root."""

    def __init__(self, root):
        self.root = root
        self.open_parts = None  # the directory that was used last: most files follow one of the same, or below
        self.open_fd = -1

    def path(self, parts):
        return os.path.join(self.root, *parts)

    def make_root(self, replace):
        """With its parents. The root itself may be a link: whoever named it meant what is there."""
        try:
            if replace and stat.S_ISREG(os.lstat(self.root).st_mode):
                os.unlink(self.root)
        except FileNotFoundError:
            pass
        os.makedirs(self.root, exist_ok=True)

    def open(self, parts):
        # A tree may be deeper than a process may have files open, so the way there is walked again.
        walked = len(self.open_parts) if self.open_parts == parts[:len(self.open_parts or ())] else 0
        fd = os.dup(self.open_fd) if walked else os.open(self.root, DIRECTORY)
        try:
            for part in parts[walked:]:
                inner = open_directory(fd, part)
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        return fd

    def enter(self, parts):
        """The directory's descriptor, good until the next call."""
        if parts != self.open_parts:
            opened = self.open(parts)
            self.leave()
            self.open_fd, self.open_parts = opened, parts
        return self.open_fd

    def leave(self):
        if self.open_parts is not None:
            self.open_parts = None
            os.close(self.open_fd)

    def remove(self, parts, name):
        """Whatever has that name, and all below it. The directory stays the one that is open."""
        if not is_directory(self.enter(parts), name):
            os.unlink(name, dir_fd=self.enter(parts))
            return
        path, todo = parts, [[name]]
        while todo:
            if todo[-1]:
                path += (todo[-1][-1],)
                todo.append(self.empty(path))
                continue
            todo.pop()
            if todo:
                name = todo[-1].pop()
                path = path[:-1]
                os.rmdir(name, dir_fd=self.enter(path))
        self.enter(parts)

    def empty(self, parts):
        """Unlinks what is no directory. The names of the directories."""
        fd = self.open(parts)
        try:
            if os.fstat(fd).st_mode & 0o700 != 0o700:
                os.fchmod(fd, 0o700)
            directories = []
            for name in names_in(fd):
                if is_directory(fd, name):
                    directories.append(name)
                else:
                    os.unlink(name, dir_fd=fd)
            return directories
        finally:
            os.close(fd)

    def publish(self, parts, temporary, name):
        """The temporary file gets its name, in place of whatever has it."""
        fd = self.enter(parts)
        try:
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        except IsADirectoryError:
            self.remove(parts, name)
            fd = self.enter(parts)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)


class Receiver:
    def __init__(self, channel, begin, options):
        self.channel = channel
        self.start = os.fsencode(begin)  # the working directory; tasks may change it
        self.destination = None
        self.only_name = None  # with a file for a source
        self.temporary = b".gw~" + os.urandom(8).hex().encode()  # there is one at a time
        self.delete = options["delete"]
        self.known = set()  # names of the directory whose listing comes, as long as it does
        self.number = 0  # of the next file in the listing; the sender counts as well
        self.requests = []

    def run(self):
        try:
            for kind, parts, rest in self.channel:
                try:
                    getattr(self, "on_" + kind)(checked(parts), *rest)
                except OSError as error:
                    if error.errno is None or self.destination is None:
                        raise
                    name = error.filename if isinstance(error.filename, bytes) else b""
                    path = os.path.join(self.destination.path(parts), name)
                    raise OSError(error.errno, error.strerror, os.fsdecode(path)) from error
                if kind == "end":
                    return
        finally:
            if self.destination is not None:
                self.destination.leave()

    def on_begin(self, parts, place, is_file):
        """Where everything goes; or the name of the only file."""
        place = os.path.normpath(os.path.join(self.start, place))
        if is_file:
            place, self.only_name = os.path.split(place)
        self.destination = Destination(place)
        self.destination.make_root(not is_file)

    def name_of(self, name):
        """What a file here is to be called."""
        checked((name,))
        return name if self.only_name is None else self.only_name

    def on_directory(self, parts, mode, entries, complete):
        """A part of a directory's listing, or the last one of it."""
        fd = self.destination.enter(parts)
        # Its owner can always fill it: it is filled after this.
        if mode is not None and stat.S_IMODE(os.fstat(fd).st_mode) != mode | 0o700:
            os.fchmod(fd, mode | 0o700)
        for kind, name, details in entries:
            name = self.name_of(name)
            self.known.add(name)
            if kind == "directory":
                self.make_directory(parts, name)
            elif kind == "file":
                self.compare(parts, name, *details)
        if complete:
            if self.delete and mode is not None:
                for name in names_in(self.destination.enter(parts)):
                    if name not in self.known:
                        self.destination.remove(parts, name)
            self.known.clear()

    def make_directory(self, parts, name):
        fd = self.destination.enter(parts)
        if is_directory(fd, name):
            return
        if status_of(fd, name) is not None:
            os.unlink(name, dir_fd=fd)
        os.mkdir(name, 0o700, dir_fd=fd)

    def compare(self, parts, name, mode, size, mtime):
        """Asks for the file unless it is the same."""
        number = self.number
        self.number += 1
        fd = self.destination.enter(parts)
        status = status_of(fd, name)
        digest = None
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size == size:
            if status.st_mtime_ns == mtime:
                if stat.S_IMODE(status.st_mode) != mode:
                    set_mode(fd, name, mode)
                return
            digest = digest_of(fd, name)
        self.requests.append((number, digest))
        if len(self.requests) >= REQUESTS:
            self.ask()

    def ask(self):
        self.channel.send(("want", self.requests))
        self.requests = []

    def on_listed(self, parts):
        self.ask()
        self.channel.send(("listed", None))

    def on_same(self, parts, number, name, mode, mtime):
        """The file has the right content."""
        name = self.name_of(name)
        fd = self.destination.enter(parts)
        set_mode(fd, name, mode)
        os.utime(name, ns=(mtime, mtime), dir_fd=fd, follow_symlinks=False)
        self.channel.send(("ack", number))

    def on_file(self, parts, number, name, mode, mtime, content, more):
        name = self.name_of(name)
        fd = self.destination.enter(parts)
        temporary = self.temporary
        out = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW, 0o600, dir_fd=fd)
        try:
            with open(out, "wb", buffering=0) as file:
                write_all(file, content)
                while more:
                    content, more = self.channel.receive()
                    write_all(file, content)
                os.fchmod(out, mode)
                os.utime(out, ns=(mtime, mtime))
            self.destination.publish(parts, temporary, name)
        except BaseException:
            os.unlink(temporary, dir_fd=self.destination.enter(parts))
            raise
        self.channel.send(("ack", number))

    def on_link(self, parts, name, target, inside):
        """`inside`: the target is a path below the root of the tree."""
        name = self.name_of(name)
        if inside:
            target = os.path.join(self.destination.root, target)
        fd = self.destination.enter(parts)
        status = status_of(fd, name)
        if status is not None and stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=fd) == target:
            return
        temporary = self.temporary
        os.symlink(target, temporary, dir_fd=fd)
        try:
            self.destination.publish(parts, temporary, name)
        except BaseException:
            os.unlink(temporary, dir_fd=self.destination.enter(parts))
            raise

    def on_end(self, parts):
        self.channel.send(("done", None))


def write_all(file, content):
    view = memoryview(content)
    while view:
        view = view[file.write(view):]


if __name__ == "__channelexec__":
    here = os.getcwd()
    Receiver(channel, here, channel.receive()).run()  # type: ignore[name-defined]  # noqa: F821
