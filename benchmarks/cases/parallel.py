"""Parallel: phalanx's against joblib's with its default backend, and scikit-learn on both."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import Any

from benchmarks.cases.targets import successor
from benchmarks.harness.case import MICROSECONDS, MILLISECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

CALLS = 20_000
FEW = 10
REPEATED = 10
INTERPRETERS = 3
#: A cross-validation in an interpreter of its own: the first call, and the median of some more.
PROGRAM = """
import statistics
import sys
from time import perf_counter

import joblib
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

if sys.argv[1] == "phalanx":
    import phalanx
x, y = make_classification(n_samples=20_000, n_features=20, random_state=0)

def once():
    begin = perf_counter()
    scores = cross_val_score(LogisticRegression(), x, y, cv=6, n_jobs=2)
    assert len(scores) == 6 and min(scores) > 0.5
    return perf_counter() - begin

with joblib.parallel_config(backend=sys.argv[1]):
    first = once()
    print(first, statistics.median(once() for _ in range(9)))
"""


def package_of(run: Run) -> Any:
    """The package whose `Parallel` is measured."""
    return import_module("phalanx" if run.mp.__name__ == "phalanx" else "joblib")


@case("Parallel(n_jobs=2), 20,000 tiny calls", unit=MICROSECONDS, floor=Times(3), headline=True)
def tiny_calls(run: Run) -> float:
    """A generator of calls, a list of results; the workers are there."""
    package = package_of(run)
    delayed = package.delayed

    def round_of(count: int) -> list[int]:
        return package.Parallel(n_jobs=2)(delayed(successor)(number) for number in range(count))

    def verify(results: list[int], count: int) -> None:
        check(results == list(range(1, count + 1)), "results lost, wrong or out of order")

    return run.measure(round_of, run.count(CALLS), verify=verify)


@case("Parallel(n_jobs=2), a call of ten tasks", unit=MICROSECONDS, floor=Times(10))
def ten_tasks(run: Run) -> float:
    """What a call costs when the workers are there."""
    package = package_of(run)
    delayed = package.delayed

    def round_of(count: int) -> list[list[int]]:
        return [
            package.Parallel(n_jobs=2)(delayed(successor)(number) for number in range(FEW))
            for _ in range(count)
        ]

    def verify(results: list[list[int]], count: int) -> None:
        check(results == [list(range(1, FEW + 1))] * count, "results lost, wrong or out of order")

    return run.measure(round_of, run.count(REPEATED), verify=verify)


def cross_validation(run: Run, place: int) -> float:
    """The first call of a cross-validation, or one of those after it."""
    backend = "phalanx" if run.mp.__name__ == "phalanx" else "loky"
    for _ in range(run.count(INTERPRETERS)):
        command = [sys.executable, "-c", PROGRAM, backend]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        run.rounds.append(run.unit.of(float(done.stdout.split()[place])))
    return sorted(run.rounds)[len(run.rounds) // 2]


@case(
    "scikit-learn: cross_val_score(n_jobs=2), first call",
    unit=MILLISECONDS,
    floor=Times(5),
    repeats=5,
    headline=True,
)
def first_cross_validation(run: Run) -> float:
    """With backend "phalanx" and with "loky"."""
    return cross_validation(run, 0)


@case("scikit-learn: cross_val_score(n_jobs=2), later calls", unit=MILLISECONDS, floor=Times(1), repeats=5)
def later_cross_validation(run: Run) -> float:
    """With backend "phalanx" and with "loky": the work itself."""
    return cross_validation(run, 1)
