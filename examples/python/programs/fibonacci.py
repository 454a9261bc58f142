"""Fibonacci numbers by naive recursion, two numbers a chunk; the last task is as long as all others together."""

TITLE = "Fibonacci numbers"


def recursive(n):
    return n if n <= 1 else recursive(n - 1) + recursive(n - 2)


def iterative(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def program(mp, scale):
    numbers = range(int(20 + 10 * scale))
    with mp.Pool() as pool:
        found = dict(zip(numbers, pool.map(recursive, numbers, chunksize=2), strict=True))
    return found, all(found[n] == iterative(n) for n in numbers)
