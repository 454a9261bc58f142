"""Pi by throwing darts: each worker counts the hits of its share of the throws."""

import random

TITLE = "pi by chance"


def hits(share):
    seed, throws = share
    uniform = random.Random(seed).uniform
    inside = 0
    for _ in range(throws):
        x, y = uniform(0, 1), uniform(0, 1)
        inside += x * x + y * y <= 1
    return inside


def program(mp, scale):
    workers, throws = 4, int(6_000_000 * scale)
    with mp.Pool(processes=workers) as pool:
        inside = pool.map(hits, [(seed, throws // workers) for seed in range(workers)])
    return 4 * sum(inside) / throws
