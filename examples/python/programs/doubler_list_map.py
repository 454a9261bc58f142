"""Pool.map over a list of lists: several arguments packed into one."""

TITLE = "doubling pairs by map"


def double_both(pair):
    return pair[0] * 2 + pair[1] * 2


def program(mp, scale):
    pool = mp.Pool(processes=3)
    results = pool.map(double_both, [[x, x + 1] for x in range(10)])
    pool.close()
    pool.join()
    return results
