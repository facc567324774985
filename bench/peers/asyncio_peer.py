"""asyncio's own streams: pickle, with its length before it, over the pipes of a child."""
import asyncio
import itertools
import pickle
import struct
import sys

from common import clock, main

CHILD = """
import pickle, struct, sys
source, sink = sys.stdin.buffer, sys.stdout.buffer
while True:
    head = source.read(4)
    if not head:
        break
    data = pickle.dumps(pickle.loads(source.read(struct.unpack("<I", head)[0])))
    sink.write(struct.pack("<I", len(data)) + data)
    sink.flush()
"""


def send(child, item):
    data = pickle.dumps(item)
    child.stdin.write(struct.pack("<I", len(data)) + data)


async def receive(child):
    size, = struct.unpack("<I", await child.stdout.readexactly(4))
    return pickle.loads(await child.stdout.readexactly(size))


async def round_trips(child, count):
    for number in range(count):
        send(child, number)
        await child.stdin.drain()
        await receive(child)


async def many_at_a_time(child, tasks, each):
    """What a program does that has one stream for many conversations: a reader, and futures by number."""
    waiting, numbers = {}, itertools.count()

    async def read():
        for _ in range(tasks * each):
            number, _ = await receive(child)
            waiting.pop(number).set_result(None)

    async def converse():
        for _ in range(each):
            number = next(numbers)
            waiting[number] = asyncio.get_running_loop().create_future()
            future = waiting[number]
            send(child, (number, 1))
            await child.stdin.drain()
            await future

    await asyncio.gather(read(), *(converse() for _ in range(tasks)))


async def measure():
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, stdin=-1, stdout=-1)
    await round_trips(child, 200)
    begin = clock()
    await round_trips(child, 3000)
    loop = (clock() - begin) / 3000
    await many_at_a_time(child, 200, 1)
    begin = clock()
    await many_at_a_time(child, 200, 20)
    many = (clock() - begin) / 4000
    child.stdin.close()
    await child.wait()
    return {"loop": loop * 1e6, "many": many * 1e6}


def ping_pong():
    return asyncio.run(measure())


main(globals())
