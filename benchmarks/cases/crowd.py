"""A crowd: 64 workers, however few cores there are."""

from __future__ import annotations

from time import perf_counter

from benchmarks.cases.targets import successor
from benchmarks.cases.tasks_one_by_one import verify_in_order
from benchmarks.harness.case import MICROSECONDS, SHARE, case
from benchmarks.harness.floors import AtLeast, Times
from benchmarks.harness.measure import Run

CROWD = 64
FEW = 2
TASKS = 20_000


@case("64 workers, 20,000 tiny tasks by imap", unit=MICROSECONDS, floor=Times(10))
def imap(run: Run) -> float:
    """Time per task."""
    with run.mp.Pool(CROWD) as pool:

        def round_of(count: int) -> list[int]:
            return list(pool.imap(successor, range(count)))

        return run.measure(round_of, run.count(TASKS), verify=verify_in_order)


@case(
    "64 workers against 2 workers of the same library, imap",
    unit=SHARE,
    floor=AtLeast(0.5, "of the speed"),
    repeats=5,
)
def imap_against_few(run: Run) -> float:
    """The speed of 64 workers as a share of that of 2, both pools in turns."""
    count = run.count(TASKS)
    shares = []
    with run.mp.Pool(FEW) as few, run.mp.Pool(CROWD) as crowd:
        for lap in range(4):
            seconds = []
            for pool in (few, crowd):
                started = perf_counter()
                results = list(pool.imap(successor, range(count)))
                seconds.append(perf_counter() - started)
                verify_in_order(results, count)
            if lap:  # the first lap warms both
                shares.append(seconds[0] / seconds[1])
    run.rounds += sorted(shares)
    return run.rounds[len(shares) // 2]
