"""Is it a prime? The search is over with the first divisor, whoever finds it.

With the standard library, the results are looked at as they come, and the pool is ended in the middle of its work.
"""

import math

from touring import rivals

TITLE = "verify primes, search"

LARGE = (30_000_000_000_495, 29_978_220_206_069, 30_000_271_213_573, 30_000_000_000_011)
SMALL = (100_000_002_165, 98_740_492_891, 100_028_819_959, 100_000_000_003)
PARTS = 16


def split(start, stop, parts):
    step = (stop - start) / parts
    return [(start + int(step * part), start + int(step * (part + 1))) for part in range(parts)]


def has_divisor(task):
    n, (start, stop) = task
    return n % 2 == 0 or any(n % divisor == 0 for divisor in range(start | 1, stop, 2))


def has_divisor_or_is_cancelled(task):
    import phalanx

    n, (start, stop) = task
    if n % 2 == 0:
        return True
    for first in range(start | 1, stop, 2000):
        if phalanx.cancelled():
            return False
        if any(n % divisor == 0 for divisor in range(first, min(first + 2000, stop), 2)):
            return True
    return False


def program(mp, scale):
    answers = []
    for n in LARGE if scale >= 1 else SMALL:
        tasks = [(n, part) for part in split(3, math.isqrt(n) + 1, PARTS)]
        with mp.Pool(processes=4) as pool:
            if rivals.is_phalanx(mp):
                is_composite = pool.any(has_divisor_or_is_cancelled, tasks)
            else:
                is_composite = any(pool.imap_unordered(has_divisor, tasks))
        answers.append((n, not is_composite))
    return answers
