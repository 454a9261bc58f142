"""Four chunks of 80 MB that travel both ways: hardly any arithmetic, so what is measured is the transport."""

import functools

TITLE = "four 80 MB arrays and back"


@functools.lru_cache(maxsize=1)
def inputs(scale):
    import numpy

    chunk = int(10_000_000 * scale)
    numbers = numpy.random.default_rng(5).random(4 * chunk)
    return [numbers[start : start + chunk] for start in range(0, 4 * chunk, chunk)]


def negate(array):
    return -array


def program(mp, scale):
    with mp.Pool(processes=4) as pool:
        arrays = pool.map(negate, inputs(scale))
    return [(str(array.dtype), array.shape, float(array[0]), float(array.sum())) for array in arrays]
