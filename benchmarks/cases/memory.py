"""Memory: the sum of PSS over the process tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.cases.targets import successor
from benchmarks.harness.case import COPIES, MEBIBYTES, case
from benchmarks.harness.floors import AtMost, ShareOfRival
from benchmarks.harness.measure import Run, check
from benchmarks.harness.proctree import PeakMemory, tree_memory

# Not in this process: what the harness has imported, and each worker would hold, is no part of the program.
PROGRAM = Path(__file__).parents[1] / "programs" / "map_million.py"
WORKERS = 4
NUMBERS = 1_000_000
ARRAY_BYTES = 400_000_000
MEBIBYTE = 1 << 20
# Nobody waits this long unless two of the four tasks went to one worker.
MEETING_S = 60.0

held: Any = None
meeting: Any = None


def peak_of_map(run: Run) -> float:
    """The highest sum while three maps run, results included; `before_mib` is what was there before."""
    count = run.count(NUMBERS)
    command = [sys.executable, str(PROGRAM), run.mp.__name__, str(count), str(WORKERS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None and program.stdout is not None
        check(program.stdout.readline() == "ready\n", "the program did not start")
        run.extra["before_mib"] = tree_memory(program.pid) / MEBIBYTE
        with PeakMemory(program.pid) as peak:
            program.stdin.write("go\n")
            program.stdin.flush()
            answer = program.stdout.readline()
        program.stdin.write("end\n")
    check(answer == "right\n" and program.returncode == 0, "results lost or wrong")
    run.extra["samples"] = peak.samples
    run.extra["peak_mib"] = peak.peak / MEBIBYTE
    return peak.peak / MEBIBYTE


@case("memory that Pool(4).map over a million ints adds", unit=MEBIBYTES, floor=ShareOfRival(0.7), repeats=3)
def map_million(run: Run) -> float:
    """The list of results, and all that the call needs on its way there."""
    return peak_of_map(run) - run.extra["before_mib"]


@case("memory with Pool(4).map over a million ints", unit=MEBIBYTES, floor=ShareOfRival(0.7), repeats=5)
def with_map_million(run: Run) -> float:
    """All of it: interpreters, the list of arguments, the list of results, and the call."""
    return peak_of_map(run)


def read_all(array: Any) -> float:
    """Touch every page."""
    return float(array.sum())


def prepare(barrier: Any, array: Any = None) -> None:
    """Initialise a worker: remember the barrier, and the array where it is given here."""
    global meeting, held
    meeting, held = barrier, array


def read_held(_: int) -> float:
    """Read the array that the worker was started with, then let each worker have one task."""
    answer = read_all(held)
    meeting.wait(MEETING_S)
    return answer


def keep(array: Any) -> float:
    """Read the array and hold on to it, then let each worker have one task."""
    global held
    held = array
    return read_held(0)


def new_array(run: Run) -> Any:
    """400 MB of float64, every page written."""
    import numpy

    return numpy.ones(run.count(ARRAY_BYTES) // 8)


@case(
    "400 MB array given to 4 forked workers at start, caller's included",
    unit=COPIES,
    floor=AtMost(1.1, "copies"),
    repeats=3,
)
def array_at_start(run: Run) -> float:
    """All that the tree holds more than before the array existed, by forked workers."""
    import numpy  # noqa: F401 (the baseline has it, so that only the array is counted)

    barrier = run.fork.Barrier(WORKERS)
    before = tree_memory(os.getpid())
    array = new_array(run)
    with run.fork.Pool(WORKERS, prepare, (barrier, array)) as pool:
        sums = pool.map(read_held, range(WORKERS), chunksize=1)
        after = tree_memory(os.getpid())
        check(sums == [float(array.size)] * WORKERS, "a worker read something else")
        return (after - before) / array.nbytes


@case(
    "400 MB array given to 4 workers by map, caller's not included",
    unit=COPIES,
    floor=AtMost(1.1, "copies"),
    repeats=3,
)
def array_by_map(run: Run) -> float:
    """What the tree holds more while four tasks' arguments are one and the same array."""
    barrier = run.fork.Barrier(WORKERS)
    array = new_array(run)
    with run.fork.Pool(WORKERS, prepare, (barrier,)) as pool:
        pool.map(successor, range(WORKERS))
        before = tree_memory(os.getpid())
        sums = pool.map(keep, [array] * WORKERS, chunksize=1)
        after = tree_memory(os.getpid())
        check(sums == [float(array.size)] * WORKERS, "a worker read something else")
        return (after - before) / array.nbytes
