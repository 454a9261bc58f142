"""Four chunks of 80 MB again, sent in the background: the parent sums them up as well, while the workers do."""

import functools

TITLE = "four 80 MB arrays, map_async"


@functools.lru_cache(maxsize=1)
def inputs(scale):
    import numpy

    chunk = int(10_000_000 * scale)
    numbers = numpy.random.default_rng(4).random(4 * chunk)
    return [numbers[start : start + chunk] for start in range(0, 4 * chunk, chunk)]


def condense(array):
    import numpy

    return float(numpy.sum((numpy.sin(array) + numpy.cos(array)) ** (array * array)))


def program(mp, scale):
    chunks = inputs(scale)
    with mp.Pool(processes=4) as pool:
        promise = pool.map_async(condense, chunks)
        plain_sums = [float(chunk.sum()) for chunk in chunks]
        return promise.get(), plain_sums
