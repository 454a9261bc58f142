"""Reproducible random numbers of numpy: each task has a stream of its own, from one seed.

The standard library leaves it to the program to give each task its seed; phalanx does it when it is asked to.
"""

from touring import rivals

TITLE = "pi with numpy, seeded"

SEED = 2024


def hits(throws):
    import numpy as np

    x, y = np.random.uniform(size=throws), np.random.uniform(size=throws)
    return int(np.count_nonzero(x * x + y * y <= 1))


def hits_seeded(task):
    import numpy as np

    throws, number = task
    np.random.seed(np.random.SeedSequence(SEED, spawn_key=(0, number)).generate_state(8)[4:])
    return hits(throws)


def program(mp, scale):
    shares, throws = 40, int(20_000_000 * scale) // 40
    if rivals.is_phalanx(mp):
        with mp.Pool(processes=4, seed=SEED) as pool:
            inside = pool.map(hits, [throws] * shares)
    else:
        with mp.Pool(processes=4) as pool:
            inside = pool.map(hits_seeded, [(throws, number) for number in range(shares)])
    return 4 * sum(inside) / (throws * shares)
