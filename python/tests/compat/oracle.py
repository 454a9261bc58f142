"""The interpreter's own tests of `multiprocessing` as an oracle.

    oracle.py [--method METHOD]... [--class PATTERN] [--fast] [--seconds N] [--jobs N] [--out FOLDER]

Each class of tests runs in a process of its own, for each start method. A test that takes too long is
ended with all it started, counts as failed, and the rest of its class goes on without it. What
`docs/migration/deviations.md` excludes is not run. Exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
DEVIATIONS = ROOT / "docs" / "migration" / "deviations.md"
METHODS = ("fork", "spawn", "forkserver", "main_handling", "futures")
#: What shows within seconds whether the whole is in order: for `make test`.
FAST = (
    "WithProcessesTestQueue",
    "WithProcessesTestEvent",
    "WithProcessesTestSubclassingProcess",
    "WithProcessesTestPoolWorkerErrors",
    "TestSimpleQueue",
    "MiscTestCase",
)


@dataclass
class Exclusion:
    """A line of the page of deviations: tests that are not run, and why."""

    pattern: str
    methods: str
    versions: str
    reason: str

    def covers(self, method: str, test: str) -> bool:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return (
            fnmatch.fnmatchcase(test, self.pattern)
            and (self.methods == "all" or method in re.split(r"[, ]+", self.methods))
            and (self.versions == "all" or version in re.split(r"[, ]+", self.versions))
        )


def exclusions() -> list[Exclusion]:
    """The rows of the tables whose first cell is the name of a test in code quotes."""
    found = []
    for line in DEVIATIONS.read_text().splitlines():
        row = re.fullmatch(r"\| `(\S+\.test_\S+|\S+\.\*)` \| (.+?) \| (.+?) \| (.+) \|", line)
        if row:
            found.append(Exclusion(*row.groups()))
    return found


@dataclass
class Unit:
    """One class of tests under one start method."""

    method: str
    name: str
    tests: list[str]
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)
    seconds: float = 0.0


def start(write: int, suite: str, *arguments: str, **options) -> subprocess.Popen:
    """Start a process that reports to the descriptor, which is closed here."""
    line = [sys.executable, "-X", "faulthandler", str(HERE / "run_class.py"), suite, *arguments]
    environment = {**os.environ, "PHALANX_COMPAT_REPORT": str(write)}
    process = subprocess.Popen(line, pass_fds=(write,), env=environment, **options)
    os.close(write)
    return process


def units(method: str, pattern: str) -> list[Unit]:
    """The classes of a suite whose names fit the pattern."""
    read, write = os.pipe()
    process = start(write, f"oracle_{method}", "--list")
    with open(read) as lines:
        rows = [json.loads(line) for line in lines]
    if process.wait() != 0:
        sys.exit(
            "error: the interpreter's own tests cannot be loaded (see above); some distributions\n"
            "       leave the package `test` out, or have it in a package of its own"
        )
    return [
        Unit(method, row["name"], row["tests"])
        for row in rows
        if row["tests"] and fnmatch.fnmatchcase(row["name"], pattern)
    ]


def run(unit: Unit, excluded: list[Exclusion], limit: float, folder: Path) -> None:
    """Run the tests of a class, in as many processes as it takes to get past those that hang."""
    todo = []
    for test in unit.tests:
        covered = any(e.covers(unit.method, f"{unit.name}.{test}") for e in excluded)
        (unit.excluded if covered else todo).append(test)
    begin = time.monotonic()
    with open(folder / f"{unit.method}-{unit.name}.log", "wb") as log:
        while todo:
            ended = attempt(unit, todo, limit, log)
            todo = [test for test in todo if test not in unit.outcomes]
            if ended:
                break
    for test in todo:
        unit.outcomes.setdefault(test, ("error", "not reached: the process of its class ended"))
    unit.seconds = time.monotonic() - begin


def attempt(unit: Unit, todo: list[str], limit: float, log) -> bool:
    """Run tests in one process; return whether there is no use in another one."""
    read, write = os.pipe()
    process = start(
        write,
        f"oracle_{unit.method}",
        unit.name,
        *todo,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    current, pending, done, fixture = None, b"", False, None
    deadline = time.monotonic() + limit
    with selectors.DefaultSelector() as selector, os.fdopen(read, "rb", buffering=0) as events:
        selector.register(events, selectors.EVENT_READ)
        while not done:
            if not selector.select(max(0.0, min(deadline - time.monotonic(), 1.0))):
                if time.monotonic() < deadline and process.poll() is None:
                    continue
                # What it wrote last may have come between the two looks.
                if not selector.select(0):
                    break
            data = events.read(65536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for event in map(json.loads, lines):
                deadline = time.monotonic() + limit
                if event["event"] == "start":
                    current = event["test"].partition(".")[2]
                elif event["event"] == "end":
                    unit.outcomes[current] = (event["outcome"], event["text"])
                    current = None
                elif event["event"] == "fixture":
                    fixture = fixture or (event["outcome"], f"{event['test']}: {event['text']}")
                else:
                    done = True
    try:
        process.wait(15 if done else 0.5)
    except subprocess.TimeoutExpired:
        hung = "did not end" if done else f"no progress for {limit:.0f} seconds"
        process.send_signal(signal.SIGABRT)  # It prints its stacks.
        time.sleep(1)
        if current is not None:
            unit.outcomes[current] = ("hung", hung)
        elif done:
            unit.outcomes["(exit)"] = ("hung", "the process of the class did not end")
    else:
        if current is not None:
            unit.outcomes[current] = ("error", f"the process ended with {process.returncode}")
    left = family(process.pid)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    if done and len(left) > 1:
        print(f"  {unit.method} {unit.name}: left {len(left)} processes behind", flush=True)
    if fixture is not None and any(test in unit.outcomes for test in todo):
        unit.outcomes["(fixture)"] = fixture
    elif fixture is not None:
        unit.outcomes.update(dict.fromkeys(todo, fixture))
    return done or not any(test in unit.outcomes for test in todo)


def family(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != b"Z":
                found.append(int(entry))
    return found


def report(done: list[Unit], methods: list[str]) -> int:
    """Print the failures and the table; return how many tests failed."""
    bad = 0
    table = {method: Counter() for method in methods}
    for unit in done:
        counts = table[unit.method]
        counts["excluded"] += len(unit.excluded)
        for test, (outcome, text) in unit.outcomes.items():
            counts[outcome if outcome in ("passed", "skipped") else "failed"] += 1
            if outcome not in ("passed", "skipped"):
                bad += 1
                last = text.strip().splitlines()[-1] if text.strip() else ""
                print(f"FAILED {unit.method} {unit.name}.{test}: {outcome}: {last[:160]}")
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"\nPython {version:<10} {'passed':>8} {'failed':>8} {'skipped':>8} {'excluded':>8}")
    for method, counts in table.items():
        print(f"{method:<17}", *(f"{counts[c]:>8}" for c in ("passed", "failed", "skipped", "excluded")))
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--class", dest="pattern", default="*", help="a pattern of class names")
    parser.add_argument("--fast", action="store_true", help="a few classes only")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long one test may take")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "compat", help="where the logs go")
    options = parser.parse_args()
    methods = options.method or list(METHODS)
    folder = options.out / f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    work = [unit for method in methods for unit in units(method, options.pattern)]
    if options.fast:
        work = [unit for unit in work if unit.name in FAST]
    excluded = exclusions()
    speak = threading.Lock()

    def one(unit: Unit) -> None:
        run(unit, excluded, options.seconds, folder)
        counts = Counter(outcome for outcome, _ in unit.outcomes.values())
        with speak:
            print(f"  {unit.method} {unit.name}: {dict(counts)} {unit.seconds:.1f} s", flush=True)

    with ThreadPoolExecutor(options.jobs) as runners:
        list(runners.map(one, work))
    rows = [
        {"method": u.method, "class": u.name, "outcomes": u.outcomes, "excluded": u.excluded} for u in work
    ]
    (folder / "-".join(["results", *methods])).with_suffix(".json").write_text(json.dumps(rows, indent=1))
    return 1 if report(work, methods) else 0


if __name__ == "__main__":
    sys.exit(main())
