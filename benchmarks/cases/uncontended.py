"""Locks and values that nobody else uses: one statement in a loop."""

from __future__ import annotations

from benchmarks.harness.case import NANOSECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

OPERATIONS = 200_000


@case("with lock: pass", unit=NANOSECONDS, floor=Times(2))
def with_lock(run: Run) -> float:
    """Acquire and release by the with statement."""
    lock = run.mp.Lock()
    figure = run.measure_statement("with lock: pass", run.count(OPERATIONS), lock=lock)
    check(lock.acquire(timeout=5), "the lock was left taken")
    lock.release()
    return figure


@case("value.value, read", unit=NANOSECONDS, floor=Times(3))
def value_get(run: Run) -> float:
    """Read a synchronized int."""
    value = run.mp.Value("i", 417)
    figure = run.measure_statement("value.value", run.count(OPERATIONS), value=value)
    check(value.value == 417, "the value changed")
    return figure


@case("value.value = n, write", unit=NANOSECONDS, floor=Times(3))
def value_set(run: Run) -> float:
    """Write a synchronized int."""
    value = run.mp.Value("i", 0)
    figure = run.measure_statement("value.value = 417", run.count(OPERATIONS), value=value)
    check(value.value == 417, "the value was not written")
    return figure


@case("with value.get_lock(): value.value += 1", unit=NANOSECONDS, floor=Times(2))
def value_add_under_lock(run: Run) -> float:
    """The documentation's way to count."""
    value = run.mp.Value("q", 0)
    operations = run.count(OPERATIONS) // 2
    figure = run.measure_statement("with value.get_lock(): value.value += 1", operations, value=value)
    counted = len(run.rounds) * operations + operations // 10
    check(value.value == counted, f"counted to {value.value} instead of {counted}")
    return figure
