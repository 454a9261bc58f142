"""Is it a prime? The small divisors are tried in the parent first, which spares most composites the pool."""

import math

TITLE = "verify primes, small divisors first"

LARGE = (30_000_000_000_495, 29_978_220_206_069, 30_000_271_213_573, 30_000_000_000_011, 30_000_000_000_013)
SMALL = (100_000_002_165, 98_740_492_891, 100_028_819_959, 100_000_000_003, 100_000_000_019)
TRIED_HERE = 21


def split(start, stop, parts):
    step = (stop - start) / parts
    return [(start + int(step * part), start + int(step * (part + 1))) for part in range(parts)]


def no_divisor(task):
    n, (start, stop) = task
    if n % 2 == 0:
        return False
    return all(n % divisor for divisor in range(start | 1, stop, 2))


def is_prime(pool, n, parts):
    last = math.isqrt(n) + 1
    if not no_divisor((n, (3, min(last, TRIED_HERE)))):
        return False
    if last <= TRIED_HERE:
        return True
    return False not in pool.map(no_divisor, [(n, part) for part in split(TRIED_HERE, last, parts)])


def program(mp, scale):
    with mp.Pool(processes=4) as pool:
        return [(n, is_prime(pool, n, 4)) for n in (LARGE if scale >= 1 else SMALL)]
