"""RSync."""

import os
import shutil
import signal
import stat
import sys

import execnet
import pytest


class RSync(execnet.RSync):
    """Keeps what was sent."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.sent = []

    def _report_send_file(self, gateway, modified_rel_path):
        self.sent.append(modified_rel_path)


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "source"
    (source / "sub" / "inner").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "a").write_text("aaa")
    (source / "none").write_text("")
    (source / "sub" / "b").write_text("bbbb")
    (source / "sub" / "inner" / "c").write_bytes(bytes(range(256)) * 100)
    return source


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "destination"


@pytest.fixture
def sync(gateway, source, destination):
    """One run; the sorted names of the files that were sent."""

    def sync(**options):
        rsync = RSync(source)
        rsync.add_target(gateway, str(destination), **options)
        rsync.send()
        return sorted(rsync.sent)

    return sync


def tree(top):
    """Relative path -> what is there."""
    found = {}
    for place, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(place, name)
            if os.path.islink(path):
                what = "-> " + os.readlink(path)
            elif os.path.isdir(path):
                what = "directory"
            else:
                with open(path, "rb") as file:
                    what = file.read()
            found[os.path.relpath(path, top)] = what
    return found


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# --- what arrives

INTERPRETERS = ["popen", "popen//python=" + sys.executable] + [
    "popen//python=" + path for path in (
        os.path.expanduser("~/.pyenv/versions/3.6.15/bin/python"), os.path.expanduser("~/.pyenv/versions/3.13.0/bin/python"),
        "/usr/bin/pypy3")]


@pytest.mark.parametrize("spec", INTERPRETERS, ids=["native", "portable", "3.6", "3.13", "pypy"])
def test_everything_is_made_alike(group, spec, source, destination):
    python = execnet.XSpec(spec).python
    if python and not os.path.exists(python):
        pytest.skip("there is no " + python)
    os.symlink("a", source / "link")
    os.chmod(source / "a", 0o4751)
    os.utime(source / "a", (1_000_000_000, 1_000_000_000.5))
    rsync = RSync(source)
    rsync.add_target(group.makegateway(spec), str(destination))
    rsync.send()
    assert sorted(rsync.sent) == ["a", "none", "sub/b", "sub/inner/c"]
    assert tree(destination) == tree(source)
    assert mode(destination / "a") == 0o4751
    assert os.stat(destination / "a").st_mtime == 1_000_000_000.5
    (source / "a").unlink()
    (source / "sub" / "b").write_text("BBBB")
    os.utime(source / "none", (5, 5))
    rsync = RSync(source)
    rsync.add_target(group[0], str(destination), delete=True)
    rsync.send()
    assert rsync.sent == ["sub/b"]
    assert tree(destination) == tree(source)
    assert os.stat(destination / "none").st_mtime == 5


@pytest.mark.better("KeyError when nothing is to be sent")
def test_nothing_is_sent_the_second_time(sync):
    sync()
    assert sync() == []


def test_time_of_an_equal_file_is_set_without_sending_it(sync, source, destination):
    sync()
    os.utime(source / "a", (1000, 1000))
    os.chmod(source / "a", 0o600)
    assert sync() == []
    assert os.stat(destination / "a").st_mtime == 1000
    assert mode(destination / "a") == 0o600


def test_same_size_and_other_content(sync, source, destination):
    sync()
    (source / "a").write_text("bbb")
    os.utime(source / "a", (1000, 1000))
    assert sync() == ["a"]
    assert (destination / "a").read_text() == "bbb"


@pytest.mark.better("KeyError when nothing is to be sent; and adds rights to the mode")
def test_mode_of_an_unchanged_file(sync, source, destination):
    sync()
    os.chmod(source / "a", 0o444)
    assert sync() == []
    assert mode(destination / "a") == 0o444


@pytest.mark.better("1.9 does not add them")
def test_owner_may_always_write_into_directories(sync, source, destination):
    os.chmod(source / "sub", 0o555)
    os.chmod(source, 0o511)
    try:
        sync()
        assert (mode(destination), mode(destination / "sub")) == (0o711, 0o755)
        (source / "sub" / "b").write_text("changed")
        sync()
    finally:
        os.chmod(source, 0o755)
        os.chmod(source / "sub", 0o755)
    assert (destination / "sub" / "b").read_text() == "changed"


def test_destination_is_relative_to_the_far_directory(group, source, tmp_path):
    gateway = group.makegateway("popen//chdir=%s" % tmp_path)
    rsync = RSync(str(source) + "/")
    rsync.add_target(gateway, "some/where")
    rsync.send()
    assert tree(tmp_path / "some" / "where") == tree(source)


def test_file_for_a_source(gateway, source, destination):
    rsync = RSync(source / "a")
    rsync.add_target(gateway, str(destination))
    rsync.send()
    assert destination.read_text() == "aaa"


@pytest.mark.better("it puts the file in front of what is there")
def test_file_for_a_source_leaves_its_neighbours(gateway, source, destination):
    (destination / "other").mkdir(parents=True)
    rsync = RSync(source / "a")
    rsync.add_target(gateway, str(destination / "name"), delete=True)
    rsync.send()
    assert tree(destination) == {"other": "directory", "name": b"aaa"}


@pytest.mark.better("such names cannot travel")
def test_names_that_are_no_text(sync, source, destination):
    with open(os.fsencode(source) + b"/\xff\xfe", "w") as file:
        file.write("x")
    os.symlink(b"\xfd", os.fsencode(source) + b"/\xfc")
    sync()
    assert tree(destination) == tree(source)


@pytest.mark.parametrize("model", ["native", "portable"])
@pytest.mark.better("it deletes nothing when nothing is to be sent")
def test_trees_deeper_than_the_limit_of_descriptors(group, source, destination, model):
    depth = 200
    gateway = group.makegateway("popen" if model == "native" else "popen//python=" + sys.executable)
    gateway.remote_exec("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))").waitclose()
    deep = os.path.join(*["d"] * depth)
    os.makedirs(source / "deep" / deep)
    for sent in True, False:
        rsync = RSync(source)
        rsync.add_target(gateway, str(destination), delete=True)
        rsync.send()
        assert (destination / "deep" / deep).is_dir() is sent
        shutil.rmtree(source / "deep", ignore_errors=True)
        (source / "a").write_text("changed")
    assert not (destination / "deep").exists()


# --- filter, delete, wrong types

def test_filter_sees_each_entry_once(gateway, source, destination):
    seen = []

    class Filtered(RSync):
        def filter(self, path):
            seen.append(path)
            return not path.endswith("/inner") and not path.endswith("/a")

    rsync = Filtered(source)
    rsync.add_target(gateway, str(destination))
    rsync.send()
    assert sorted(seen) == [str(source / name) for name in ("a", "empty", "none", "sub", "sub/b", "sub/inner")]
    assert sorted(tree(destination)) == ["empty", "none", "sub", "sub/b"]


@pytest.mark.parametrize("delete", [False, True])
def test_delete(sync, source, destination, tmp_path, delete):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    sync()
    (source / "a").write_text("changed")
    (destination / "more" / "sub").mkdir(parents=True)
    (destination / "more" / "sub" / "file").write_text("")
    (destination / "sub" / "file").write_text("")
    os.symlink(tmp_path / "outside", destination / "link")
    os.symlink(tmp_path / "outside", destination / "more" / "link")
    os.chmod(destination / "more" / "sub", 0)
    sync(delete=delete)
    assert (tree(destination) == tree(source)) is delete
    assert (destination / "more").exists() is not delete
    assert tree(tmp_path / "outside") == {"file": b"x"}


def test_filtered_files_are_deleted(gateway, source, destination):
    class Filtered(RSync):
        def filter(self, path):
            return not path.endswith("/b")

    for kind in RSync, Filtered:
        (source / "a").write_text(kind.__name__)
        rsync = kind(source)
        rsync.add_target(gateway, str(destination), delete=True)
        rsync.send()
    assert "sub/b" not in tree(destination) and "sub/inner/c" in tree(destination)


def test_wrong_types_are_replaced(sync, source, destination):
    (destination / "a" / "x").mkdir(parents=True)
    (destination / "a" / "x" / "y").write_text("")
    (destination / "sub").write_text("")
    sync()
    assert tree(destination) == tree(source)


def test_file_in_place_of_the_destination(sync, source, destination):
    destination.write_text("")
    sync()
    assert tree(destination) == tree(source)


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("untouched")
    return tmp_path / "outside"


def test_links_at_the_destination_are_not_followed(sync, source, destination, outside):
    destination.mkdir()
    os.symlink(outside, destination / "sub")
    os.symlink(outside, destination / "empty")
    os.symlink(outside / "file", destination / "a")
    os.symlink(outside / "new", destination / "none")
    sync()
    assert tree(destination) == tree(source)
    assert tree(outside) == {"file": b"untouched"}


@pytest.mark.better("it writes into the file")
def test_hard_links_at_the_destination_keep_their_content(sync, source, destination, outside):
    destination.mkdir()
    os.link(outside / "file", destination / "a")
    sync()
    assert tree(destination) == tree(source)
    assert tree(outside) == {"file": b"untouched"}


# --- links, other types

def test_targets_of_links(sync, source, destination):
    targets = {"relative": "sub/b", "up": "../x", "dangling": "/not/there", "inside": str(source / "sub" / "b")}
    for name, target in targets.items():
        os.symlink(target, source / name)
    sync()
    targets["inside"] = str(destination / "sub" / "b")
    assert {name: os.readlink(destination / name) for name in targets} == targets


@pytest.mark.better("1.9 compares the first letters")
def test_targets_of_links_that_are_not_inside(sync, source, destination):
    targets = {"top": str(source), "near": str(source) + "x", "out": str(source / "sub" / ".." / ".." / "x")}
    for name, target in targets.items():
        os.symlink(target, source / name)
    sync()
    assert {name: os.readlink(destination / name) for name in targets} == targets


@pytest.mark.better("links are not replaced when nothing is to be sent, nor directories by links")
def test_links_replace_what_is_there(sync, source, destination):
    os.symlink("a", source / "link")
    (destination / "link" / "sub").mkdir(parents=True)
    sync()
    assert os.readlink(destination / "link") == "a"
    (source / "link").unlink()
    os.symlink("sub", source / "link")
    assert sync() == []
    assert os.readlink(destination / "link") == "sub"


def test_other_types_are_refused(sync, source):
    os.mkfifo(source / "fifo")
    with pytest.raises(ValueError, match="fifo"):
        sync()


@pytest.mark.better("it makes and deletes while it reads")
@pytest.mark.parametrize("problem", ["fifo", "filter"])
def test_source_that_cannot_be_sent_changes_nothing(gateway, source, destination, problem):
    os.mkfifo(source / "zzz")
    destination.mkdir()
    (destination / "old").write_text("old")

    class Broken(RSync):
        def filter(self, path):
            if problem == "filter" and path.endswith("zzz"):
                raise ZeroDivisionError
            return True

    rsync = Broken(source)
    rsync.add_target(gateway, str(destination), delete=True)
    with pytest.raises(ZeroDivisionError if problem == "filter" else ValueError):
        rsync.send()
    assert tree(destination) == {"old": b"old"}
    assert gateway.remote_exec("channel.send(3)").receive(20) == 3


@pytest.mark.better("it sends nothing, and says nothing")
def test_source_that_is_not_there(gateway, tmp_path):
    rsync = RSync(tmp_path / "nothing")
    rsync.add_target(gateway, str(tmp_path / "destination"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        rsync.send()


@pytest.mark.better("it asks for files later")
@pytest.mark.parametrize("change", ["removed", "link", "fifo", "directory"])
def test_file_that_vanishes_is_left_out(gateway, source, destination, change):
    def callback(command, size, channel):
        if command == "list":
            (source / "a").unlink()
            if change == "link":
                os.symlink("sub/b", source / "a")
            elif change == "fifo":
                os.mkfifo(source / "a")
            elif change == "directory":
                (source / "a").mkdir()

    rsync = RSync(source, callback=callback)
    rsync.add_target(gateway, str(destination))
    rsync.send()
    assert sorted(tree(destination)) == ["empty", "none", "sub", "sub/b", "sub/inner", "sub/inner/c"]


# --- several targets, calls

def test_calls(gateway, source, destination):
    calls = []
    rsync = RSync(source, callback=lambda command, size, channel: calls.append((command, size, channel.gateway)))
    rsync.add_target(gateway, str(destination), finishedcallback=lambda: calls.append("finished"))
    rsync.send()
    assert calls[0] == ("list", 25607, gateway)
    assert sorted(call[1] for call in calls[1:-1]) == [0, 3, 4, 25600]
    assert {call[0] for call in calls[1:-1]} == {"ack"}
    assert calls[-1] == "finished"


def test_several_targets(group, source, tmp_path):
    rsync = RSync(source)
    finished = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        rsync.add_target(group.makegateway(), str(tmp_path / str(number)), lambda number=number: finished.append(number))
    shutil.copytree(source, tmp_path / "1", dirs_exist_ok=True)  # has some of it already
    (tmp_path / "1" / "a").unlink()
    rsync.send()
    assert sorted(finished) == [0, 1, 2]
    assert len(rsync.sent) == 9
    for number in range(3):
        assert tree(tmp_path / str(number)) == tree(source)


def test_targets_are_used_up(gateway, source, destination, tmp_path):
    rsync = RSync(source)
    rsync.add_target(gateway, str(destination))
    rsync.send()
    with pytest.raises(OSError):
        rsync.send()
    assert rsync.send(raises=False) is None
    rsync.add_target(gateway, str(tmp_path / "second"))
    rsync.send()
    assert tree(tmp_path / "second") == tree(source)


@pytest.mark.better("it reads it for each")
def test_file_is_read_once_for_all_targets(group, source, tmp_path, monkeypatch):
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **names: opened.append(path) or real(path, *rest, **names))
    rsync = RSync(source)
    for number in range(3):
        rsync.add_target(group.makegateway(), str(tmp_path / str(number)))
    rsync.send()
    assert opened.count(str(source / "a")) == 1


def test_verbose(gateway, source, destination, capsys):
    rsync = execnet.RSync(source)
    assert (rsync._sourcedir, rsync._verbose) == (str(source), True)
    rsync.add_target(gateway, str(destination))
    rsync.send()
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split(" <= ")[1] for line in lines) == ["a", "none", "sub/b", "sub/inner/c"]
    assert all(line.startswith("<Gateway id=%r " % gateway.id) for line in lines)
    rsync = execnet.RSync(source, verbose=False)
    rsync.add_target(gateway, str(destination / "more"))
    rsync.send()
    assert capsys.readouterr().out == ""


def test_wrong_arguments(gateway, source):
    with pytest.raises(AssertionError):
        execnet.RSync(source, callback=3)
    with pytest.raises(AssertionError):
        execnet.RSync(source).add_target(gateway, "x", remove=True)


@pytest.mark.better("its task stays")
def test_target_that_is_never_used_frees_its_gateway(gateway, source, until):
    rsync = RSync(source)
    rsync.add_target(gateway, "x")
    del rsync
    until(lambda: gateway.remote_status().numexecuting == 0)


# --- failures

@pytest.mark.better("OSError now and then")
def test_far_error_has_its_reason(gateway, source, destination):
    destination.write_text("")
    rsync = RSync(source)
    rsync.add_target(gateway, str(destination / "below"))
    with pytest.raises(execnet.RemoteError, match="Not a directory: '%s" % destination):
        rsync.send()
    assert gateway.remote_exec("channel.send(3)").receive(20) == 3


@pytest.mark.better("it names no path")
def test_far_error_names_the_path(gateway, source, destination):
    rsync = RSync(source)
    rsync.add_target(gateway, str(destination / ("x" * 300)))
    with pytest.raises(execnet.RemoteError, match="File name too long: '.*xxx"):
        rsync.send()


@pytest.mark.better("the others are left alone")
def test_others_are_served_when_one_target_fails(group, source, tmp_path):
    (tmp_path / "file").write_text("")
    rsync = RSync(source)
    places = [tmp_path / "0", tmp_path / "file" / "below", tmp_path / "2"]
    for place in places:
        rsync.add_target(group.makegateway(), str(place))
    with pytest.raises(execnet.RemoteError):
        rsync.send()
    assert tree(places[0]) == tree(places[2]) == tree(source)


@pytest.mark.better("it waits for ever in some releases")
def test_lost_far_side(any_gateway, source, destination):
    pid = any_gateway._rinfo().pid

    class Kills(RSync):
        def filter(self, path):
            os.kill(pid, signal.SIGKILL)
            return True

    rsync = Kills(source)
    rsync.add_target(any_gateway, str(destination))
    with pytest.raises((EOFError, OSError)):
        rsync.send()


# --- the receiver alone, with a sender that means no good

@pytest.fixture
def receive(request, any_gateway, destination):
    """Starts receivers, and gives their channels after the beginning of a listing."""
    if request.config.getoption("--oracle"):
        pytest.skip("not with the oracle")
    from gangway import rsync_receiver

    def receive():
        channel = any_gateway.remote_exec(rsync_receiver)
        channel.send({"delete": True})
        channel.send(("begin", (), (os.fsencode(destination), False)))
        channel.send(("directory", (), (0o755, [("directory", b"sub", ())], True)))
        return channel

    return receive


@pytest.mark.parametrize("message", [
    lambda name: ("directory", (name,), (0o755, [], True)),
    lambda name: ("directory", (b"sub", name), (0o755, [], True)),
    lambda name: ("directory", (), (0o755, [("directory", name, ())], True)),
    lambda name: ("directory", (), (0o755, [("file", name, (0o644, 1, 1))], True)),
    lambda name: ("file", (), (0, name, 0o644, 1, b"x", False)),
    lambda name: ("same", (), (0, name, 0o644, 1)),
    lambda name: ("link", (), (name, b"x", False)),
], ids=["parts", "inner parts", "directory", "listed file", "file", "same", "link"])
def test_unsafe_names_are_refused(receive, message):
    for name in b"", b".", b"..", b"a/b", b"/etc", b"a\0b", "text", 3:
        channel = receive()
        channel.send(message(name))
        with pytest.raises(execnet.RemoteError, match="unsafe file name"):
            channel.receive(20)


def test_links_on_the_way_are_not_followed(receive, destination, outside):
    channel = receive()
    channel.send(("listed", (), ()))
    assert [channel.receive(20) for _ in range(2)] == [("want", []), ("listed", None)]
    (destination / "sub").rmdir()
    os.symlink(outside, destination / "sub")  # somebody else, meanwhile
    channel.send(("file", (b"sub",), (0, b"file", 0o644, 1, b"x", False)))
    with pytest.raises(execnet.RemoteError, match="Not a directory|symbolic links"):
        channel.receive(20)
    assert tree(outside) == {"file": b"untouched"}


@pytest.mark.parametrize("end", ["close", "error", "exit", "drop"])
def test_incomplete_file_is_not_left(receive, any_gateway, destination, until, end):
    channel = receive()
    channel.send(("file", (), (0, b"a", 0o644, 1, b"old", False)))
    assert channel.receive(20) == ("ack", 0)
    channel.send(("file", (), (1, b"a", 0o644, 1, b"new", True)))
    until(lambda: len(os.listdir(destination)) == 3)
    if end == "close":
        channel.close()
    elif end == "error":
        channel.close("no more")
    elif end == "exit":
        any_gateway.exit()
    else:
        del channel
    until(lambda: sorted(os.listdir(destination)) == ["a", "sub"])
    assert (destination / "a").read_text() == "old"


@pytest.mark.better("it holds whole files")
def test_memory_is_bounded(group, source, destination, resident_counts):
    if not resident_counts:
        pytest.skip("a sanitizer keeps what was freed")
    size = 160 << 20
    with open(source / "large", "wb") as file:
        file.truncate(size)
    gateway = group.makegateway("popen//python=" + sys.executable)
    gateway.remote_exec("channel.send(0)").receive()

    def peak(pid):  # MiB
        with open("/proc/%d/status" % pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    before = peak(os.getpid()), peak(gateway._rinfo().pid)
    rsync = RSync(source)
    rsync.add_target(gateway, str(destination))
    rsync.send()
    assert os.stat(destination / "large").st_size == size
    assert peak(os.getpid()) - before[0] < 64
    assert peak(gateway._rinfo().pid) - before[1] < 64
