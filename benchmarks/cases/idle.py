"""Idle: processor time that waiting costs."""

from __future__ import annotations

import os
from time import sleep
from typing import Any

from benchmarks.cases.targets import successor
from benchmarks.harness.case import PROCESSOR_MILLISECONDS, case
from benchmarks.harness.floors import AtMost
from benchmarks.harness.measure import Run, check, closing
from benchmarks.harness.proctree import processor_time, tree
from benchmarks.harness.team import Team

IDLE_S = 10
SETTLE_S = 0.5


def read_one(_count: int, queue: Any) -> Any:
    """Wait for a message."""
    return queue.get()


def take_once(_count: int, lock: Any) -> bool:
    """Wait for the lock."""
    with lock:
        return True


# One tick of the kernel's clock: the least that user and system time can show. The figure itself
# comes from the scheduler's nanoseconds.
@case(
    "pool, queue reader and lock waiter, ten idle seconds",
    unit=PROCESSOR_MILLISECONDS,
    floor=AtMost(10, "ms cpu"),
    repeats=2,
)
def pool_reader_waiter(run: Run) -> float:
    """All processes of the tree together; `extra` has each one's part."""
    queue, lock = run.mp.Queue(), run.mp.Lock()
    seconds = run.count(IDLE_S)
    with (
        closing(queue),
        run.mp.Pool(2) as pool,
        Team(run, (read_one, (queue,)), (take_once, (lock,))) as team,
    ):
        check(pool.map(successor, range(100)) == list(range(1, 101)), "wrong results")
        lock.acquire()
        team.go(1)
        sleep(SETTLE_S)

        parent = os.getpid()
        others = [pid for pid in tree(parent) if pid != parent]
        before = {pid: processor_time(pid) for pid in others}
        before[parent] = processor_time(parent)
        sleep(seconds)
        after = {parent: processor_time(parent)}
        after |= {pid: processor_time(pid) for pid in others}

        reader, waiter = team.pids
        lock.release()
        queue.put("the end")
        check(team.answers() == ["the end", True], "a waiter was not let go")

    spent = {pid: (after[pid] - before[pid]) / 1e6 for pid in after}
    run.extra["parent_ms"] = spent[parent]
    run.extra["reader_ms"] = spent[reader]
    run.extra["waiter_ms"] = spent[waiter]
    run.extra["workers_ms"] = sum(time for pid, time in spent.items() if pid not in (parent, reader, waiter))
    return sum(spent.values())
