"""Import: the time that `import` itself takes in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.harness.case import MILLISECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run

INTERPRETERS = 9
# All of the standard library's package that phalanx's import makes available.
REPLACED = ", ".join(
    f"multiprocessing.{name}"
    for name in (
        *("connection", "context", "forkserver", "heap", "pool", "popen_fork", "popen_forkserver"),
        *("popen_spawn_posix", "process", "queues", "reduction", "resource_sharer"),
        *("resource_tracker", "sharedctypes", "spawn", "synchronize", "util"),
    )
)
IMPORTED = {"multiprocessing": REPLACED}
PROGRAM = """
from time import perf_counter_ns
started = perf_counter_ns()
import {modules}
print(perf_counter_ns() - started)
"""


@case("import", unit=MILLISECONDS, floor=Times(1), headline=True)
def whole_package(run: Run) -> float:
    """The library as its users import it, all submodules it stands for included."""
    library = run.mp.__name__
    program = PROGRAM.format(modules=IMPORTED.get(library, library))

    def round_of(_count: int) -> int:
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return int(answer.stdout)

    round_of(1)  # writes the bytecode, fills the page cache
    nanoseconds = sorted(round_of(1) for _ in range(run.count(INTERPRETERS)))
    run.rounds += [run.unit.of(took / 1e9) for took in nanoseconds]
    return run.rounds[len(nanoseconds) // 2]
