"""One function, four ways to hand it to a pool; the arguments are numpy's own numbers."""

TITLE = "sigmoid: apply, map and async"


def sigmoid(x):
    import numpy

    return 1 / (1 + numpy.exp(-x))


def program(mp, scale):
    import numpy

    xs = numpy.arange(0.1, 1, 0.1)
    with mp.Pool(processes=3) as pool:
        applied = [pool.apply(sigmoid, args=(x,)) for x in xs]
        mapped = pool.map(sigmoid, xs)
        mapped_later = pool.map_async(sigmoid, xs).get()
        promises = [pool.apply_async(sigmoid, args=(x,)) for x in xs]
        applied_later = [promise.get() for promise in promises]
    return [[float(y) for y in ys] for ys in (applied, mapped, mapped_later, applied_later)]
