"""Cached results: what a call costs whose result is known (rival: joblib's `Memory`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from benchmarks.cases.targets import array_sum, successor
from benchmarks.harness.case import MICROSECONDS, MILLISECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

CALLS = 2_000
ELEMENTS = 10_000_000


@contextmanager
def memory_of(run: Run) -> Iterator[Any]:
    """The `Memory` of the library that is measured, or of its rival, in a new folder."""
    library = run.mp if run.mp.__name__ == "phalanx" else import_module("joblib")
    with tempfile.TemporaryDirectory() as folder:
        yield library.Memory(folder, verbose=0)


@case("Memory hit, small argument", unit=MICROSECONDS, floor=Times(4), headline=True)
def small(run: Run) -> float:
    """The key of a number, and a small entry."""
    with memory_of(run) as memory:
        cached = memory.cache(successor)

        def round_of(count: int) -> list[int]:
            return [cached(7) for _ in range(count)]

        def verify(results: list[int], count: int) -> None:
            check(results == [8] * count, "wrong results")

        return run.measure(round_of, run.count(CALLS), verify=verify)


@case("Memory hit, argument of 80 MB", unit=MILLISECONDS, floor=Times(5))
def large_argument(run: Run) -> float:
    """The key of an array."""
    import numpy

    elements = run.count(ELEMENTS)
    array = numpy.arange(elements, dtype="f8")
    with memory_of(run) as memory:
        cached = memory.cache(array_sum)

        def round_of(count: int) -> list[float]:
            return [cached(array) for _ in range(count)]

        def verify(results: list[float], count: int) -> None:
            check(results == [elements * (elements - 1) / 2] * count, "wrong results")

        return run.measure(round_of, 1, verify=verify)


@case("Memory hit, result of 80 MB", unit=MILLISECONDS, floor=Times(0.5))
def large_result(run: Run) -> float:
    """To read an array, with its checksum (the rival has none)."""
    import numpy

    elements = run.count(ELEMENTS)
    with memory_of(run) as memory:
        cached = memory.cache(numpy.arange)

        def round_of(count: int) -> list[Any]:
            return [cached(elements) for _ in range(count)]

        def verify(results: list[Any], count: int) -> None:
            check(int(results[-1][-1]) == elements - 1, "wrong results")

        return run.measure(round_of, 1, verify=verify)
