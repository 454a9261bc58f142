"""A million tasks far too small for processes: what is measured is the way there and back."""

import functools
import random

TITLE = "a million pairs, starmap"


@functools.lru_cache(maxsize=1)
def inputs(scale):
    draw = random.Random(1).choices
    count = int(1_000_000 * scale)
    return list(zip(draw(range(1, 10), k=count), draw(range(1, 10), k=count), strict=True))


def squared_sum(x, y):
    return (x + y) ** 2


def program(mp, scale):
    with mp.Pool(2) as pool:
        results = pool.starmap(squared_sum, inputs(scale))
    return len(results), results[:10], sum(results)
