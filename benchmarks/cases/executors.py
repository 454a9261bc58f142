"""Executors: what a call costs by future and by map, and what a whole short life costs."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from importlib import import_module

from benchmarks.cases.targets import successor
from benchmarks.harness.case import MICROSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

CALLS = 20_000
LIVES = 20


def executor_of(run: Run) -> Executor:
    """An executor of two workers of the library that is measured."""
    kind = ProcessPoolExecutor
    if run.mp.__name__ == "phalanx":
        kind = import_module("phalanx.futures").ProcessPoolExecutor
    return kind(2, mp_context=run.mp.get_context("fork"))


@case("submit and as_completed, 20,000 tiny calls", unit=MICROSECONDS, floor=Times(12), headline=True)
def submit(run: Run) -> float:
    """A future for each call."""
    with executor_of(run) as executor:

        def round_of(count: int) -> list[int]:
            calls = [executor.submit(successor, number) for number in range(count)]
            return [call.result() for call in as_completed(calls)]

        def verify(results: list[int], count: int) -> None:
            check(sorted(results) == list(range(1, count + 1)), "results lost, doubled or wrong")

        return run.measure(round_of, run.count(CALLS), verify=verify)


@case("Executor.map, chunksize 1, 20,000 tiny calls", unit=MICROSECONDS, floor=Times(50))
def map_one_by_one(run: Run) -> float:
    """Results in order."""
    with executor_of(run) as executor:

        def round_of(count: int) -> list[int]:
            return list(executor.map(successor, range(count)))

        def verify(results: list[int], count: int) -> None:
            check(results == list(range(1, count + 1)), "results lost, wrong or out of order")

        return run.measure(round_of, run.count(CALLS), verify=verify)


@case("executor: start, first result, shutdown", unit=MICROSECONDS, floor=Times(1.3))
def life(run: Run) -> float:
    """What a program pays that uses an executor for one call."""

    def round_of(count: int) -> list[int]:
        results = []
        for number in range(count):
            with executor_of(run) as executor:
                results.append(executor.submit(successor, number).result())
        return results

    def verify(results: list[int], count: int) -> None:
        check(results == list(range(1, count + 1)), "results lost or wrong")

    return run.measure(round_of, run.count(LIVES), verify=verify)
