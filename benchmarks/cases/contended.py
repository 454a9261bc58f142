"""Locks, events, conditions and barriers between processes.

The children are forked, so that what the answers are checked with (a number in an anonymous
shared mapping, the same for every library) is inherited.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

from benchmarks.harness.case import MICROSECONDS, NANOSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check
from benchmarks.harness.team import Team

PROCESSES = 4
LOCKED = 200_000
ROUND_TRIPS = 5_000
MEETINGS = 4_000


def shared_number() -> ctypes.c_long:
    """A number in memory that forked children share, without any library's help."""
    return ctypes.c_long.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))


def count_under_lock(count: int, lock: Any, number: ctypes.c_long) -> None:
    """Add one under the lock, again and again."""
    for _ in range(count // PROCESSES):
        with lock:
            number.value += 1


@case("lock contended by 4 processes", unit=NANOSECONDS, floor=Times(2), headline=True)
def lock(run: Run) -> float:
    """Time per locked addition, all processes together."""
    taken, number = run.mp.Lock(), shared_number()
    with Team(run, *[(count_under_lock, (taken, number))] * PROCESSES) as team:

        def round_of(count: int) -> None:
            number.value = 0
            team.go(count)
            team.answers()

        def verify(_: None, count: int) -> None:
            check(number.value == count, f"counted to {number.value} instead of {count}")

        return run.measure(round_of, run.count(LOCKED), verify=verify)


def answer_event(count: int, ping: Any, pong: Any, number: ctypes.c_long) -> None:
    """Wait for the ping, set the pong."""
    for _ in range(count):
        ping.wait()
        ping.clear()
        number.value += 1
        pong.set()


@case("Event ping-pong", unit=MICROSECONDS, floor=Times(2))
def event(run: Run) -> float:
    """There and back over two events."""
    ping, pong, number = run.mp.Event(), run.mp.Event(), shared_number()
    with Team(run, (answer_event, (ping, pong, number))) as team:

        def round_of(count: int) -> None:
            number.value = 0
            team.go(count)
            for _ in range(count):
                ping.set()
                pong.wait()
                pong.clear()
            team.answers()

        def verify(_: None, count: int) -> None:
            check(number.value == count, f"{number.value} pings arrived instead of {count}")

        return run.measure(round_of, run.count(ROUND_TRIPS), verify=verify)


def take_turns(count: int, condition: Any, number: ctypes.c_long, parity: int) -> None:
    """Raise the number when its parity is ours, and tell the other."""
    for _ in range(count):
        with condition:
            while number.value % 2 != parity:
                condition.wait()
            number.value += 1
            condition.notify()


@case("Condition ping-pong", unit=MICROSECONDS, floor=Times(2))
def condition(run: Run) -> float:
    """There and back over one condition; one operation is both turns."""
    turns, number = run.mp.Condition(), shared_number()
    with Team(run, (take_turns, (turns, number, 1))) as team:

        def round_of(count: int) -> None:
            number.value = 0
            team.go(count)
            take_turns(count, turns, number, 0)
            team.answers()

        def verify(_: None, count: int) -> None:
            check(number.value == 2 * count, f"{number.value} turns instead of {2 * count}")

        return run.measure(round_of, run.count(ROUND_TRIPS), verify=verify)


def meet(count: int, barrier: Any) -> int:
    """Wait at the barrier; how often this process was the one with index 0."""
    return sum(barrier.wait() == 0 for _ in range(count))


@case("Barrier of 4", unit=MICROSECONDS, floor=Times(2))
def barrier(run: Run) -> float:
    """Time per meeting of the parent and three children."""
    place = run.mp.Barrier(PROCESSES)
    with Team(run, *[(meet, (place,))] * (PROCESSES - 1)) as team:

        def round_of(count: int) -> int:
            team.go(count)
            return meet(count, place) + sum(team.answers())

        def verify(firsts: int, count: int) -> None:
            check(firsts == count, f"index 0 was given {firsts} times in {count} meetings")

        return run.measure(round_of, run.count(MEETINGS), verify=verify)
