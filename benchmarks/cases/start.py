"""Starts: processes and pools, from nothing to the first answer and to the end."""

from __future__ import annotations

from benchmarks.cases.targets import nothing, successor
from benchmarks.harness.case import MILLISECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check


def processes(run: Run, method: str, operations: int) -> float:
    """Start and join one process after the other."""
    context = run.mp.get_context(method)

    def round_of(count: int) -> None:
        for _ in range(count):
            process = context.Process(target=nothing)
            process.start()
            process.join()
            check(process.exitcode == 0, f"ended with exit code {process.exitcode}")

    # The first forkserver start pays for the server: the warm-up takes it.
    return run.measure(round_of, run.count(operations), warm=2)


def pools(run: Run, method: str, operations: int) -> float:
    """Start a pool of two, one result, close, join."""
    context = run.mp.get_context(method)

    def round_of(count: int) -> None:
        for number in range(count):
            pool = context.Pool(2)
            check(pool.apply(successor, (number,)) == number + 1, "wrong result")
            pool.close()
            pool.join()

    return run.measure(round_of, run.count(operations), warm=1)


@case("Process start and join, fork", unit=MILLISECONDS, floor=Times(1.2))
def process_fork(run: Run) -> float:
    """A copy of this interpreter."""
    return processes(run, "fork", 100)


@case("Process start and join, forkserver", unit=MILLISECONDS, floor=Times(4), headline=True)
def process_forkserver(run: Run) -> float:
    """A copy of a server's interpreter."""
    return processes(run, "forkserver", 40)


@case("Process start and join, spawn", unit=MILLISECONDS, floor=Times(1.8))
def process_spawn(run: Run) -> float:
    """A fresh interpreter."""
    return processes(run, "spawn", 10)


@case("Pool(2) start, one result, close, join, fork", unit=MILLISECONDS, floor=Times(1.3), headline=True)
def pool_fork(run: Run) -> float:
    """Two copies of this interpreter."""
    return pools(run, "fork", 20)


@case("Pool(2) start, one result, close, join, spawn", unit=MILLISECONDS, floor=Times(2))
def pool_spawn(run: Run) -> float:
    """Two fresh interpreters."""
    return pools(run, "spawn", 5)
