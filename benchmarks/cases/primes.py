"""Primes: searched by two workers over queues, and one number verified under a shared flag."""

from __future__ import annotations

from math import isqrt
from time import perf_counter
from typing import Any

from benchmarks.harness.case import MILLISECONDS, Unit, case
from benchmarks.harness.floors import AtMost, Times
from benchmarks.harness.measure import Run, check, closing
from benchmarks.harness.team import Team

WORKERS = 2
FIRST = 100_000_000
WIDTH = 20_000
NO_MORE = b"no more numbers"
FINISHED = b"this worker has finished"
PRIME = 100_000_000_000_031
POLL_EVERY = 1000
LENGTH = Unit("of the time without a flag")


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


def prime_search_over(run: Run, numbers: Any, found: Any) -> float:
    """Time from the first number put to the last worker's word."""
    width = run.count(WIDTH)
    expected = primes_by_sieve(FIRST, width)
    # What no transport can go below: the tests alone, divided among the workers.
    started = perf_counter()
    tested = sum(map(is_prime, range(FIRST, FIRST + width)))
    run.extra["arithmetic_ms"] = (perf_counter() - started) * 1e3 / WORKERS
    check(tested == len(expected), f"{tested} primes by division, {len(expected)} by sieve")
    with Team(run, *[(search, (numbers, found))] * WORKERS) as team:

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


@case(
    "prime search over a Queue, 100,000,000..100,020,000", unit=MILLISECONDS, floor=Times(1.8), headline=True
)
def prime_search(run: Run) -> float:
    """Numbers over one queue, the primes back over another."""
    numbers, found = run.mp.Queue(), run.mp.Queue()
    with closing(numbers, found):
        return prime_search_over(run, numbers, found)


@case("prime search over a manager's Queue, 100,000,000..100,020,000", unit=MILLISECONDS, floor=Times(8))
def prime_search_managed(run: Run) -> float:
    """The same over queues of a manager."""
    with run.mp.Manager() as manager:
        return prime_search_over(run, manager.Queue(), manager.Queue())


def has_divisor(first: int, last: int, flag: Any) -> bool:
    """Look for odd divisors from `first` to `last`, and every thousand of them at the flag, if any."""
    for block in range(first, last, 2 * POLL_EVERY):
        for divisor in range(block, min(block + 2 * POLL_EVERY, last), 2):
            if PRIME % divisor == 0:
                if flag is not None:
                    flag.value = 1
                return True
        if flag is not None and flag.value:
            return True
    return False


def verify_part(_count: int, part: int, flag: Any) -> bool:
    """One worker's share of the divisors: half of the range."""
    middle = (isqrt(PRIME) // 2) | 1
    first, last = ((3, middle), (middle, isqrt(PRIME) + 1))[part]
    return has_divisor(first, last, flag)


@case(
    "prime verification, a manager's flag polled every 1,000 steps",
    unit=LENGTH,
    floor=AtMost(1.2, "of the time without a flag"),
    repeats=5,
)
def prime_verified_under_flag(run: Run) -> float:
    """How long it takes, as a multiple of the time without a flag, in turns."""
    multiples = []
    with run.mp.Manager() as manager:
        flags = (None, manager.Value("i", 0))
        teams = [Team(run, *[(verify_part, (part, flag)) for part in range(WORKERS)]) for flag in flags]
        with teams[0], teams[1]:
            for lap in range(2 if run.quick else 6):
                seconds = []
                for team in teams:
                    started = perf_counter()
                    team.go(1)
                    answers = team.answers()
                    seconds.append(perf_counter() - started)
                    check(not any(answers), f"{PRIME} has no divisor")
                if lap:  # the first lap warms both
                    multiples.append(seconds[1] / seconds[0])
    run.rounds += sorted(multiples)
    return run.rounds[len(multiples) // 2]
