"""What a tree of processes uses: proportional memory and processor time, read from /proc."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

SAMPLE_EVERY_S = 0.005


def children(pid: int) -> list[int]:
    """The direct children of ``pid``, of whichever of its threads; none when it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    except OSError:
        pass
    return found


def tree(root: int, without: frozenset[int] = frozenset()) -> list[int]:
    """``root`` and all that descends from it, except ``without`` and what descends from those."""
    found = [root]
    for pid in found:
        found += [child for child in children(pid) if child not in without]
    return found


def proportional_memory(pid: int) -> int:
    """The PSS of ``pid`` in bytes: shared pages count once, divided among those who map them."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it ended between the listing and the reading: it holds nothing any more
    return 0


def tree_memory(root: int, without: frozenset[int] = frozenset()) -> int:
    """The sum of PSS over the tree under ``root``, in bytes."""
    return sum(proportional_memory(pid) for pid in tree(root, without))


def processor_time(pid: int) -> int:
    """Nanoseconds on a processor of all threads of ``pid`` that still live."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            schedstat = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text()
            total += int(schedstat.split()[0])
    except OSError:
        pass
    return total


class PeakMemory:
    """The highest PSS of the tree under ``root`` while the context is open, in bytes.

    A process of its own samples, so that neither the interpreter lock nor its memory disturbs
    what is measured; it leaves itself out.
    """

    def __init__(self, root: int | None = None) -> None:
        self.root = os.getpid() if root is None else root
        self.peak = 0
        self.samples = 0

    def __enter__(self) -> PeakMemory:
        self._sampler = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._sampler.stdout is not None
        self._sampler.stdout.readline()
        return self

    def __exit__(self, *exception: object) -> None:
        answer = self._sampler.communicate()[0]
        self.peak, self.samples = map(int, answer.split())


def _sample_until_closed(root: int) -> None:
    """Sample until standard input is closed, then print the peak and the number of samples."""
    without = frozenset([os.getpid()])
    print("ready", flush=True)
    peak = samples = 0
    while not select.select([0], [], [], SAMPLE_EVERY_S)[0]:
        peak = max(peak, tree_memory(root, without))
        samples += 1
    print(peak, samples)


if __name__ == "__main__":
    _sample_until_closed(int(sys.argv[1]))
