"""The limit of structured items: how often C pickle loads one."""
import os
import pickle
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "peers"))
from common import LARGE, SMALL, clock, main, median, records


def structured():
    result = {}
    for name, size, count in ("10k", SMALL, 500), ("1m", LARGE, 10):
        data = pickle.dumps(records(size), 4)
        times = []
        for _ in range(count):
            begin = clock()
            item = pickle.loads(data)
            times.append(clock() - begin)
            del item
        result[name] = 1 / median(times)
    return result


main(globals())
