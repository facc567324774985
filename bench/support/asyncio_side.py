"""Gangway's side of asyncio_ping.py: usage asyncio_side.py native|portable"""
import asyncio
import sys
import time

import gangway

ECHO = "for item in channel: channel.send(item)"


async def round_trips(channel, count):
    for number in range(count):
        await channel.asend(number)
        await channel.areceive()


async def measure(spec):
    async with gangway.Group() as group:
        gateway = await group.amakegateway(spec)
        channel = gateway.remote_exec(ECHO)
        await round_trips(channel, 200)
        begin = time.perf_counter()
        await round_trips(channel, 3000)
        loop = (time.perf_counter() - begin) / 3000
        channels = [gateway.remote_exec(ECHO) for _ in range(200)]
        await asyncio.gather(*(round_trips(one, 1) for one in channels))
        begin = time.perf_counter()
        await asyncio.gather(*(round_trips(one, 20) for one in channels))
        many = (time.perf_counter() - begin) / 4000
    print("loop=%.9g many=%.9g" % (loop * 1e6, many * 1e6))


asyncio.run(measure("popen" if sys.argv[1] == "native" else "popen//python=" + sys.executable))
