"""Pi by throwing darts: Parallel counts the hits of each share of the throws."""

import random

from touring import rivals

TITLE = "Parallel: pi by chance"


def hits(seed, throws):
    uniform = random.Random(seed).uniform
    inside = 0
    for _ in range(throws):
        x, y = uniform(0, 1), uniform(0, 1)
        inside += x * x + y * y <= 1
    return inside


def program(mp, scale):
    joblib = rivals.joblib(mp)
    workers, throws = 4, int(4_000_000 * scale)
    shares = joblib.Parallel(n_jobs=workers)(
        joblib.delayed(hits)(seed, throws // workers) for seed in range(workers)
    )
    return 4 * sum(shares) / throws
