"""Pool.starmap: a function of several arguments over a list of tuples."""

TITLE = "doubling pairs by starmap"


def double_both(a, b):
    return a * 2 + b * 2


def double(number):
    return number * 2


def program(mp, scale):
    pool = mp.Pool(processes=3)
    pairs = pool.starmap(double_both, [(x, x + 1) for x in range(10)])
    singles = pool.starmap(double, [(5,), (10,), (15,), (20,), (25,)])
    pool.close()
    pool.join()
    return pairs, singles
