"""Arrays: four 80 MB float64 arrays to workers and back (needs numpy)."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.case import SECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

ARRAYS = 4
NUMBERS = 10_000_000  # 80 MB of float64


def raise_by_one(array: Any) -> Any:
    """Change every number in place: reads and writes each page, and allocates nothing."""
    array += 1.0
    return array


def raised_copy(array: Any) -> Any:
    """A new array, as most programs write it."""
    return array + 1.0


def through_map(run: Run, function: Any) -> float:
    """The four arrays through Pool.map on two workers, seconds for all of them."""
    import numpy

    size = run.count(NUMBERS)
    arrays = [numpy.arange(size, dtype=numpy.float64) + 1000.0 * k for k in range(ARRAYS)]
    with run.mp.Pool(2) as pool:

        def round_of(_count: int) -> list[Any]:
            return pool.map(function, arrays)

        def verify(results: list[Any], _count: int) -> None:
            check(len(results) == ARRAYS, "arrays lost")
            for k, result in enumerate(results):
                check(arrays[k][-1] == size - 1 + 1000.0 * k, "the caller's own array changed")
                check(bool((result == arrays[k] + 1.0).all()), f"array {k} came back wrong")

        return run.measure(round_of, 1, verify=verify)


@case("four 80 MB arrays through Pool.map, changed in place", unit=SECONDS, floor=Times(8), headline=True)
def changed_in_place(run: Run) -> float:
    """The worker changes its argument and returns it."""
    return through_map(run, raise_by_one)


@case("four 80 MB arrays through Pool.map, a new array each", unit=SECONDS, floor=Times(8))
def new_array_each(run: Run) -> float:
    """The worker returns a new array."""
    return through_map(run, raised_copy)
