"""Commands: what it costs to run a short one, two at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from benchmarks.harness.case import MICROSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

COMMANDS = 200
AT_A_TIME = 2


def with_threads(commands: list[list[str]]) -> list[int]:
    """What a program does without phalanx: a thread waits for each command."""

    def one(command: list[str]) -> int:
        return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(one, commands))


def with_phalanx(commands: list[list[str]]) -> list[int | None]:
    """One call, which waits for all of them."""
    results = import_module("phalanx").run(commands, jobs=AT_A_TIME)
    return [result.returncode for result in results]


def measured(run: Run, runner: Callable[[list[list[str]]], list[int | None]]) -> float:
    """Runs `true` so often and looks at each exit code."""

    def round_of(count: int) -> list[int | None]:
        return runner([["true"]] * count)

    def verify(codes: list[int | None], count: int) -> None:
        check(codes == [0] * count, "commands lost or failed")

    return run.measure(round_of, run.count(COMMANDS), verify=verify)


@case("200 commands, 2 at a time, against threads with subprocess", unit=MICROSECONDS, floor=Times(1.3))
def from_python(run: Run) -> float:
    """`phalanx.run`, and a pool of threads that call `subprocess.run`."""
    return measured(run, with_phalanx if run.mp.__name__ == "phalanx" else with_threads)


@case("200 commands, 2 at a time, the command against xargs -P", unit=MICROSECONDS, floor=Times(0.8))
def from_a_shell(run: Run) -> float:
    """`phalanx run`, which keeps outputs apart, and `xargs`, which does not."""
    command = ["xargs", "-P", str(AT_A_TIME), "-n", "1", "true"]
    if run.mp.__name__ == "phalanx":
        program = str(Path(sys.executable).with_name("phalanx"))
        command = [program, "run", "-q", "-j", str(AT_A_TIME), "--from", "-", "--", "true"]

    def round_of(count: int) -> int:
        values = "".join(f"{number}\n" for number in range(count))
        return subprocess.run(command, input=values.encode(), check=False).returncode

    def verify(code: int, _: int) -> None:
        check(code == 0, f"ended with exit code {code}")

    return run.measure(round_of, run.count(COMMANDS), verify=verify)
