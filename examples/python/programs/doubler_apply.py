"""Pool.apply: one call at a time, each may be another function."""

TITLE = "doubling by apply"


def double(number):
    return number * 2


def triple(number, plus=0):
    return number * 3 + plus


def program(mp, scale):
    with mp.Pool(processes=3) as pool:
        doubled = [pool.apply(double, (number,)) for number in [5, 10, 15, 20, 25]]
        tripled = pool.apply(triple, (7,), {"plus": 1})
    return doubled, tripled
