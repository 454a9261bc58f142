"""Pi by throwing darts, with arrays: each worker seeds a generator of its own."""

TITLE = "pi by chance, with numpy"


def hits(share):
    import numpy

    seed, throws = share
    generator = numpy.random.default_rng(seed)
    xs, ys = generator.random(throws), generator.random(throws)
    return int(numpy.count_nonzero(xs * xs + ys * ys <= 1))


def program(mp, scale):
    workers, throws = 4, int(40_000_000 * scale)
    with mp.Pool(processes=workers) as pool:
        inside = pool.map(hits, [(seed, throws // workers) for seed in range(workers)])
    return 4 * sum(inside) / throws
