"""A million tiny tasks in the background: the pool is closed at once, the results are asked for after the join."""

import functools
import random

TITLE = "a million pairs, starmap_async"


@functools.lru_cache(maxsize=1)
def inputs(scale):
    draw = random.Random(2).choices
    count = int(1_000_000 * scale)
    return list(zip(draw(range(1, 10), k=count), draw(range(1, 10), k=count), strict=True))


def squared_sum(x, y):
    return (x + y) ** 2


def program(mp, scale):
    pool = mp.Pool(2)
    promise = pool.starmap_async(squared_sum, inputs(scale))
    pool.close()
    pool.join()
    results = promise.get()
    return len(results), results[:10], sum(results)
