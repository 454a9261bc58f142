"""Endings: how long it takes until a program with a busy pool is gone, with all its processes.

The program is one of its own, in a session of its own. What is left after a while is killed, and counts as gone
then: the figure says at least so long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.harness.case import MILLISECONDS, case
from benchmarks.harness.floors import AtMost
from benchmarks.harness.measure import Run, check

PROGRAM = Path(__file__).parents[1] / "programs" / "endings.py"
PROGRAMS = 5
# Until the four tasks have begun.
BEGINNING_S = 0.3
GIVEN_UP_S = 3.0


def members(session: int) -> list[int]:
    """The processes of a session that have not ended, whoever started them; one that waits to be reaped has."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, _, _, of = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue  # it has ended meanwhile
            if int(of) == session and state not in "ZX":
                found.append(int(entry))
    return found


def until_gone(run: Run, end: Callable[[int], None], last_word: str) -> float:
    """The median time from `end(pid)` until no process of the program is left."""
    for _ in range(run.count(PROGRAMS)):
        with subprocess.Popen(
            [sys.executable, str(PROGRAM), run.mp.__name__],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as program:
            assert program.stdout is not None
            check(program.stdout.readline() == "ready\n", "the program did not start")
            time.sleep(BEGINNING_S)
            began = time.perf_counter()
            end(program.pid)
            while (left := members(program.pid)) and time.perf_counter() - began < GIVEN_UP_S:
                time.sleep(0.001)
            took = time.perf_counter() - began
            if left:
                os.killpg(program.pid, signal.SIGKILL)
            said = program.stdout.read().strip()
            check(bool(left) or said == last_word, "the program ended in another way")
        run.rounds.append(run.unit.of(took))
    return median(run.rounds)


@case(
    "Ctrl-C during Pool(4).map, until every process is gone",
    unit=MILLISECONDS,
    floor=AtMost(500, "ms"),
    repeats=3,
)
def interrupt(run: Run) -> float:
    """SIGINT to all, as a terminal sends it."""
    return until_gone(run, lambda pid: os.killpg(pid, signal.SIGINT), "interrupted")


@case(
    "SIGKILL to the owner of a busy Pool(4), until every process is gone",
    unit=MILLISECONDS,
    floor=AtMost(1000, "ms"),
    repeats=3,
)
def killed(run: Run) -> float:
    """Nobody is left who could tell the workers."""
    return until_gone(run, lambda pid: os.kill(pid, signal.SIGKILL), "")
