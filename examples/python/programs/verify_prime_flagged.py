"""Is it a prime? Whoever finds a divisor raises a shared flag; the others look at it every thousand divisors."""

import math

TITLE = "verify primes, shared flag"

LARGE = (30_000_000_000_495, 29_978_220_206_069, 30_000_271_213_573, 30_000_000_000_011, 30_000_000_000_013)
SMALL = (100_000_002_165, 98_740_492_891, 100_028_819_959, 100_000_000_003, 100_000_000_019)
TRIED_HERE = 21
LOOK_EVERY = 1000

flag = None


def use_flag(shared):
    global flag
    flag = shared


def split(start, stop, parts):
    step = (stop - start) / parts
    return [(start + int(step * part), start + int(step * (part + 1))) for part in range(parts)]


def no_divisor(task):
    n, (start, stop) = task
    if n % 2 == 0:
        return False
    until_look = LOOK_EVERY
    for divisor in range(start | 1, stop, 2):
        until_look -= 1
        if until_look == 0:
            if flag.value:
                return False
            until_look = LOOK_EVERY
        if n % divisor == 0:
            flag.value = True
            return False
    return True


def is_prime(pool, n, parts):
    flag.value = False
    last = math.isqrt(n) + 1
    if not no_divisor((n, (3, min(last, TRIED_HERE)))):
        return False
    if last <= TRIED_HERE:
        return True
    return False not in pool.map(no_divisor, [(n, part) for part in split(TRIED_HERE, last, parts)])


def program(mp, scale):
    use_flag(mp.Value("b", False))
    with mp.Pool(processes=4, initializer=use_flag, initargs=(flag,)) as pool:
        return [(n, is_prime(pool, n, 4)) for n in (LARGE if scale >= 1 else SMALL)]
