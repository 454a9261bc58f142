"""Tasks one by one: the cost of sending a single tiny task to a pool of two."""

from __future__ import annotations

from typing import Any

from benchmarks.cases.targets import successor
from benchmarks.harness.case import MICROSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

STREAMED = 50_000
ROUND_TRIPS = 2_000
SUBMITTED = 20_000


def verify_in_order(results: list[int], count: int) -> None:
    """Each task's answer, at its place."""
    check(results == list(range(1, count + 1)), "results lost, wrong or out of order")


def verify_any_order(results: list[int], count: int) -> None:
    """Each task's answer once."""
    check(sorted(results) == list(range(1, count + 1)), "results lost, doubled or wrong")


@case("imap, chunksize 1, 50,000 tiny tasks", unit=MICROSECONDS, floor=Times(20), headline=True)
def imap(run: Run) -> float:
    """Results in order, one task a message as far as the caller asks."""
    with run.mp.Pool(2) as pool:

        def round_of(count: int) -> list[int]:
            return list(pool.imap(successor, range(count)))

        return run.measure(round_of, run.count(STREAMED), verify=verify_in_order)


@case("imap_unordered, chunksize 1, 50,000 tiny tasks", unit=MICROSECONDS, floor=Times(20))
def imap_unordered(run: Run) -> float:
    """Results as they come."""
    with run.mp.Pool(2) as pool:

        def round_of(count: int) -> list[int]:
            return list(pool.imap_unordered(successor, range(count)))

        return run.measure(round_of, run.count(STREAMED), verify=verify_any_order)


@case("apply, round trip", unit=MICROSECONDS, floor=Times(5), headline=True)
def apply(run: Run) -> float:
    """One task, wait for it, the next."""
    with run.mp.Pool(2) as pool:

        def round_of(count: int) -> list[int]:
            return [pool.apply(successor, (number,)) for number in range(count)]

        return run.measure(round_of, run.count(ROUND_TRIPS), verify=verify_in_order)


@case("apply_async().get(), round trip", unit=MICROSECONDS, floor=Times(5))
def apply_async_get(run: Run) -> float:
    """One task, wait for its result object, the next."""
    with run.mp.Pool(2) as pool:

        def round_of(count: int) -> list[int]:
            return [pool.apply_async(successor, (number,)).get() for number in range(count)]

        return run.measure(round_of, run.count(ROUND_TRIPS), verify=verify_in_order)


@case("20,000 apply_async, then every get", unit=MICROSECONDS, floor=Times(12))
def apply_async_many(run: Run) -> float:
    """All tasks submitted before the first result is asked for."""
    with run.mp.Pool(2) as pool:

        def round_of(count: int) -> list[int]:
            pending: list[Any] = [pool.apply_async(successor, (number,)) for number in range(count)]
            return [result.get() for result in pending]

        return run.measure(round_of, run.count(SUBMITTED), verify=verify_in_order)
