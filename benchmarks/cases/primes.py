"""Prime search: numbers to two workers over one queue, the primes back over another."""

from __future__ import annotations

from math import isqrt
from time import perf_counter
from typing import Any

from benchmarks.harness.case import MILLISECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check, closing
from benchmarks.harness.team import Team

WORKERS = 2
FIRST = 100_000_000
WIDTH = 20_000
NO_MORE = b"no more numbers"
FINISHED = b"this worker has finished"


def is_prime(number: int) -> bool:
    """By trial division, as a program that has not thought about it."""
    if number % 2 == 0:
        return False
    for divisor in range(3, isqrt(number) + 1, 2):  # noqa: SIM110 (all() is slower)
        if number % divisor == 0:
            return False
    return True


def search(_count: int, numbers: Any, primes: Any) -> None:
    """Test numbers until there are no more."""
    while (number := numbers.get()) != NO_MORE:
        if is_prime(number):
            primes.put(number)
    primes.put(FINISHED)


def primes_by_sieve(first: int, width: int) -> list[int]:
    """The right answer, another way."""
    prime = bytearray([1]) * width
    for divisor in range(2, isqrt(first + width) + 1):
        start = -first % divisor
        prime[start::divisor] = bytes(len(range(start, width, divisor)))
    return [first + offset for offset in range(width) if prime[offset]]


@case("prime search over a Queue, 100,000,000..100,020,000", unit=MILLISECONDS, floor=Times(1.8))
def prime_search(run: Run) -> float:
    """Time from the first number put to the last worker's word."""
    numbers, found = run.mp.Queue(), run.mp.Queue()
    width = run.count(WIDTH)
    expected = primes_by_sieve(FIRST, width)
    # What no transport can go below: the tests alone, divided among the workers.
    started = perf_counter()
    tested = sum(map(is_prime, range(FIRST, FIRST + width)))
    run.extra["arithmetic_ms"] = (perf_counter() - started) * 1e3 / WORKERS
    check(tested == len(expected), f"{tested} primes by division, {len(expected)} by sieve")
    with closing(numbers, found), Team(run, *[(search, (numbers, found))] * WORKERS) as team:

        def round_of(_count: int) -> list[int]:
            team.go(1)
            for number in range(FIRST, FIRST + width):
                numbers.put(number)
            for _ in range(WORKERS):
                numbers.put(NO_MORE)
            primes: list[int] = []
            working = WORKERS
            while working:
                answer = found.get()
                if answer == FINISHED:
                    working -= 1
                else:
                    primes.append(answer)
            team.answers()
            return primes

        def verify(primes: list[int], _count: int) -> None:
            check(sorted(primes) == expected, f"{len(primes)} primes instead of {len(expected)}")

        return run.measure(round_of, 1, verify=verify, warm=0 if run.quick else 1)
