"""The watcher of a test run: a process of its own, so that a stuck test cannot stop it.

It reads lines from its standard input: ``SECONDS NAME`` starts the clock of a test and a line that
starts with ``0`` stops it. A process is used, not a thread, because a second thread in the test
process would change what ``fork`` does there (and draws a warning from Python 3.12 on).

When the clock runs out it goes three steps, each only if the one before did not help:
SIGUSR1 (the test process prints its stacks and raises in its main thread), SIGKILL to every
descendant of the test process, SIGKILL to the test process itself.
"""

from __future__ import annotations

import os
import select
import signal
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
            os.kill(tests, signal.SIGUSR1)
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
