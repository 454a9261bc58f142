"""Fibonacci numbers, the slow way, two tasks at a time to a worker."""

from touring import rivals

TITLE = "executor: Fibonacci in chunks"


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def program(mp, scale):
    numbers = range(27 if scale >= 1 else 20)
    with rivals.futures(mp).ProcessPoolExecutor() as executor:
        return dict(zip(numbers, executor.map(fibonacci, numbers, chunksize=2), strict=True))
