"""The portable agent, byte for byte, on the interpreters of portable.py."""
import glob
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_controller import (  # noqa: E402
    BEGIN, BYTES, CLOSE, CLOSE_ERROR, CREDIT, END, EXEC, HELLO, INT, INTERRUPT, LAST_MESSAGE, NONCE, OPEN, PICKLE,
    PING, PONG, STR, TERMINATE, Agent, ChannelReference, Ended, RemoteError, dumps, frame, item_frames)
from portable import (  # noqa: E402, F401
    BUNDLES, END_GRACE, KILL_AFTER, TERM_AFTER, agent, pytest_generate_tests, python, start, wait_until)


def counts(agent):
    status = agent.status()
    assert status["execmodel"] == "thread"
    return status["numchannels"], status["numexecuting"]


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def process_group(pgid):
    members = []
    for entry in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(entry) as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pgid and fields[0] not in "ZX":
            members.append(entry)
    return members


# --- start -----------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("local", [False, True])
def test_hello_names_the_agent(python, local):
    with start(python, local) as agent:
        hello = agent.hello
        assert hello["protocol"] == (1, 0) and hello["agent"] == "portable"
        assert hello["capabilities"] == [] and hello["max_frame"] == 262144
        assert hello["python"].split(".")[0] == "3" and hello["implementation"] in ("cpython", "pypy")
        assert agent.run("channel.send(1)") == [1]
        assert agent.terminate() == 0
        assert agent.stderr == b""


def test_stage0_survives_every_shell():
    for stage0, _ in BUNDLES.values():
        assert len(stage0) < 1024 and not set("'!\n\\") & set(stage0)


def test_bundle_stays_small():
    assert len(BUNDLES[False][1]) <= 12288


def test_argv_is_minus_c(agent):
    assert agent.run("import sys; channel.send(sys.argv)") == [["-c"]]


def test_end_of_stream_within_the_bundle_is_a_quiet_failure(python):
    stage0, packed = BUNDLES[False]
    result = subprocess.run([python, "-c", stage0], input=packed[:-1], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"")


@pytest.mark.parametrize("where", [0, 100, -1])
def test_flipped_byte_in_the_bundle_is_reported(python, where):
    stage0, packed = BUNDLES[False]
    damaged = bytearray(packed)
    damaged[where] ^= 1
    result = subprocess.run([python, "-c", stage0], input=damaged, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.returncode == 1 and result.stdout == b""
    assert result.stderr.startswith(b"gangway: bootstrap corrupt")
    assert len(result.stderr.splitlines()) == 1


def test_bundle_may_arrive_byte_by_byte(python):
    stage0, packed = BUNDLES[False]
    with Agent([python, "-c", stage0], b"", send_hello=False) as agent:
        for i in range(200):
            agent.write(packed[i:i + 1])
        agent.write(packed[200:])
        hello = frame(HELLO, 0, dumps({"protocol": (1, 0), "nonce": NONCE, "execmodel": "thread", "window": 0}))
        for i in range(len(hello)):
            agent.write(hello[i:i + 1])
        agent.handshake()
        assert agent.run("channel.send(3)") == [3]


@pytest.mark.core
def test_nonblocking_stdin_and_stdout_are_handled(python):
    stage0, packed = BUNDLES[False]
    r, w = os.pipe()
    os.set_blocking(r, False)
    agent = Agent([python, "-c", stage0], b"", send_hello=False)
    agent.kill()
    process = subprocess.Popen([python, "-c", stage0], stdin=r, stdout=subprocess.PIPE, start_new_session=True)
    os.set_blocking(process.stdout.fileno(), True)
    agent.process, agent.fd_out, agent.fd_in, agent.buffer, agent.ended = process, w, process.stdout.fileno(), b"", False
    os.close(r)
    time.sleep(0.05)
    agent.write(packed[:50])
    time.sleep(0.05)
    agent.write(packed[50:])
    agent.write(frame(HELLO, 0, dumps({"protocol": (1, 0), "nonce": NONCE, "execmodel": "thread", "window": 0})))
    try:
        agent.handshake()
        number = agent.remote_exec("for x in channel: channel.send(x)")
        big = os.urandom(300000)
        for item in (1, big, "x"):
            agent.send(number, item)
            assert agent.receive(number) == item
    finally:
        os.close(w)
        process.wait(10)
        process.stdout.close()


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_end_cleanly(python, redirect):
    stage0, packed = BUNDLES[False]
    result = subprocess.run(["sh", "-c", "exec %s -c '%s' %s" % (python, stage0, redirect)], input=packed,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    assert result.stdout == b""
    assert b"Traceback" not in result.stderr
    if redirect != "2>&-":
        assert result.returncode == 1


def test_wrong_major_version_is_refused_in_hello(python):
    with start(python, hello={"protocol": (2, 0)}) as agent:
        assert "protocol" in agent.hello["error"]
        assert agent.finish() == 1


def test_unknown_execmodel_is_refused_in_hello(python):
    with start(python, hello={"execmodel": "purple"}) as agent:
        assert "execmodel purple" in agent.hello["error"]
        assert agent.finish() == 1


def test_chdir_is_created_one_level(python, tmp_path):
    with start(python, cwd=str(tmp_path), hello={"chdir": "new"}) as agent:
        assert agent.run("import os; channel.send(os.getcwd())") == [str(tmp_path / "new")]
    with start(python, cwd=str(tmp_path), hello={"chdir": "a/b"}) as agent:
        assert "FileNotFoundError" in agent.hello["error"]
        assert agent.finish() == 1


def test_env_and_nice_are_applied(python):
    base = os.nice(0)
    with start(python, hello={"env": {"GW_X": "ä"}, "nice": 3}) as agent:
        assert agent.run("import os; channel.send((os.environ['GW_X'], os.nice(0)))") == [("ä", base + 3)]


def test_module_beside_the_agent_does_not_shadow_its_imports(python, tmp_path):
    for name in ("zlib", "select", "_struct", "copyreg", "_compat_pickle", "fcntl", "_gangway", "task", "traceback"):
        (tmp_path / (name + ".py")).write_text("raise SystemExit('shadowed')")
    with start(python, cwd=str(tmp_path)) as agent:
        assert agent.run("channel.send(1)") == [1]


# --- items -----------------------------------------------------------------------------

ITEMS = [
    None, True, False, 0, 1, -1, 255, 256, 2**31, -2**31, 2**63 - 1, -2**63, 2**63, -2**63 - 1, 2**70, -2**1000, 10**5000,
    0.0, -0.0, 1.5, float("inf"), 1j, complex(-0.0, 2.5), "", "x", "äöü€\U0001f600", "a\0b", "x" * 70000, b"", b"\0\xff",
    b"y" * 70000, os.urandom(1 << 20), [], [1], [[]], [1, "a", b"b", None, 2.5, True], (), (1,), (1, 2), (1, 2, 3),
    (1, 2, 3, 4), {}, {"a": 1}, {1: {2: {3: []}}}, set(), {1, 2}, frozenset(), frozenset([1, "x"]), [complex(1, 2)] * 3,
    {(1, frozenset([2])): [b"z" * 300]}, ["s" * 300, b"b" * 300], list(range(2000)), [{"k%d" % i: i} for i in range(1500)],
    ["\ud7ff\ue000"],
]


@pytest.mark.core
@pytest.mark.parametrize("window", [0, 1024, 1 << 24])
def test_items_come_back_equal(python, window):
    with start(python, window=window) as agent:
        source = "for x in channel: channel.send(x)"
        number = agent.remote_exec(source)
        if window:
            agent.credit[number] = window - len(dumps({"source": source})) - 32
            got = exchange(agent, number, ITEMS)
        else:
            got = []
            for item in ITEMS:
                agent.send(number, item)
                got.append(agent.receive(number))
        for item, back in zip(ITEMS, got):
            assert back == item and (not isinstance(item, (float, complex)) or repr(back) == repr(item))
            assert type(back) is type(item)


def exchange(agent, number, items):
    """Sends and receives each item within the window, frame by frame."""
    got = []
    for item in items:
        whole = item_frames(number, item)
        word, _ = struct.unpack_from("<II", whole)
        tag = word & 15
        payload = b""
        at = 0
        while at < len(whole):
            word, _ = struct.unpack_from("<II", whole, at)
            part = whole[at + 8:at + 8 + (word >> 8)]
            payload += part[8:] if word & 0x30 == BEGIN else part
            at += 8 + (word >> 8)
        total = len(payload)
        done = 0
        begun = False
        while not begun or done < total:
            wait_for_credit(agent, number, 32 + 8 + min(total, 9))
            credit = agent.credit[number]
            if not begun and total + 32 <= credit and total <= 65536:
                agent.write(frame(BEGIN | END | tag, number, payload))
                agent.credit[number] -= total + 32
                done = total
            elif not begun:
                assert tag != INT
                size = min(65528, credit - 40)
                agent.write(frame(BEGIN | tag, number, struct.pack("<Q", total) + payload[:size]))
                agent.credit[number] -= 40 + size
                done = size
            else:
                size = min(65536, credit, total - done)
                flag = END if done + size == total else 0
                agent.write(frame(flag | tag, number, payload[done:done + size]))
                agent.credit[number] -= size
                done += size
            begun = True
        got.append(agent.receive(number))
        take_credit(agent, number)
    return got


def take_credit(agent, number):
    rest = []
    for kind, n, payload in agent.frames:
        if kind == CREDIT and n == number:
            agent.credit[number] += struct.unpack("<Q", payload)[0]
        else:
            rest.append((kind, n, payload))
    agent.frames = rest


def wait_for_credit(agent, number, needed):
    take_credit(agent, number)
    while agent.credit[number] < needed:
        _, _, payload = agent.wait_for(lambda kind, n, _: kind == CREDIT and n == number)
        agent.credit[number] += struct.unpack("<Q", payload)[0]


@pytest.mark.parametrize("expression, name", [
    ("object()", "object"), ("bytearray(b'x')", "bytearray"), ("[memoryview(b'x')]", "memoryview"), ("int", "type"),
    ("[len]", "builtin_function"), ("lambda: 0", "function"), ("complex", "type"), ("[complex, 1j]", "type"),
    ("Ellipsis", "ellipsis"), ("{'a': NotImplemented}", "NotImplementedType"), ("range(3)", "range"),
    ("type('I', (int,), {})(3)", "I"), ("[type('S', (str,), {})('x')]", "S"), ("'\\ud800'", "surrogates"),
    ("['\\ud800']", "surrogates"), ("{'\\ud800': 1}", "surrogates"), ("ValueError('x')", "ValueError"),
    ("__import__('collections').OrderedDict()", "OrderedDict"), ("1 << (8 << 20)", "int"), ("[1 << (8 << 20)]", "int"),
    ("bytearray", "type|bytearray"), ("__import__('os')", "module"), ("channel.send", "method"),
])
def test_anything_else_is_a_dump_error_and_nothing_is_sent(agent, expression, name):
    items = agent.run("""
try:
    channel.send(%s)
except Exception as e:
    channel.send((type(e).__name__, str(e)))
channel.send([complex(1, 2)])
""" % expression)
    assert items[0][0] == "DumpError" and "can't serialize" in items[0][1]
    assert any(part in items[0][1] for part in name.split("|"))
    assert items[1:] == [[1 + 2j]]


@pytest.mark.core
def test_cycles_and_depth_are_dump_errors(agent):
    assert agent.run("""
import sys
def nested(n, kind=list):
    item = kind()
    for i in range(n - 1):
        item = [item] if kind is list else {0: item}
    return item
cyclic = []
cyclic.append(cyclic)
other = {}
other["x"] = [other]
for item in cyclic, other, nested(1001), nested(5000, dict), nested(100000):
    try:
        channel.send(item)
    except Exception as e:
        channel.send(type(e).__name__)
sys.setrecursionlimit(100000)
try:
    channel.send(nested(1001))
except Exception as e:
    channel.send(type(e).__name__)
channel.send(nested(200))
""")[:6] == ["DumpError"] * 6


@pytest.mark.core
def test_what_only_looks_like_a_surrogate_travels_and_a_surrogate_among_it_does_not(agent):
    """A float may hold the bytes of a surrogate, and of the opcode of a huge int."""
    number = agent.remote_exec("""
import struct
alike = struct.unpack(">d", b"\\x40\\xed\\xb0\\x80\\x8b\\x01\\x00\\x10")[0]
def items(last):
    korean = "\\ud558\\uc138\\uc694"
    row = {"a": alike, "b": [korean, b"\\xed\\xb0\\x80"], korean: (alike, 1.5)}
    return [row] * 300 + [{"deep": {i: [row, last] for i in range(40)}}] + [alike] * 300
good = "x\\ud7ff\\ue000", 1 << 70, b"\\xed\\xa0\\x80" * 400000
for last in good + ("x\\ud800", "\\udfff", {"\\udc00": 1}, [b"x" * 1100000, 1 << (8 << 20)]):
    try:
        channel.send(items(last) if type(last) is not bytes else [items(1), last])
    except Exception as error:
        channel.send(type(error).__name__)
""")
    alike = struct.unpack(">d", b"\x40\xed\xb0\x80\x8b\x01\x00\x10")[0]
    for last in "x\ud7ff\ue000", 1 << 70:
        received = agent.receive(number)
        assert received[300]["deep"][39][1] == last and received[-1] == alike
    assert agent.receive(number)[1] == b"\xed\xa0\x80" * 400000
    for _ in range(4):
        assert agent.receive(number) == "DumpError"
    agent.waitclose(number)


@pytest.mark.core
def test_any_number_of_frozensets_travels(agent):
    """CPython's pickler counts each of them as a level of nesting, and never takes one back."""
    number = agent.remote_exec("""
one = frozenset([1])
for i in range(120):
    channel.send([frozenset([i])])
for item in [frozenset([i]) for i in range(300)], [one] * 200, [[one] * 60, {2: (1j, None, True, 1.5, b"b" * 70000, "u" * 70000, -2**70)}]:
    channel.send(item)
deep = [frozenset([i]) for i in range(100)]
for i in range(850):
    deep = [deep]
channel.send(deep)
for bad in object(), "\\ud800", complex, [bytearray()], 1 << (8 << 20):
    try:
        channel.send([one] * 100 + [bad])
    except Exception as error:
        channel.send((type(error).__name__, error.__suppress_context__ or error.__context__ is None, len(str(error)) < 200))
cyclic = [one] * 100
cyclic += cyclic, cyclic
try:
    channel.send(cyclic)
except Exception as error:
    channel.send(type(error).__name__)
channel.send([channel, one] * 60)
""")
    one = frozenset([1])
    for i in range(120):
        assert agent.receive(number) == [frozenset([i])]
    assert agent.receive(number) == [frozenset([i]) for i in range(300)]
    assert agent.receive(number) == [one] * 200
    assert agent.receive(number) == [[one] * 60, {2: (1j, None, True, 1.5, b"b" * 70000, "u" * 70000, -2**70)}]
    deep = agent.receive(number)
    for _ in range(850):
        [deep] = deep
    assert deep == [frozenset([i]) for i in range(100)]
    for _ in range(5):
        assert agent.receive(number) == ("DumpError", True, True)
    assert agent.receive(number) == "DumpError"
    assert agent.receive(number) == [ChannelReference(number), one] * 60
    agent.waitclose(number)


@pytest.mark.core
def test_deep_lists_travel(agent):
    assert agent.run("deep = []\nfor i in range(899): deep = [deep]\nchannel.send(deep)\nchannel.send(1)")[1] == 1


@pytest.mark.core
def test_pickles_use_only_the_subset(agent):
    import pickletools
    number = agent.remote_exec("channel.send([1, 'a', 'a', b'b', (1, 2.5), {1: {2}}, frozenset([3]), None, True, 1j, 1j, channel, 'a', 'a', 'b' * 65, 'b' * 65])")
    payload = agent.wait_for(lambda kind, n, p: n == number)[2]
    names = [op.name for op, _, _ in pickletools.genops(payload)]
    for before, name in zip(names, names[1:]):
        assert name != "MEMOIZE" or before in ("SHORT_BINUNICODE", "BINUNICODE")
    names = set(names) - {"MEMOIZE", "BINGET"}
    assert names <= {
        "PROTO", "FRAME", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "BININT1", "BININT2", "BININT", "LONG1", "LONG4", "BINFLOAT",
        "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "MARK", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE",
        "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET",
        "STACK_GLOBAL", "REDUCE"}
    assert ChannelReference(number) in pickle.loads(payload)


def test_item_over_the_limit_is_refused_before_anything_is_sent(python):
    with start(python, hello={"max_item": 100000}) as agent:
        assert agent.run("""
try:
    channel.send(bytes(100001))
except Exception as e:
    channel.send(type(e).__name__)
channel.send(len('x' * 100000))
""") == ["DumpError", 100000]


# --- tasks -----------------------------------------------------------------------------


def error_of(agent, source, **request):
    number = agent.remote_exec(source, **request)
    with pytest.raises(RemoteError) as caught:
        agent.waitclose(number)
    return str(caught.value)


def test_task_sees_a_fresh_namespace(agent):
    assert agent.run("channel.send((__name__, sorted(n for n in globals() if n != '__builtins__')))") == [
        ("__channelexec__", ["__name__", "channel"])]
    assert agent.run("import sys; x = 1; channel.send(sys.exc_info() == (None, None, None))") == [True]
    assert agent.run("channel.send('x' in globals())") == [False]


@pytest.mark.core
def test_function_is_called_with_keyword_arguments(agent):
    assert agent.run("def f(channel, a, b=2):\n    channel.send([a, b])\n", function="f", kwargs={"a": (1, None)}) == [[(1, None), 2]]


@pytest.mark.core
def test_traceback_shows_the_users_frames_only(agent):
    text = error_of(agent, "\n\n\ndef f(channel):\n    raise KeyError('nö')\n", file="/some/file.py", function="f")
    lines = text.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "/some/file.py", line 5, in f' and lines[2] == "    raise KeyError('nö')"
    assert lines[-1] == "KeyError: 'nö'"
    text = error_of(agent, "channel.send(object())")
    assert "_gangway" not in text.replace("_gangway.DumpError", "") and "can't serialize" in text


def test_syntax_error_is_reported_with_its_line(agent):
    text = error_of(agent, "x = 1\ny = = 2\n")
    assert text.startswith("Traceback (most recent call last):") and 'File "<remote exec>", line 2' in text
    assert "y = = 2" in text and text.splitlines()[-1].startswith("SyntaxError: ")


@pytest.mark.parametrize("statement, last_line", [
    ("import sys; sys.exit(3)", "SystemExit: 3"), ("raise GeneratorExit", "GeneratorExit"),
    ("raise MemoryError", "MemoryError"), ("raise KeyboardInterrupt", "keyboard-interrupted"),
    ("class E(Exception):\n    def __str__(self): 1/0\nraise E", "*"), ("def f(): f()\nf()", "RecursionError: "),
    ("class E(BaseException):\n    def __repr__(self): raise SystemExit\n    __str__ = __repr__\nraise E", "*"),
    ("try:\n    1/0\nexcept Exception as e:\n    raise ValueError('x') from e", "ValueError: x"),
])
def test_agent_survives_what_a_task_raises(agent, statement, last_line):
    text = error_of(agent, statement)
    assert last_line == "*" or text.splitlines()[-1].startswith(last_line)
    assert agent.run("channel.send(1)") == [1]


def test_eof_error_is_a_normal_end(agent):
    agent.waitclose(agent.remote_exec("raise EOFError"))
    number = agent.remote_exec("channel.receive()")
    agent.write(frame(LAST_MESSAGE, number))
    agent.waitclose(number)


def test_huge_error_text_is_cut_in_front(agent):
    text = error_of(agent, "raise ValueError('ä' * 1000000 + 'end')")
    assert len(text.encode()) <= 65536 and text.startswith("Traceback (most recent call last):") and text.endswith("end")


def test_error_text_with_surrogates_travels(agent):
    assert "\\udc80" in error_of(agent, "raise ValueError('\\udc80')")


@pytest.mark.core
def test_inspect_shows_the_source(agent):
    assert agent.run("import inspect\ndef f():\n    return 1\nchannel.send(inspect.getsource(f))") == ["def f():\n    return 1\n"]


def test_task_cannot_close_its_own_channel(agent):
    assert "explicit" in error_of(agent, "channel.close()")


def test_prints_and_standard_descriptors_never_touch_the_stream(agent):
    assert agent.run("""
import os, sys
print("x" * 100000)
sys.__stdout__.write("ä")
os.write(1, b"garbage")
os.system("echo garbage")
sys.stdout.flush()
channel.send((sys.stdin.read(), os.read(0, 5), sys.__stdin__ is sys.stdin))
os.closerange(0, 3)
channel.send(os.open(os.devnull, os.O_RDONLY))
""") == [("", b"", True), 0]
    assert agent.run("channel.send(1)") == [1]


def test_children_do_not_inherit_the_stream(agent):
    assert agent.run("""
import subprocess, sys
out = subprocess.check_output([sys.executable, "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"], close_fds=False)
channel.send([n for n in eval(out) if n > 20])
""") == [[]]


@pytest.mark.core
@pytest.mark.parametrize("local", [False, True])
def test_second_task_runs_beside_the_first(python, local):
    with start(python, local) as agent:
        first = agent.remote_exec("import threading; channel.send(threading.current_thread() is threading.main_thread()); channel.receive()")
        assert agent.receive(first) is True
        second = agent.remote_exec("import threading; channel.send(threading.current_thread() is threading.main_thread()); channel.receive()")
        assert agent.receive(second) is False
        assert counts(agent) == (2, 2)
        agent.send(first, 0)
        agent.waitclose(first)
        third = agent.remote_exec("import threading; channel.send(threading.current_thread() is threading.main_thread())")
        assert agent.receive(third) is True
        agent.send(second, 0)
        agent.waitclose(second)


@pytest.mark.core
def test_threading_imported_off_the_main_thread_knows_the_main_thread(agent):
    first = agent.remote_exec("""
channel.send(0)
channel.receive()
import threading
channel.send([threading.current_thread() is threading.main_thread(), threading.main_thread().is_alive(), threading.current_thread().name])
""")
    agent.receive(first)
    second = agent.remote_exec("import threading; channel.send((threading.main_thread() is threading.current_thread(), threading.main_thread().is_alive()))")
    assert agent.receive(second) == (False, True)
    agent.waitclose(second)
    agent.send(first, 0)
    assert agent.receive(first) == [True, True, "MainThread"]


def test_main_thread_only_refuses_a_second_task_after_a_second(python):
    with start(python, hello={"execmodel": "main_thread_only"}) as agent:
        first = agent.remote_exec("channel.send(1); channel.receive()")
        assert agent.receive(first) == 1
        begin = time.monotonic()
        text = error_of(agent, "channel.send(2)")
        assert 0.9 < time.monotonic() - begin < 5
        assert "concurrent remote_exec" in text and "deadlock" in text and "Traceback" not in text
        second = agent.remote_exec("channel.send(3)")
        agent.send(first, 0)
        assert agent.receive(second) == 3
        error_of(agent, "1/0")
        assert agent.run("channel.send(4)") == [4]
        assert agent.status()["execmodel"] == "main_thread_only"


@pytest.mark.core
def test_large_exec_comes_in_many_frames(agent):
    source = "x = %r\nchannel.send(len(x))" % ("y" * 500000)
    assert agent.run(source) == [500000]


def test_numexecuting_counts_down(agent):
    agent.run("channel.send(1)")
    wait_until(lambda: counts(agent) == (0, 0))


@pytest.mark.core
def test_monkeypatched_modules_do_not_reach_the_agent(agent):
    assert agent.run("""
import os, time, threading, _thread, sys
def broken(*args, **kw): raise RuntimeError("patched")
os.write = os.read = os.readv = os.writev = time.sleep = time.monotonic = broken
threading.Thread.start = threading.Lock = _thread.start_new_thread = broken
import builtins
builtins.print = broken
channel.send(1)
""") == [1]
    number = agent.remote_exec("for x in channel: channel.send(x)")
    other = agent.remote_exec("for x in channel: channel.send(x)")
    for channel in (number, other):
        agent.send(channel, b"x" * 300000)
        assert agent.receive(channel) == b"x" * 300000


# --- channels --------------------------------------------------------------------------


@pytest.mark.core
def test_receive_with_timeout(agent):
    assert agent.run("""
import time
start = time.time()
for timeout in (0, 0.05):
    try:
        channel.receive(timeout)
    except channel.TimeoutError as e:
        channel.send(isinstance(e, OSError))
channel.send(0.04 < time.time() - start < 3)
try:
    channel.receive(timeout=-1)
except ValueError:
    channel.send("negative")
try:
    channel.waitclose(0.01)
except channel.TimeoutError:
    channel.send("open")
""") == [True, True, True, "negative", "open"]


def reference(number):
    return dumps(ChannelReference(number))


def hand_over_channel(agent, number, other):
    """OPEN, and the reference as an item of another channel."""
    agent.write(frame(OPEN, other))
    agent.next_number = max(agent.next_number, other + 2)
    agent.write(item_frames(number, payload=reference(other), tag=PICKLE))


ENDING = """
c = channel.receive()
channel.send(0)
result = []
while len(result) < 5:
    try:
        result.append(c.receive())
    except EOFError:
        result.append("eof")
    except c.RemoteError as e:
        result.append(("error", str(e)))
c.waitclose()
result.append(c.isclosed())
try:
    c.send(1)
except OSError as e:
    result.append(repr(c) in str(e))
result.append(repr(c))
channel.send(result)
"""


@pytest.mark.core
@pytest.mark.parametrize("early", [False, True])
def test_end_of_channel_gives_items_then_error_once_then_eof(agent, early):
    number = agent.remote_exec(ENDING)
    sent = item_frames(99, "item") + item_frames(99, 5) + frame(CLOSE_ERROR, 99, "böse".encode())
    if early:  # the reference was held up by credit, the CLOSE was not
        agent.write(frame(OPEN, 99) + sent + item_frames(number, payload=reference(99), tag=PICKLE))
    else:
        hand_over_channel(agent, number, 99)
        assert agent.receive(number) == 0
        agent.write(sent)
    if early:
        agent.receive(number)
    assert agent.receive(number) == [
        "item", 5, ("error", "böse"), "eof", "eof", True, True, "<Channel id=99 closed>"]


@pytest.mark.core
def test_new_channel_travels_and_comes_back_as_itself(agent):
    number = agent.remote_exec("""
c = channel.gateway.newchannel()
channel.send(c)
channel.send((channel.receive() is c, c.id, repr(c), channel.gateway.id, channel.gateway.execmodel.backend))
c.send("through")
c.close("bye")
c.close()
channel.send(c.isclosed())
""")
    assert agent.wait_for(lambda kind, n, p: kind == OPEN) == (OPEN, 2, b"")
    assert agent.receive(number) == ChannelReference(2)
    agent.write(item_frames(number, payload=reference(2), tag=PICKLE))
    assert agent.receive(number) == (True, 2, "<Channel id=2 open>", "gw-worker", "thread")
    assert agent.receive(2) == "through"
    with pytest.raises(RemoteError) as caught:
        agent.receive(2)
    assert str(caught.value) == "bye"
    assert agent.receive(number) is True
    agent.waitclose(number)


def test_too_many_channels_of_the_agent_are_refused_there(python):
    with start(python, hello={"max_channels": 3}) as agent:
        assert agent.run("""
channels = []
try:
    for i in range(5):
        channels.append(channel.gateway.newchannel())
except OSError:
    channel.send(len(channels))
""") == [3]


def test_dropping_the_last_reference_closes_the_channel(agent):
    number = agent.remote_exec("""
import gc
c = channel.gateway.newchannel()
channel.send(c.id)
del c
gc.collect()
channel.receive()
""")
    assert agent.receive(number) == 2
    agent.wait_for(lambda kind, n, p: (kind, n) == (CLOSE, 2))
    agent.send(2, "dropped")  # crossed the CLOSE
    agent.send(number, 0)
    agent.waitclose(number)


def test_dropping_the_tasks_channel_does_not_end_it(agent):
    assert agent.run("c = channel.gateway\nchannel.send(1)\ndel channel\nimport gc; gc.collect()") == [1]


def test_unfetched_error_is_warned_about(agent):
    number = agent.remote_exec("c = channel.receive()\nchannel.send(0)\nc.waitclose\nchannel.receive()\ndel c\nimport gc; gc.collect()")
    hand_over_channel(agent, number, 99)
    agent.receive(number)
    agent.write(frame(CLOSE_ERROR, 99, b"lost words"))
    agent.send(number, 1)
    agent.waitclose(number)
    agent.terminate()
    assert b"Warning: unhandled RemoteError: lost words" in agent.stderr


def test_send_only_channel(agent):
    number = agent.remote_exec("""
try:
    channel.receive()
except EOFError:
    channel.send((channel.isclosed(), channel.waitclose()))
""")
    agent.write(frame(LAST_MESSAGE, number))
    assert agent.receive(number) == (False, None)


def test_each_item_goes_to_exactly_one_of_many_receivers(agent):
    number = agent.remote_exec("""
import threading
got = []
def reader():
    for x in channel:
        got.append(x)
c = channel
threads = [threading.Thread(target=reader) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
done = channel.gateway.newchannel()
channel.send(done)
done.send(sorted(got))
""")
    for i in range(2000):
        agent.send(number, i)
        if not i % 500:
            time.sleep(0.02)
    agent.write(frame(LAST_MESSAGE, number))
    done = agent.receive(number)
    assert agent.receive(done.number) == list(range(2000))


@pytest.mark.core
def test_items_of_many_sending_threads_keep_their_order(agent):
    items = agent.run("""
import threading
def sender(k):
    for i in range(300):
        channel.send((k, i, b"x" * (i * 200)) if i % 3 == 0 else (k, i))
threads = [threading.Thread(target=sender, args=(k,)) for k in range(6)]
for t in threads: t.start()
for t in threads: t.join()
""")
    assert len(items) == 1800
    for k in range(6):
        assert [item[1] for item in items if item[0] == k] == list(range(300))


@pytest.mark.core
def test_receiving_thread_takes_over_when_the_leader_leaves(agent):
    number = agent.remote_exec("""
import threading
a = channel.receive()
b = channel.receive()
def serve(c):
    for x in c:
        c.send(x)
threads = [threading.Thread(target=serve, args=(c,)) for c in (a, b)]
for t in threads: t.start()
channel.send(0)
channel.receive()
""")
    hand_over_channel(agent, number, 101)
    hand_over_channel(agent, number, 103)
    assert agent.receive(number) == 0
    for i in range(50):
        for channel in (101, 103, 103, 101):
            agent.send(channel, i)
            assert agent.receive(channel) == i
    agent.write(frame(CLOSE, 101))
    for i in range(50):
        agent.send(103, i)
        assert agent.receive(103) == i
    agent.write(frame(CLOSE, 103))
    agent.send(number, 0)
    agent.waitclose(number)


# --- liveness --------------------------------------------------------------------------


@pytest.mark.parametrize("busy", ["while not stop: pass", "import time\nwhile not stop: time.sleep(0.1)", "channel.receive()"])
def test_ping_status_and_credit_are_handled_while_tasks_are_busy(python, busy):
    with start(python, window=1 << 20) as agent:
        number = agent.remote_exec("stop = []\nchannel.send(1)\n" + busy)
        agent.receive(number)
        for i in range(5):
            assert agent.ping(struct.pack("<Q", i)) < 5
            assert agent.status(i)["numexecuting"] == 1
        assert agent.run("channel.send(2)") == [2]


def test_idle_agent_uses_no_cpu(agent):
    number = agent.remote_exec("channel.send(1); channel.receive()")
    agent.receive(number)
    other = agent.remote_exec("channel.send(1); import time; time.sleep(30)")
    agent.receive(other)
    time.sleep(0.2)

    def used():
        with open("/proc/%d/stat" % agent.hello["pid"]) as file:
            fields = file.read().rpartition(")")[2].split()
        with open("/proc/%d/status" % agent.hello["pid"]) as file:
            text = file.read()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(1)
    assert used() - before <= 1


def test_collected_sends_arrive_without_further_help(agent):
    number = agent.remote_exec("for i in range(100): channel.send(i)\nimport time; time.sleep(60)")
    for i in range(100):
        assert agent.receive(number, timeout=5) == i


def test_sends_before_a_hard_exit_are_not_lost(agent):
    number = agent.remote_exec("import os\nfor i in range(30): channel.send(i)\nos._exit(3)")
    for i in range(30):
        assert agent.receive(number) == i
    assert agent.finish() == 3


# --- flow control ----------------------------------------------------------------------


def test_sender_stops_at_the_window_and_control_frames_pass(python):
    with start(python, window=4096) as agent:
        agent.window = 0  # no credit from receive()
        number = agent.remote_exec("for i in range(1000): channel.send(b'x' * 100)")
        other = agent.remote_exec("channel.send(b'y' * 100000)")
        frames = []
        with pytest.raises(TimeoutError):
            while True:
                frames.append(agent.next_frame(0.5))
        for n in (number, other):
            cost = sum(len(p) + (32 if kind & BEGIN else 0) for kind, m, p in frames if m == n and kind < 0x40)
            assert 4096 - 132 < cost <= 4096
        assert agent.ping() < 5
        agent.frames = [entry for entry in frames if entry[0] < 0x40]
        agent.window = 4096
        for entry in agent.frames:
            agent.write(frame(CREDIT, entry[1], struct.pack("<Q", len(entry[2]) + (32 if entry[0] & BEGIN else 0))))
        agent.window = 0
        received = sum(n == number for kind, n, p in agent.frames)
        big = sum(len(p) - (8 if kind & BEGIN else 0) for kind, n, p in agent.frames if n == other)
        while received < 1000 or big < 100000:
            kind, n, payload = agent.next_frame()
            if kind < 0x40:
                received += n == number
                big += (len(payload) - (8 if kind & 0x30 == BEGIN else 0)) if n == other else 0
                agent.write(frame(CREDIT, n, struct.pack("<Q", len(payload) + (32 if kind & BEGIN else 0))))
        assert (received, big) == (1000, 100000)


def test_nothing_is_granted_before_the_user_has_taken_it(python):
    with start(python, window=4096) as agent:
        number = agent.remote_exec("c = channel.receive()\nchannel.send(0)\nc.receive()\nchannel.send(1)\nchannel.receive()")
        hand_over_channel(agent, number, 99)
        agent.receive(number)
        for i in range(100):
            agent.write(item_frames(99, i))
        assert agent.receive(number) == 1
        with pytest.raises(TimeoutError):
            agent.wait_for(lambda kind, n, p: kind == CREDIT and n == 99, 0.3)


@pytest.mark.core
def test_both_sides_may_fill_their_windows_without_deadlock(python):
    with start(python, window=1 << 20) as agent:
        agent.window = 0
        numbers = [agent.remote_exec("while 1: channel.send(b'x' * 10000)") for _ in range(3)]
        for n in numbers:
            for i in range(100):
                agent.write(item_frames(n, b"y" * 10000))
        assert agent.ping() < 5
        begin = time.monotonic()
        agent.write(frame(TERMINATE))
        assert agent.finish() == 0 and time.monotonic() - begin < 5


def test_channels_take_turns(python):
    with start(python) as agent:
        first = agent.remote_exec("channel.send(b'x' * (64 << 20))")
        agent.wait_for(lambda kind, n, p: n == first)
        begin = time.monotonic()
        assert agent.run("channel.send(1)") == [1]
        assert agent.ping() < 5
        assert time.monotonic() - begin < 10
        seen = sum(len(p) for kind, n, p in agent.frames if n == first)
        assert seen < 64 << 20


# --- a controller that is wrong --------------------------------------------------------

EXEC_FRAMES = frame(OPEN, 1) + item_frames(1, payload=dumps({"source": "channel.receive()"}), tag=EXEC)


@pytest.mark.parametrize("data", [
    frame(HELLO, 0, dumps({"protocol": (1, 0), "nonce": NONCE})), frame(0x4C), frame(0x7F, 1), frame(PING, 0, b"short"),
    frame(PING, 1, bytes(8)), frame(CLOSE, 0), frame(CLOSE, 5), frame(CREDIT, 5, bytes(8)), frame(OPEN, 2), frame(OPEN, 0),
    struct.pack("<II", 0x32 | (262145 << 8), 1), item_frames(1, 5), item_frames(1, "x"), frame(0x30, 1), frame(0x3F, 1),
    frame(0x39, 1), item_frames(1, payload=b"x", tag=EXEC), frame(OPEN, 3) + frame(OPEN, 1), frame(OPEN, 1) + frame(OPEN, 1),
    EXEC_FRAMES + frame(CREDIT, 1, struct.pack("<Q", 1)), EXEC_FRAMES + frame(END | BYTES, 1, b"x"),
    EXEC_FRAMES + frame(BYTES, 1, b"x"), EXEC_FRAMES + frame(BEGIN | BYTES, 1, b"x"),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 1 << 40) + b"x"),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x"),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + item_frames(1, 5),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(END | STR, 1, b"x" * 9),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(END | BYTES, 1, b"x" * 8),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(BYTES, 1, b"x" * 9),
    EXEC_FRAMES + frame(BEGIN | BYTES, 1, struct.pack("<Q", 10) + b"x") + frame(BYTES, 1, b""),
    EXEC_FRAMES + frame(BEGIN | END | INT, 1, b"x"), EXEC_FRAMES + frame(BEGIN | INT, 1, bytes(16)),
    EXEC_FRAMES + item_frames(1, payload=b"x", tag=EXEC),
    frame(PONG, 0, bytes(9)), frame(0x45, 0, bytes(9)),
], ids=lambda data: data[:24].hex())
def test_violation_ends_the_connection(agent, data):
    agent.write(data)
    assert agent.finish() == 0
    assert b"protocol error" in agent.stderr and b"Traceback" not in agent.stderr


def test_frame_before_hello_ends_the_connection(python):
    for data in (frame(PING, 0, bytes(8)), frame(OPEN, 1), frame(TERMINATE)):
        stage0, packed = BUNDLES[False]
        with Agent([python, "-c", stage0], packed + data, send_hello=False) as agent:
            agent.finish()
            assert b"protocol error" in agent.stderr


def test_more_than_the_credit_ends_the_connection(python):
    with start(python, window=4096) as agent:
        number = agent.remote_exec("channel.gateway.newchannel().waitclose()")
        agent.write(b"".join(item_frames(number, b"x" * 1000) for i in range(5)))
        agent.finish()
        assert b"credit" in agent.stderr


def test_credit_above_the_window_ends_the_connection(python):
    with start(python, window=4096) as agent:
        number = agent.remote_exec("channel.receive()")
        agent.write(frame(CREDIT, number, struct.pack("<Q", 1)))
        agent.finish()
        assert b"credit above the window" in agent.stderr


def test_optional_frames_are_skipped(agent):
    agent.write(frame(PONG, 0, bytes(8)))  # nobody asked
    agent.write(frame(0x81, 0, b"x" * 1000) + frame(0xFF, 12345, b"") + frame(0x90, 1, b"y" * 100000))
    assert agent.run("channel.send(1)") == [1]


def test_frames_for_closed_channels_are_dropped(agent):
    number = agent.remote_exec("pass")
    agent.waitclose(number)
    agent.send(number, 1)
    agent.send(number, b"x" * 300000)
    agent.write(frame(CLOSE, number) + frame(LAST_MESSAGE, number) + frame(INTERRUPT, number))
    agent.write(frame(CREDIT, number, struct.pack("<Q", 1))) if agent.window else None
    agent.write(item_frames(number, payload=dumps({"source": "1"}), tag=EXEC))
    assert agent.run("channel.send(1)") == [1]


def test_session_may_arrive_byte_by_byte(agent):
    number = agent.next_number
    data = frame(OPEN, number) + item_frames(number, payload=dumps({"source": "for x in channel: channel.send(x)"}), tag=EXEC)
    items = [1, -1, "ä", b"b" * 300, [1, 2], b"c" * 9000]
    data += b"".join(item_frames(number, item, cut=4000) for item in items) + frame(LAST_MESSAGE, number)
    for i in range(len(data)):
        agent.write(data[i:i + 1])
    for item in items:
        assert agent.receive(number) == item
    agent.waitclose(number)


def frames_of(data):
    at = 0
    while at < len(data):
        end = at + 8 + (struct.unpack_from("<I", data, at)[0] >> 8)
        yield data[at:end]
        at = end


def test_large_item_is_whole_whatever_comes_between_its_frames(agent):
    """The agent reads several frames at once, and expects the item's next one behind each."""
    first, second = (agent.remote_exec("for x in channel: channel.send(x)") for _ in range(2))
    items = [os.urandom(1 << 20) for _ in range(4)]
    one, two, three, four = (list(frames_of(item_frames(n, item))) for n, item in zip((first, second, first, first), items))
    agent.write(b"".join(one))  # as expected
    agent.write(b"".join(a + b for a, b in zip(three, two)))
    assert [agent.receive(first), agent.receive(first), agent.receive(second)] == [items[0], items[2], items[1]]
    agent.write(b"".join(four[:5]) + frame(PING, 0, bytes(8)) + b"".join(four[5:9]) + frame(0x81, 0, bytes(5)) + b"".join(four[9:]))
    assert agent.receive(first) == items[3]
    agent.write(b"".join(item_frames(first, items[0], cut=cut) for cut in (5000, 65536, 65535, 200000)))
    for _ in range(4):
        assert agent.receive(first) == items[0]
    agent.write(b"".join(four[:3]) + frame(CLOSE, first) + b"".join(four[3:]))  # the rest is dropped
    assert agent.run("channel.send(1)") == [1]


# --- the end ---------------------------------------------------------------------------


@pytest.mark.core
def test_terminate_ends_waiting_tasks_at_once_and_silently(agent):
    for i in range(3):
        number = agent.remote_exec("channel.send(0); channel.receive()")
        assert agent.receive(number) == 0
    begin = time.monotonic()
    assert agent.terminate() == 0
    assert time.monotonic() - begin < 3 and agent.stderr == b""


def test_task_requested_just_before_terminate_does_not_delay_it(python):
    for i in range(5):
        with start(python, handshake=False) as agent:
            agent.remote_exec("channel.receive()")
            begin = time.monotonic()
            assert agent.terminate() == 0 and time.monotonic() - begin < 3
            assert agent.stderr == b""


@pytest.mark.core
def test_end_of_stream_ends_the_agent(agent):
    number = agent.remote_exec("channel.send(0); channel.receive()")
    assert agent.receive(number) == 0
    agent.half_close()
    assert agent.finish() == 0 and agent.stderr == b""


def test_pending_operations_after_the_end(agent, tmp_path):
    path = str(tmp_path / "out")
    number = agent.remote_exec("""
result = []
for i in range(2):
    try:
        channel.receive()
    except EOFError as e:
        result.append("eof")
    try:
        channel.waitclose()
    except EOFError:
        result.append("eof")
    try:
        channel.send(1)
    except OSError:
        result.append("os")
result.append(channel.isclosed())
with open(%r, "w") as file:
    file.write(repr(result))
""" % path)
    agent.ping()
    assert agent.terminate() == 0
    with open(path) as file:
        assert eval(file.read()) == ["eof", "eof", "os"] * 2 + [False]


def test_running_task_is_interrupted_after_a_grace_period(python, tmp_path):
    path = str(tmp_path / "out")
    with start(python, impatient=True) as agent:
        number = agent.remote_exec("""
import time
channel.send(0)
try:
    while True: time.sleep(0.01)
except KeyboardInterrupt:
    with open(%r, "w") as file:
        file.write("interrupted")
""" % path)
        assert agent.receive(number) == 0
        begin = time.monotonic()
        assert agent.terminate() == 0
        assert END_GRACE - 0.2 < time.monotonic() - begin < END_GRACE + 3
        assert os.path.exists(path)


def test_atexit_functions_run_and_output_is_flushed(agent):
    agent.run("import atexit, sys\natexit.register(lambda: sys.stderr.write('bye'))")
    assert agent.terminate() == 0 and agent.stderr == b"bye"


def test_non_daemon_thread_does_not_hold_up_the_end(agent):
    agent.run("import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nchannel.send(1)")
    begin = time.monotonic()
    assert agent.terminate() == 0 and time.monotonic() - begin < 3


@pytest.mark.parametrize("code, status", [
    ("import os; os._exit(3)", 3), ("import os; os.abort()", -signal.SIGABRT),
    ("import os; os.kill(os.getpid(), 9)", -9), ("import os; os.kill(os.getpid(), 15)", -15),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11),
])
def test_keeper_relays_how_the_worker_ended(agent, code, status):
    agent.remote_exec(code)
    assert agent.finish() == status


def test_what_a_task_started_dies_with_the_worker(agent):
    number = agent.remote_exec("""
import subprocess
p = subprocess.Popen(["sleep", "1000"])
channel.send(p.pid)
import os; os._exit(0)
""")
    pid = agent.receive(number)
    assert agent.finish() == 0
    wait_until(lambda: not alive(pid))


@pytest.mark.core
def test_killed_keeper_takes_the_worker_with_it(agent):
    number = agent.remote_exec("import subprocess; channel.send(subprocess.Popen(['sleep', '1000']).pid); channel.receive()")
    child = agent.receive(number)
    worker = agent.hello["pid"]
    os.kill(worker, signal.SIGSTOP)
    agent.process.kill()
    wait_until(lambda: not alive(worker) and not alive(child))


def test_sigterm_to_the_keeper_kills_at_once(agent):
    number = agent.remote_exec("""
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
channel.send(subprocess.Popen(["sleep", "1000"]).pid)
while True: pass
""")
    child = agent.receive(number)
    worker = agent.hello["pid"]
    os.kill(worker, signal.SIGSTOP)
    begin = time.monotonic()
    agent.process.terminate()
    assert agent.process.wait(5) == -9 and time.monotonic() - begin < 2
    wait_until(lambda: not alive(worker) and not alive(child))


def test_hang_up_ends_a_worker_that_does_not_react(python):
    with start(python, impatient=True) as running, start(python, impatient=True) as stopped:
        for agent in running, stopped:
            number = agent.remote_exec("""
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
channel.send(0)
while True: time.sleep(1)
""")
            agent.receive(number)
        os.kill(stopped.hello["pid"], signal.SIGSTOP)
        begin = time.monotonic()
        for agent in running, stopped:
            agent.half_close()
        for agent in running, stopped:
            agent.process.wait(12)
            assert TERM_AFTER + KILL_AFTER - 0.5 < time.monotonic() - begin < TERM_AFTER + KILL_AFTER + 3
            assert not alive(agent.hello["pid"])


def test_keeper_does_not_spin_after_the_hang_up(agent):
    number = agent.remote_exec("import time\nchannel.send(0)\ntime.sleep(100)")
    agent.receive(number)
    agent.half_close()
    time.sleep(0.5)
    with open("/proc/%d/stat" % agent.process.pid) as file:
        fields = file.read().rpartition(")")[2].split()
    assert int(fields[11]) + int(fields[12]) < 20


@pytest.mark.core
def test_forked_child_cannot_speak_on_the_wire(agent):
    number = agent.remote_exec("""
import os
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    result = []
    for f in (lambda: channel.send(1), channel.receive, lambda: channel.gateway.newchannel(), channel.waitclose):
        try:
            f()
            result.append("ok")
        except (OSError, EOFError) as e:
            result.append("refused")
    os.write(w, repr(result).encode())
    os.close(w)
else:
    os.close(w)
    text = b""
    while True:
        data = os.read(r, 1000)
        if not data: break
        text += data
    channel.send(text.decode())
    channel.send(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
""")
    assert agent.receive(number) == "['refused', 'refused', 'refused', 'refused']"
    assert agent.receive(number) == 0
    agent.waitclose(number)
    assert agent.run("channel.send(1)") == [1]


def test_forked_child_does_not_hold_the_stream_open(python):
    agent = start(python, stderr=subprocess.DEVNULL)  # which the child inherits
    number = agent.remote_exec("""
import os, time
pid = os.fork()
if not pid:
    os.setsid()
    time.sleep(20)
    os._exit(0)
channel.send(pid)
os._exit(5)
""")
    child = agent.receive(number)
    begin = time.monotonic()
    assert agent.finish() == 5 and time.monotonic() - begin < 3
    os.kill(child, 9)
    agent.kill()


def test_exec_over_the_worker_ends_the_stream(agent):
    agent.remote_exec("import os; os.execv('/bin/sh', ['sh', '-c', 'exit 7'])")
    assert agent.finish() == 7


def test_flood_of_control_frames_ends_an_agent_that_cannot_answer(python):
    with start(python) as agent:
        number = agent.remote_exec("channel.send(b'x' * (8 << 20))")
        agent.wait_for(lambda kind, n, p: n == number)
        try:
            for i in range(40000):
                agent.write(frame(PING, 0, bytes(8)) * 10)
        except OSError:
            pass
        agent.process.wait(20)


def test_debug_traces_to_stderr(python):
    with start(python, hello={"debug": 2}) as agent:
        agent.run("import time; time.sleep(0.2)")
        agent.terminate()
        assert b"creating workergateway" in agent.stderr.splitlines()[0]
        assert agent.stderr.startswith(b"[")


def test_debug_traces_to_a_file(python, tmp_path):
    with start(python, hello={"debug": 1}, env=dict(os.environ, TMPDIR=str(tmp_path))) as agent:
        agent.run("import time; time.sleep(0.2)")
        agent.terminate()
    [name] = os.listdir(str(tmp_path))
    assert "creating workergateway" in (tmp_path / name).read_text()
