"""One measurement in a fresh interpreter, under a watchdog, with nothing left behind."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.case import Case
from benchmarks.harness.proctree import children, tree

ROOT = Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36
# Helpers of the standard library end by themselves once their parent has; give them that long.
GRACE_S = 3.0
STACKS_BEFORE_KILL_S = 2.0
MESSAGE_LINES = 40


@dataclass
class Measurement:
    """What one interpreter found: a value, or why there is none."""

    status: str  # "ok", "failed", "hung"
    value: float | None = None
    rounds: list[float] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)
    message: str = ""
    left_behind: int = 0
    seconds: float = 0.0


def adopt_orphans() -> None:
    """Make this process the parent of what a measurement leaves behind, so that it is seen."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(case: Case, library: str, *, quick: bool, python: str = sys.executable) -> Measurement:
    """Measure ``case`` with ``library`` in a new interpreter of ``python``.

    Never raises for what the measurement does: a crash, a wrong answer and a hang are results.
    What is still alive when the interpreter has ended (or has been killed) is counted and killed.
    """
    with tempfile.TemporaryDirectory(prefix="phalanx-bench-") as scratch:
        output, log = Path(scratch, "measurement.json"), Path(scratch, "log")
        command = [python, str(ROOT / "benchmarks" / "worker.py"), case.identity, library]
        command += ["--output", str(output)]
        command += ["--stacks-after", str(max(1.0, case.seconds - STACKS_BEFORE_KILL_S))]
        command += ["--quick"] if quick else []
        started = time.monotonic()
        with log.open("wb") as messages:
            worker = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, cwd=ROOT
            )
        try:
            worker.wait(case.seconds)
            status = "ok" if worker.returncode == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "hung"
            _kill(tree(worker.pid))
            worker.wait()
        except BaseException:
            _kill(tree(worker.pid))
            worker.wait()
            raise
        found = Measurement(status, seconds=time.monotonic() - started)
        found.left_behind = _clear_orphans(0.0 if status == "hung" else GRACE_S)
        found.message = _tail(log) if status != "ok" else ""
        _read(output, found, worker.returncode)
        return found


def _read(output: Path, found: Measurement, returncode: int) -> None:
    """Fill in what the interpreter wrote."""
    if found.status == "hung":
        found.message = f"still running when its time was over\n{found.message}"
        return
    try:
        written: dict[str, Any] = json.loads(output.read_text())
    except (OSError, ValueError):
        found.status = "failed"
        found.message = f"ended with status {returncode} and no measurement\n{found.message}"
        return
    if "error" in written:
        found.status = "failed"
        found.message = f"{written['error']}\n{found.message}"
        return
    found.value, found.rounds, found.extra = written["value"], written["rounds"], written["extra"]


def _clear_orphans(grace: float) -> int:
    """Reap what this process has adopted; kill what does not end by itself, and count it."""
    deadline = time.monotonic() + grace
    while (orphans := _living_children()) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed: set[int] = set()
    while orphans:
        doomed = [pid for orphan in orphans for pid in tree(orphan)]
        _kill(doomed)
        killed.update(doomed)
        time.sleep(0.01)
        # What they started in the meantime is ours by now.
        orphans = _living_children()
    return len(killed)


def _living_children() -> list[int]:
    """Children that have not ended; the others are reaped on the way."""
    living = []
    for pid in children(os.getpid()):
        try:
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                living.append(pid)
        except ChildProcessError:
            pass
    return living


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(lines[-MESSAGE_LINES:])
