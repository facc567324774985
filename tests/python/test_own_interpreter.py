"""popen without python=: the worker is the controller's own interpreter, whichever that is.

Controllers are programs here, in virtual environments that reach the package by a .pth file.
"""
import glob
import json
import os
import signal
import subprocess
import sys
import time

import pytest

PYTHON = "/usr/bin/python3"
PACKAGE = os.path.join(os.environ.get("GANGWAY_BUILD", os.path.abspath("build/dev")), "python")

FACTS = """\
import os, sys
channel.send({"id": channel.id, "executable": sys.executable, "prefix": sys.prefix, "path": sys.path, "argv": sys.argv,
              "flags": [sys.flags.isolated, sys.flags.ignore_environment, sys.flags.no_user_site, sys.flags.no_site,
                        getattr(sys.flags, "safe_path", False)],
              "main": sorted(vars(sys.modules["__main__"])), "hash": hash("gangway"),
              "program": open("/proc/self/cmdline").read().split("\\0")[0], "pid": os.getpid()})
"""

CONTROLLER = """\
import json, sys
sys.path.append("/of/the/controller")
import gangway
group = gangway.Group(["popen"] * %d)
FACTS = %r
answers = [gateway.remote_exec(FACTS).receive(20) for gateway in group]
channel = None
flags = [sys.flags.isolated, sys.flags.ignore_environment, sys.flags.no_user_site, sys.flags.no_site,
         getattr(sys.flags, "safe_path", False)]
print(json.dumps({"workers": answers, "agents": [gateway._core.info()["agent"] for gateway in group],
                  "here": {"path": sys.path, "executable": sys.executable, "prefix": sys.prefix, "flags": flags}}))
"""


def environment(**more):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GANGWAY_WARM"))}
    return {**plain, **more}


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    path = tmp_path_factory.mktemp("venv")
    subprocess.check_call([PYTHON, "-m", "venv", "--without-pip", str(path)])
    site, = glob.glob(str(path / "lib/python3*/site-packages"))
    with open(os.path.join(site, "gangway.pth"), "w") as file:
        file.write(PACKAGE + "\n")
    return path


def run(python, *options, source=None, count=1, cwd=None, **more):
    """What a controller prints."""
    result = subprocess.run([str(python), *options, "-c", source or CONTROLLER % (count, FACTS)], cwd=cwd, timeout=60,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**more))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_worker_is_the_virtual_environments_interpreter(venv):
    said = run(venv / "bin/python")
    worker, here = said["workers"][0], said["here"]
    assert said["agents"] == ["native"]
    assert worker["program"] == worker["executable"] == here["executable"] == str(venv / "bin/python")
    assert worker["prefix"] == str(venv)
    assert worker["path"] == here["path"]
    assert worker["path"][-1] == "/of/the/controller"
    assert worker["argv"] == ["-c"]
    assert worker["main"] == ["__annotations__", "__builtins__", "__doc__", "__loader__", "__name__", "__package__",
                              "__spec__"]


@pytest.mark.parametrize("python", ["venv", PYTHON])
def test_first_channel_is_number_one(venv, python):
    said = run(venv / "bin/python" if python == "venv" else python, PYTHONPATH=PACKAGE)
    assert [worker["id"] for worker in said["workers"]] == [1]


def test_embedded_interpreter_is_used_where_it_is_the_same():
    said = run(PYTHON, PYTHONPATH=PACKAGE)
    assert said["agents"] == ["native"]
    assert os.path.basename(said["workers"][0]["program"]) == "gangway-agent"
    assert said["workers"][0]["executable"] == said["here"]["executable"] == PYTHON
    assert said["workers"][0]["path"] == said["here"]["path"]


@pytest.mark.parametrize("option", ["-I", "-E", "-s", "-P"])
def test_options_of_the_controller_count(venv, option):
    if option == "-P" and subprocess.run([PYTHON, "-P", "-c", ""], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this Python has no -P")
    said = run(venv / "bin/python", option, PYTHONPATH="/of/the/environment")
    worker, here = said["workers"][0], said["here"]
    assert worker["flags"] == here["flags"] and any(here["flags"])
    assert worker["path"] == here["path"]
    assert ("" in worker["path"]) == (option in ("-E", "-s"))
    assert ("/of/the/environment" in worker["path"]) == (option in ("-s", "-P"))


def test_without_site(venv):
    source = "import sys; sys.path.append(%r)\n" % PACKAGE + CONTROLLER % (1, FACTS)
    said = run(venv / "bin/python", "-S", source=source)
    assert said["workers"][0]["flags"] == said["here"]["flags"]
    assert said["workers"][0]["path"] == said["here"]["path"]


@pytest.mark.parametrize("python", ["venv", PYTHON])
@pytest.mark.parametrize("keys, flags", [("isolated", [1, 1, 1, 0]), ("no_site", [0, 0, 0, 1]),
                                         ("isolated//no_site", [1, 1, 1, 1])])
def test_bare_worker_has_its_own_path(venv, python, keys, flags):
    source = CONTROLLER.replace('["popen"]', '["popen//%s"]' % keys) % (1, FACTS)
    said = run(venv / "bin/python" if python == "venv" else python, source=source, PYTHONPATH=PACKAGE)
    worker, here = said["workers"][0], said["here"]
    assert said["agents"] == ["native"] and worker["id"] == 1
    assert worker["executable"] == here["executable"] and worker["flags"][:4] == flags
    assert "/of/the/controller" not in worker["path"]
    assert any(place.endswith("-packages") for place in worker["path"]) == ("no_site" not in keys)


def test_server_has_chosen_whether_its_interpreter_is_bare():
    import gangway

    group = gangway.Group()
    for key in ("isolated", "no_site"):
        for kind in ("socket=localhost:1", "unix=/nowhere"):
            with pytest.raises(ValueError, match="the server has chosen its interpreter already"):
                group.makegateway("%s//%s" % (kind, key))
        with pytest.raises(OSError, match="/nowhere"):
            group.makegateway("unix=/nowhere//%s=no" % key)


def test_working_directory_is_searched_for_programs_too(venv, tmp_path):
    (tmp_path / "here.py").write_text("VALUE = 'working directory'\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/beside.py").write_text("VALUE = 'beside the program'\n")
    (tmp_path / "bin/program.py").write_text(
        "import gangway, sys\n"
        "gateway = gangway.makegateway('popen//chdir=%s')\n" % tmp_path +
        "print(gateway.remote_exec('import here, beside; channel.send((here.VALUE, beside.VALUE))').receive(20))\n")
    for options, expected in (([], "('working directory', 'beside the program')\n"), (["-P"], "")):
        result = subprocess.run([str(venv / "bin/python"), *options, str(tmp_path / "bin/program.py")], cwd="/",
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60, env=environment())
        assert result.stdout == expected


def test_odd_places_on_the_path(venv, tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff//x\xc3\xa9'"
    os.makedirs(odd)
    with open(odd + b"/oddly_placed.py", "w") as file:
        file.write("VALUE = 42\n")
    source = """if 1:
        import os, sys, json, pathlib
        sys.path[1:1] = [os.fsdecode(%r), pathlib.Path("/no/str"), "/twice", "/twice"]
        import gangway
        gateway = gangway.makegateway()
        channel = gateway.remote_exec("import oddly_placed, sys; channel.send((oddly_placed.VALUE, sys.path.count('/twice')))")
        print(json.dumps(channel.receive(20)))""" % odd
    assert run(venv / "bin/python", source=source) == [42, 1]


def test_path_is_read_at_each_start(venv):
    source = """if 1:
        import gangway, json, sys
        group = gangway.Group()
        found = []
        for place in ("/one", "/two", "/three"):
            sys.path.append(place)
            channel = group.makegateway().remote_exec("import sys; channel.send(sys.path[-1])")
            found.append(channel.receive(20))
        print(json.dumps(found))"""
    assert run(venv / "bin/python", source=source, GANGWAY_WARM="1") == ["/one", "/two", "/three"]


@pytest.mark.parametrize("warm", ["0", "1"])
def test_extension_agent_can_be_forked_from_a_warm_server(venv, warm):
    workers = run(venv / "bin/python", count=3, GANGWAY_WARM=warm)["workers"]
    assert len({worker["hash"] for worker in workers}) == (3 if warm == "0" else 1)
    assert len({worker["pid"] for worker in workers}) == 3
    for worker in workers:
        del worker["hash"], worker["pid"]
    assert workers[0] == workers[1] == workers[2]


@pytest.mark.parametrize("site", [
    "import sys; print('hello', file=sys.stderr)",
    "import threading, time; threading.Thread(target=time.sleep, args=(1,), daemon=True).start()",
    "import os, sys; sys.kept = open('/dev/null')",
])
def test_what_site_code_did_is_not_lost_in_a_fork(venv, tmp_path, site):
    (tmp_path / "sitecustomize.py").write_text(site + "\n")
    workers = run(venv / "bin/python", count=2, GANGWAY_WARM="1", PYTHONPATH=str(tmp_path))["workers"]
    assert workers[0]["hash"] != workers[1]["hash"]


def test_group_starts_its_gateways_at_once(venv, tmp_path):
    """Each interpreter waits in its start for the other three, the controller's not."""
    (tmp_path / "sitecustomize.py").write_text("""if 1:
        import os, sys, time
        if "serve()" in "".join(sys.orig_argv):
            open(%r + str(os.getpid()), "w").close()
            deadline = time.monotonic() + 20
            while len(os.listdir(%r)) < 4:
                if time.monotonic() > deadline:
                    os._exit(3)
                time.sleep(0.01)
        """ % (str(tmp_path / "here") + "/", str(tmp_path / "here")))
    (tmp_path / "here").mkdir()
    source = """if 1:
        import gangway, json
        group = gangway.Group(["popen", "popen//id=named", gangway.XSpec("popen"), "popen"])
        print(json.dumps([gateway.id for gateway in group]
                         + [channel.receive(20) for channel in group.remote_exec("channel.send(channel.gateway.id)")]))"""
    assert run(venv / "bin/python", source=source, GANGWAY_WARM="0", PYTHONPATH=str(tmp_path)) == [
        "gw0", "named", "gw1", "gw2", "gw0-worker", "named-worker", "gw1-worker", "gw2-worker"]


@pytest.mark.parametrize("python", ["venv", PYTHON])
def test_output_needs_no_other_agent(venv, python):
    source = """if 1:
        import gangway, json, time
        lines = []
        gateway = gangway.makegateway("popen//stdout=callback//stderr=callback")
        gateway.set_output(lambda channel, stream, text: lines.append([stream, text]))
        gateway.remote_exec("print('out', flush=True)").waitclose(20)
        gateway.exit(); gateway.join(20)
        deadline = time.monotonic() + 20
        while not lines and time.monotonic() < deadline:  # they come on a thread of their own
            time.sleep(0.01)
        print(json.dumps([gateway._core.info()["agent"], lines]))"""
    assert run(venv / "bin/python" if python == "venv" else python, source=source, PYTHONPATH=PACKAGE) == [
        "native", [["stdout", "out\n"]]]


def test_coroutines_start_it_as_well(venv):
    source = """if 1:
        import asyncio, gangway, json
        async def main():
            async with gangway.Group() as group:
                gateway = await group.amakegateway("popen//env:GIVEN=x")
                channel = gateway.remote_exec("import os, sys; channel.send([sys.executable, sys.prefix, os.environ['GIVEN']])")
                print(json.dumps([gateway._core.info()["agent"]] + await channel.areceive(20)))
        asyncio.run(main())"""
    assert run(venv / "bin/python", source=source) == ["native", str(venv / "bin/python"), str(venv), "x"]


def test_keys_travel_as_they_are(venv, tmp_path):
    source = """if 1:
        import gangway, json, pathlib
        spec = gangway.XSpec("popen//nice=1//env:GONE=1//env:KEPT=1//env:SET=x//dont_write_bytecode")
        spec.nice = spec.dont_write_bytecode = None
        spec.chdir = pathlib.Path(%r)
        del spec.env["GONE"]
        spec.env.update(SET="a//b=c/", NEW="//", TRUE=True, NUMBER=3)
        gateway = gangway.makegateway(spec)
        channel = gateway.remote_exec("import os, sys; channel.send([os.nice(0), os.getcwd(), sys.flags.dont_write_bytecode]"
                                      "+ [os.environ.get(name) for name in 'GONE KEPT SET NEW TRUE NUMBER'.split()])")
        here = __import__("os").nice(0)
        print(json.dumps([here] + channel.receive(20)))""" % str(tmp_path / "a" / "..")
    (tmp_path / "a").mkdir()
    nice, *found = run(venv / "bin/python", source=source)
    assert found == [nice, str(tmp_path), 0, None, "1", "a//b=c/", "//", "True", "3"]


@pytest.mark.parametrize("text, assigned", [
    ("popen//chdir=/\udcff", {}), ("popen//env:A=\udcff", {}), ("popen", {"chdir": "/\udcff"}), ("popen", {"chdir": "a\0"}),
    ("popen", {"nice": "x"}), ("popen", {"env": {"A": "\udcff"}}), ("popen", {"env": {"A=B": "x"}}),
])
def test_value_that_cannot_travel_is_a_value_error(text, assigned):
    import gangway

    spec = gangway.XSpec(text)
    vars(spec).update(assigned)
    group = gangway.Group()
    with pytest.raises(ValueError, match="UTF-8|NUL|integer|'='"):
        group.makegateway(spec)
    assert len(group) == 0


def test_group_whose_start_fails_leaves_nothing(venv, tmp_path):
    source = """if 1:
        import gangway, json, os
        group = gangway.Group(["popen//id=before"])
        try:
            group.makegateways(["popen", "popen//python=/nothing/here", "popen"])
        except FileNotFoundError as error:
            print(json.dumps([len(group), group[0].id, group.makegateway().id, group.makegateways([])]))"""
    assert run(venv / "bin/python", source=source) == [1, "before", "gw3", []]


def processes_with(mark):
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                if mark in file.read():
                    found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.mark.parametrize("task", [
    "channel.send(1); import time; time.sleep(1000)",
    "import subprocess; subprocess.Popen(['sleep', '1000']); channel.send(1); channel.receive()",
    "channel.send(1)\nwhile True: pass",
    "import os, signal; channel.send(1); os.kill(os.getpid(), signal.SIGSTOP)",
])
def test_killed_controller_leaves_nothing(venv, tmp_path, task):
    mark = "GANGWAY_TEST_MARK=%s" % tmp_path
    program = subprocess.Popen([str(venv / "bin/python"), "-c", """if 1:
        import gangway, time
        group = gangway.Group(["popen"] * 2)
        for channel in group.remote_exec(%r):
            channel.receive(20)
        print("ready", flush=True)
        time.sleep(1000)""" % task], stdout=subprocess.PIPE, env=environment(GANGWAY_TEST_MARK=str(tmp_path)))
    assert program.stdout.readline() == b"ready\n"
    assert len(processes_with(mark.encode())) >= 5  # the controller, two keepers, two workers
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    program.stdout.close()
    until(lambda: not processes_with(mark.encode()))


def test_signal_that_was_ignored_interrupts_tasks(venv):
    source = """if 1:
        import gangway, json, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        channel = gangway.makegateway().remote_exec("channel.send(1)\\nimport time; time.sleep(100)")
        channel.receive(20)
        print(json.dumps(channel.interrupt(20)))"""
    assert run(venv / "bin/python", source=source) is True
