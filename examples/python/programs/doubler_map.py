"""Pool.map: the results come back in the order of the arguments."""

TITLE = "doubling by map"


def double(number):
    return number * 2


def program(mp, scale):
    pool = mp.Pool(processes=3)
    results = pool.map(double, [5, 10, 15, 20, 25])
    pool.close()
    pool.join()
    return results
