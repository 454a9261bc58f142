"""Pool.apply_async: each call is waited for, at most so long."""

TITLE = "doubling by apply_async"


def double(number):
    return number * 2


def program(mp, scale):
    with mp.Pool(processes=3) as pool:
        one_by_one = [pool.apply_async(double, (number,)).get(timeout=30) for number in [5, 10, 15, 20, 25]]
        promises = [pool.apply_async(double, (number,)) for number in range(100)]
        all_at_once = [promise.get(timeout=30) for promise in promises]
    return one_by_one, all_at_once
