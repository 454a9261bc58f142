"""pebble: a pool with time limits, its decorators, a task that hangs and one that dies."""

import os
import sys
import time
from concurrent.futures import TimeoutError

import pebble


def square(x):
    return x * x


def hang():
    time.sleep(600)


def die():
    os._exit(3)


def increment(x):
    return x + 1


def main(context):
    with pebble.ProcessPool(max_workers=2, context=context) as pool:
        assert pool.schedule(square, args=[3]).result(60) == 9
        assert list(pool.map(square, range(6), timeout=60).result()) == [0, 1, 4, 9, 16, 25]
        try:
            pool.schedule(hang, timeout=0.5).result(60)
        except TimeoutError:
            pass
        else:
            raise AssertionError("the time limit was not kept")
        try:
            pool.schedule(die).result(60)
        except pebble.ProcessExpired as error:
            assert error.exitcode == 3, error.exitcode
        else:
            raise AssertionError("the death of a worker was not reported")
        assert pool.schedule(square, args=[4]).result(60) == 16
    remote = pebble.concurrent.process(timeout=60, context=context)(increment)
    assert remote(1).result(60) == 2


if __name__ == "__main__":
    import multiprocessing

    main(multiprocessing.get_context(sys.argv[1]))
    print("ok")
