"""The package in asyncio: coroutines of channels, gateways and groups."""
import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import gangway
import pytest

PORTABLE = "popen//python=" + sys.executable
LONG = 30  # s: what must not be waited for


@pytest.fixture(params=["native", "portable"])
def spec(request):
    return "popen" if request.param == "native" else PORTABLE


def run(main, *args, spec="popen"):
    """Runs main(gateway, *args) in a loop of its own."""
    async def whole():
        async with gangway.Group() as group:
            gateway = await group.amakegateway(spec)
            await asyncio.wait_for(main(gateway, *args), LONG)
        assert len(group) == 0

    asyncio.run(whole())


async def until(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.005)


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@contextlib.contextmanager
def standing_still(pid):
    """The process is stopped in this block. SIGSTOP is taken by one of its threads; until that one is scheduled
    the others go on, and may read all that is sent."""
    def state_of(thread):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, thread)) as file:
                return file.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "T"  # it has ended

    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + LONG
        while {state_of(thread) for thread in os.listdir("/proc/%d/task" % pid)} != {"T"}:
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# --- channels


def test_items_go_and_come(spec):
    async def main(gateway):
        channel = gateway.remote_exec("for item in channel: channel.send(item)")
        for item in [1, "x", b"y" * 100_000, [None, {"a": 2.5}], 1 << 70]:
            await channel.asend(item)
            assert await channel.areceive() == item

    run(main, spec=spec)


def test_async_for_ends_with_the_channel(spec):
    async def main(gateway):
        channel = gateway.remote_exec("for i in range(1000): channel.send(i)")
        assert [item async for item in channel] == list(range(1000))
        with pytest.raises(EOFError):
            await channel.areceive()
        await channel.awaitclose()

    run(main, spec=spec)


def test_errors_of_the_task_are_raised_once(spec):
    async def main(gateway):
        for wait in ("areceive", "awaitclose"):
            channel = gateway.remote_exec("1/0")
            with pytest.raises(gangway.RemoteError, match="ZeroDivisionError"):
                await getattr(channel, wait)()
        with pytest.raises(gangway.RemoteError):
            async for _ in gateway.remote_exec("channel.send(1); 1/0"):
                pass

    run(main, spec=spec)


def test_timeouts():
    async def main(gateway):
        channel = gateway.remote_exec("channel.receive(); channel.send(1)")
        for timeout in (0, 0.05):
            with pytest.raises(gangway.TimeoutError, match="no item after %r seconds" % timeout):
                await channel.areceive(timeout)
            with pytest.raises(gangway.TimeoutError, match="not closed after %r seconds" % timeout):
                await channel.awaitclose(timeout)
        with pytest.raises(ValueError):
            await channel.areceive(-1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(channel.areceive(), 0.05)
        await channel.asend(None)
        assert await channel.areceive(LONG) == 1

    run(main)


GATED = """
gate = channel.receive()
gate.receive()
for item in channel: channel.send(len(item))
"""


async def gated(gateway):
    """A channel whose items nobody takes before something is sent through the gate."""
    channel, gate = gateway.remote_exec(GATED), gateway.newchannel()
    await channel.asend(gate)
    return channel, gate


def test_asend_waits_for_credit_while_the_loop_goes_on():
    async def main(gateway):
        channel, gate = await gated(gateway)

        async def send_all():
            for _ in range(10):
                await channel.asend(bytes(5000))

        sender = asyncio.create_task(send_all())
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not sender.done()
        await gate.asend(None)
        await sender
        for _ in range(10):
            assert await channel.areceive() == 5000

    run(main, spec="popen//window=8000")


def test_a_cancelled_send_sends_all_of_an_item_or_nothing():
    async def main(gateway):
        channel, gate = await gated(gateway)
        sent = 0
        while True:
            sender = asyncio.create_task(channel.asend(bytes(4000 + sent)))
            if not (await asyncio.wait({sender}, timeout=0.2))[0]:
                break
            sent += 1
        await cancelled(sender)
        await gate.asend(None)
        await channel.asend(b"last")
        lengths = []
        while lengths[-1:] != [4]:
            lengths.append(await channel.areceive())
        assert lengths[:-1] in ([4000 + i for i in range(sent)], [4000 + i for i in range(sent + 1)])

    run(main, spec="popen//window=8000")


def test_a_send_that_waits_is_told_of_the_end():
    async def main(gateway):
        channel, gate = await gated(gateway)
        await channel.asend(bytes(8000))
        sender = asyncio.create_task(channel.asend(bytes(8000)))
        await asyncio.sleep(0.05)
        assert not sender.done()
        gateway.kill()
        with pytest.raises(OSError, match="cannot send"):
            await sender

    run(main, spec="popen//window=8000")


def test_an_object_that_is_being_sent_lives_until_it_has_gone():
    async def main(gateway):
        channel = gateway.remote_exec("channel.send(len(channel.receive()))")
        with standing_still(gateway._core.info()["pid"]):
            sender = asyncio.create_task(channel.asend(b"x" * 50_000_000))
            await asyncio.sleep(0)  # it begins: the first bytes are in the pipe
            await cancelled(sender)
            del sender
            gc.collect()
        assert await channel.areceive() == 50_000_000

    run(main)


def test_asend_to_a_closed_channel_and_of_what_cannot_travel():
    async def main(gateway):
        channel = gateway.remote_exec("channel.receive()")
        with pytest.raises(gangway.DumpError):
            await channel.asend(object())
        channel.close()
        with pytest.raises(OSError):
            await channel.asend(1)

    run(main)


def test_a_large_item_is_not_copied_while_it_waits_and_arrives_whole():
    async def main(gateway):
        channel = gateway.remote_exec("channel.send(hash(channel.receive()) == hash(b'x' * 50_000_000))")
        await channel.asend(b"x" * 50_000_000)
        assert await channel.areceive() is True or os.environ.get("PYTHONHASHSEED") != "0"

    run(main)


# --- cancellation


def test_an_item_that_arrives_while_its_receiver_is_cancelled_is_not_lost():
    async def main(gateway):
        channel = gateway.remote_exec("for item in channel: channel.send(item)")
        for number in range(300):
            receiver = asyncio.create_task(channel.areceive())
            await asyncio.sleep(0)
            channel.send(number)
            for _ in range(number % 7):  # at every stage of its way
                await asyncio.sleep(0.0001)
            receiver.cancel()
            try:
                got = await receiver
            except asyncio.CancelledError:
                got = await channel.areceive(LONG)
            assert got == number

    run(main)


def test_a_cancelled_receiver_lets_the_next_one_have_its_item():
    async def main(gateway):
        channel = gateway.remote_exec("for item in channel: channel.send(item)")
        for number in range(100):
            first = asyncio.create_task(channel.areceive())
            second = asyncio.create_task(channel.areceive())
            await asyncio.sleep(0)
            channel.send(number)
            time.sleep(0.002)  # it comes, and the loop has not told the first one
            first.cancel()
            assert await asyncio.wait_for(second, LONG) == number
            assert first.cancelled()

    run(main)


def test_interrupting_takes_the_remote_code_with_it(spec):
    async def main(gateway):
        channel = gateway.remote_exec("channel.send(1)\nimport time\nwhile True: time.sleep(0.01)")

        async def work():
            with channel.interrupting():
                async for _ in channel:
                    pass

        task = asyncio.create_task(work())
        await asyncio.sleep(0.1)
        await cancelled(task)
        with pytest.raises(gangway.RemoteError) as caught:
            await channel.awaitclose(LONG)
        assert caught.value.formatted == "keyboard-interrupted"

    run(main, spec=spec)


def test_without_interrupting_and_on_other_errors_the_remote_code_goes_on():
    async def main(gateway):
        channel = gateway.remote_exec("channel.send(channel.receive())")
        await cancelled_soon(channel.areceive())
        with pytest.raises(gangway.TimeoutError):
            with channel.interrupting():
                await channel.areceive(0.05)
        await channel.asend("still there")
        assert await channel.areceive(LONG) == "still there"

    async def cancelled_soon(coroutine):
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0.05)
        await cancelled(task)

    run(main)


# --- the loop


def test_many_waits_need_no_threads():
    async def main(gateway):
        channels = [gateway.newchannel() for _ in range(200)]
        feeder = gateway.remote_exec("""
channels = channel.receive()
channel.receive()
for number, one in enumerate(channels): one.send(number)
channel.receive()
""")
        await feeder.asend(channels)
        before = len(os.listdir("/proc/self/task"))
        receivers = [asyncio.create_task(channel.areceive()) for channel in channels]
        ends = [asyncio.create_task(channel.awaitclose()) for channel in channels]
        await asyncio.sleep(0.1)
        assert len(os.listdir("/proc/self/task")) <= before + 1
        await feeder.asend("go")
        assert await asyncio.gather(*receivers) == list(range(200))
        for channel in channels:
            channel.close()
        await asyncio.gather(*ends)

    run(main)


def test_a_flood_lets_other_tasks_run():
    async def main(gateway):
        channel = gateway.remote_exec("for i in range(200_000): channel.send(i)")
        turns, total = 0, 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        await asyncio.sleep(0.3)  # something has piled up
        before = turns
        async for _ in channel:
            total += 1
        assert total == 200_000 and turns - before > 100
        task.cancel()

    run(main)


def test_a_task_that_nobody_holds_is_not_collected_while_it_waits():
    async def main(gateway):
        channel = gateway.remote_exec("channel.receive(); channel.send('here')")
        got = []

        async def receive():
            got.append(await channel.areceive())

        asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(receive()) and None)
        await asyncio.sleep(0.05)
        gc.collect()
        await channel.asend(None)
        await until(lambda: got == ["here"])

    run(main)


def test_several_loops_in_several_threads():
    group = gangway.Group()
    gateway = group.makegateway()
    channel = gateway.remote_exec("for item in channel: channel.send(item)")
    results, errors = [], []

    async def work(number):
        own = await gateway.aremote_exec("for item in channel: channel.send(item)")
        for i in range(100):
            await own.asend((number, i))
            assert await own.areceive() == (number, i)
            await channel.asend(i)
            results.append(await channel.areceive())

    def thread(number):
        try:
            asyncio.run(work(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(LONG)
    assert not errors and sorted(results) == sorted(list(range(100)) * 4)
    group.terminate(5)


def test_loops_leave_nothing_behind():
    group = gangway.Group()
    gateway = group.makegateway()
    channel = gateway.remote_exec("channel.receive()")

    def abandon():
        """A loop that is closed while operations are pending."""
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(channel.areceive()), loop.create_task(channel.awaitclose())]
        loop.run_until_complete(asyncio.sleep(0.01))
        for task in tasks:
            task._log_destroy_pending = False
        loop.close()
        return weakref.ref(loop)

    abandon()
    gc.collect()
    descriptors, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    loops = [abandon() for _ in range(20)]
    gc.collect()
    assert not any(loop() for loop in loops)
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert len(os.listdir("/proc/self/task")) <= threads
    channel.send(None)
    channel.waitclose(LONG)
    group.terminate(5)


# --- gateways and groups


def test_the_loop_goes_on_while_gateways_start_and_end():
    async def main():
        late, last = 0.0, time.perf_counter()

        async def clock():
            nonlocal late, last
            while True:
                await asyncio.sleep(0.001)
                now = time.perf_counter()
                late, last = max(late, now - last), now

        task = asyncio.create_task(clock())
        async with gangway.Group() as group:
            gateways = await asyncio.gather(*[group.amakegateway(PORTABLE) for _ in range(4)], group.amakegateway())
            assert sorted(gateway.id for gateway in group) == sorted(gateway.id for gateway in gateways)
            for gateway in gateways:
                assert (await gateway.aremote_status()).numexecuting == 0
            gateways[0].remote_exec("import time\ntime.sleep(60)")
            last = time.perf_counter()
        assert len(group) == 0
        task.cancel()
        return late

    assert asyncio.run(main()) < 0.9  # terminate() alone takes a second


def test_many_starts_have_no_threads_while_they_wait():
    async def main():
        async with gangway.Group() as group:
            slow = "sh -c 'sleep 1; exec %s \"$@\"' sh" % sys.executable
            starts = [asyncio.create_task(group.amakegateway("popen//python=" + slow)) for _ in range(8)]
            await asyncio.sleep(0.6)
            assert len(os.listdir("/proc/self/task")) < 6
            await asyncio.gather(*starts)
            assert len(group) == 8

    asyncio.run(main())


def test_what_goes_wrong_at_the_start():
    async def main():
        async with gangway.Group() as group:
            with pytest.raises(ValueError):
                await group.amakegateway("nonsense")
            with pytest.raises(ValueError):
                await group.amakegateway("popen//nice=x")
            with pytest.raises(FileNotFoundError):
                await group.amakegateway("popen//python=/no/such/python")
            with pytest.raises(OSError):
                await group.amakegateway("popen//python=false//id=again")
            with pytest.raises(OSError, match="did not answer within 300 ms"):
                await group.amakegateway("popen//connect_timeout=300ms//python=sh -c 'sleep 60'")
            assert len(group) == 0
            assert (await group.amakegateway("popen//id=again")).id == "again"

    asyncio.run(main())


def test_a_cancelled_start_leaves_no_process():
    async def main():
        async with gangway.Group() as group:
            for delay in (0, 0.001, 0.02):
                task = asyncio.create_task(group.amakegateway("popen//python=sh -c 'exec sleep 4711'"))
                await asyncio.sleep(delay)
                await cancelled(task)
                assert len(group) == 0
            report = await group.aterminate(0.5)
            assert not report.survivors
        left = subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True).stdout
        assert "\nsleep 4711" not in left

    asyncio.run(main())


def test_the_default_group():
    async def main():
        gateway = await gangway.amakegateway()
        assert gateway in gangway.default_group
        assert await gateway.remote_exec("channel.send(1)").areceive() == 1
        gateway.exit()

    asyncio.run(main())


def test_the_death_of_a_gateway_reaches_whoever_waits(spec):
    async def main(gateway):
        channel = gateway.remote_exec("channel.receive()")
        waits = [asyncio.create_task(channel.areceive()), asyncio.create_task(channel.awaitclose()),
                 asyncio.create_task(gateway.newchannel().areceive())]
        await asyncio.sleep(0.05)
        gateway.kill()
        for wait in waits:
            with pytest.raises(EOFError):
                await asyncio.wait_for(wait, LONG)
        with pytest.raises(OSError):
            await gateway.aremote_status()

    run(main, spec=spec)


# --- the process


PROGRAM = """
import asyncio, os, sys, time
import gangway

group = gangway.Group()
gateway = group.makegateway()
channel = gateway.remote_exec("channel.receive()")
"""


def program(source, status=0):
    done = subprocess.run([sys.executable, "-c", PROGRAM + source], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=LONG)
    assert (done.returncode, done.stderr) == (status, ""), done
    return done.stdout


def test_the_interpreter_ends_with_pending_operations():
    program("""
async def main():
    tasks = [asyncio.create_task(channel.areceive()), asyncio.create_task(channel.awaitclose())]
    await asyncio.sleep(0.05)
    sys.stdout.flush()
    raise SystemExit(0)

asyncio.run(main())
""")
    program("""
loop = asyncio.new_event_loop()
task = loop.create_task(channel.areceive())
task._log_destroy_pending = False
loop.run_until_complete(asyncio.sleep(0.05))
""")


def test_ctrl_c_ends_the_loop():
    source = PROGRAM + """
async def main():
    with channel.interrupting():
        print("ready", flush=True)
        await channel.areceive()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
try:
    channel.waitclose()
except gangway.RemoteError as error:
    print(error)
"""
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) - begin < 1  # 0.2, and what a busy machine adds
        assert process.stdout.readline() == "keyboard-interrupted\n"
        assert process.wait(LONG) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_waits_leave_no_objects_behind():
    from gangway import _gangway

    async def main(gateway):
        channel = gateway.remote_exec("for item in channel: channel.send(item)")

        async def round():
            for _ in range(20):
                await cancelled_at_once(channel.areceive())
                await cancelled_at_once(channel.awaitclose())
                with pytest.raises(gangway.TimeoutError):
                    await channel.areceive(0)
                await channel.asend(0)
                await channel.areceive()
            gc.collect()
            return sys.getrefcount(channel), len(gc.get_objects())

        first, *_, last = [await round() for _ in range(5)]
        assert last[0] == first[0] and last[1] - first[1] < 50
        assert not any(isinstance(thing, _gangway.Operation) for thing in gc.get_objects())

    async def cancelled_at_once(coroutine):
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        await cancelled(task)

    run(main)


def test_a_forked_child_has_loops_of_its_own():
    assert program("""
async def wait():
    try:
        await asyncio.wait_for(channel.areceive(), 0.2)
    except asyncio.TimeoutError:
        print("nothing yet", flush=True)

async def child():
    try:
        await channel.areceive()
    except OSError as error:
        print("belongs to another process" in str(error), flush=True)
    async with gangway.Group() as own:
        other = await own.amakegateway()
        print(await other.remote_exec("channel.send('own')").areceive(), flush=True)

asyncio.run(wait())
pid = os.fork()
if pid == 0:
    asyncio.run(child())
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
asyncio.run(wait())
""") == "nothing yet\nTrue\nown\nnothing yet\n"


def test_the_package_imports_asyncio_when_it_is_needed():
    done = subprocess.run([sys.executable, "-c", "import sys, gangway; print('asyncio' in sys.modules)"],
                          stdout=subprocess.PIPE, text=True, timeout=LONG)
    assert done.stdout == "False\n"
