"""Pool.map_async: the parent works on while the workers do, and asks for the results at the end."""

TITLE = "doubling by map_async"


def double(number):
    return number * 2


def program(mp, scale):
    pool = mp.Pool(processes=3)
    promise = pool.map_async(double, [5, 10, 15, 20, 25])
    pool.close()
    meanwhile = sum(range(1000))
    pool.join()
    return meanwhile, promise.ready(), promise.successful(), promise.get()
