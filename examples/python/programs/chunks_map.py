"""Four chunks of ten million numbers, 80 MB each: the arrays travel to the workers, a sum comes back from each."""

import functools

TITLE = "four 80 MB arrays, map"


@functools.lru_cache(maxsize=1)
def inputs(scale):
    import numpy

    chunk = int(10_000_000 * scale)
    numbers = numpy.random.default_rng(3).random(4 * chunk)
    return [numbers[start : start + chunk] for start in range(0, 4 * chunk, chunk)]


def condense(array):
    import numpy

    return float(numpy.sum((numpy.sin(array) + numpy.cos(array)) ** (array * array)))


def program(mp, scale):
    with mp.Pool(processes=4) as pool:
        return pool.map(condense, inputs(scale))
