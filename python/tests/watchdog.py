"""The watcher of a test run: a process of its own, so that a stuck test cannot stop it.

It reads lines from its standard input: ``SECONDS NAME`` starts the clock of a test and a line that
starts with ``0`` stops it. A process is used, not a thread, because a second thread in the test
process would change what ``fork`` does there (and draws a warning from Python 3.12 on).

When the clock runs out it goes three steps, each only if the one before did not help:
SIGUSR1 (the test process and its descendants print their stacks, and the test process raises in its main
thread), SIGKILL to every descendant of the test process, SIGKILL to the test process itself. Before
all that it has the state of the shared memory printed, which it looks into from outside.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 8.0


def parents() -> dict[int, int]:
    """The parent of every process that can be seen, by pid."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    found[int(entry)] = int(stat.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it ended while we looked
    return found


def descendants(root: int, known: dict[int, int]) -> list[int]:
    """Every process below `root` in the tree `known`."""
    below, frontier = [], [root]
    while frontier:
        parent = frontier.pop()
        children = [pid for pid, its_parent in known.items() if its_parent == parent]
        below += children
        frontier += children
    return below


def describe(pid: int) -> str:
    """One line on what a process is and where the kernel holds it."""

    def read(name: str) -> str:
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError as error:
            return error.strerror or "unreadable"

    return f"  pid {pid} {read('wchan')}: {read('cmdline')[:160]}"


def shared_state(pid: int) -> str:
    """What the library says of the memory that a process shares; asked by another process, since this
    one is to stay small and alive."""
    ask = "import sys; from phalanx._core import dump_state; print(dump_state(int(sys.argv[1])))"
    try:
        said = subprocess.run(
            [sys.executable, "-c", ask, str(pid)], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"  the shared memory cannot be looked into: {error}"
    return said.stdout or f"  the shared memory cannot be looked into: {said.stderr[-200:]}"


def would_print(pid: int) -> bool:
    """Whether a process has a handler for SIGUSR1, and would not die of it."""
    try:
        with open(f"/proc/{pid}/status") as status:
            caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    except (OSError, StopIteration):
        return False
    return bool(caught >> (signal.SIGUSR1 - 1) & 1)


def main() -> None:
    tests = os.getppid()
    name, deadline, step = "", None, 0
    pending = b""
    while os.getppid() == tests:
        pause = 1.0 if deadline is None else min(1.0, max(0.0, deadline - time.monotonic()))
        if select.select([0], [], [], pause)[0]:
            read = os.read(0, 65536)
            if not read:
                return
            pending += read
            *lines, pending = pending.split(b"\n")
            for line in lines:
                seconds, _, rest = line.partition(b" ")
                name, step = rest.decode(errors="replace"), 0
                deadline = time.monotonic() + float(seconds) if float(seconds) else None
            continue
        if deadline is None or time.monotonic() < deadline:
            continue
        family = [pid for pid in descendants(tests, parents()) if pid != os.getpid()]
        print(f"\n*** watchdog, step {step + 1}: {name}", file=sys.stderr)
        print("\n".join(describe(pid) for pid in [tests, *family]), file=sys.stderr, flush=True)
        if step == 0:
            print(shared_state(tests), file=sys.stderr, flush=True)
            # The tests last: what they wait for may end with the others' interruption.
            for pid in [*filter(would_print, family), tests]:
                try:
                    os.kill(pid, signal.SIGUSR1)
                except ProcessLookupError:
                    pass
        else:
            for pid in family if step == 1 else [*family, tests]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        step += 1
        deadline = time.monotonic() + GRACE_SECONDS


if __name__ == "__main__":
    main()
