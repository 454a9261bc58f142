"""Tasks in bulk: a million tiny tasks at once on a pool of two, default chunks."""

from __future__ import annotations

from benchmarks.cases.targets import successor, total
from benchmarks.harness.case import NANOSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

TASKS = 1_000_000


@case("map of a million tiny tasks", unit=NANOSECONDS, floor=Times(1.3))
def map_million(run: Run) -> float:
    """A list of numbers through map."""
    count = run.count(TASKS)
    numbers = list(range(count))
    with run.mp.Pool(2) as pool:

        def round_of(_count: int) -> list[int]:
            return pool.map(successor, numbers)

        def verify(results: list[int], _count: int) -> None:
            check(results == list(range(1, count + 1)), "results lost, wrong or out of order")

        return run.measure(round_of, count, verify=verify)


@case("starmap of a million tiny tasks", unit=NANOSECONDS, floor=Times(1.3))
def starmap_million(run: Run) -> float:
    """A list of pairs through starmap."""
    count = run.count(TASKS)
    pairs = [(number, 1) for number in range(count)]
    with run.mp.Pool(2) as pool:

        def round_of(_count: int) -> list[int]:
            return pool.starmap(total, pairs)

        def verify(results: list[int], _count: int) -> None:
            check(results == list(range(1, count + 1)), "results lost, wrong or out of order")

        return run.measure(round_of, count, verify=verify)
