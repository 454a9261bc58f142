"""Managers: operations on their objects, from the process that started them."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.cases.targets import Counter
from benchmarks.harness.case import MICROSECONDS, MILLISECONDS, case
from benchmarks.harness.floors import Times
from benchmarks.harness.measure import Run, check

OPERATIONS = 10_000


@case("Manager().Value, get and set", unit=MICROSECONDS, floor=Times(50))
def manager_value(run: Run) -> float:
    """Write a number and read it."""
    with run.mp.Manager() as manager:
        value = manager.Value("i", 0)
        figure = run.measure_statement("value.value = 417; value.value", run.count(OPERATIONS), value=value)
        check(value.value == 417, "the value was not written")
    return figure


@case("Manager().dict, set and get", unit=MICROSECONDS, floor=Times(50), headline=True)
def manager_dict(run: Run) -> float:
    """Write a key and read it."""
    with run.mp.Manager() as manager:
        mapping = manager.dict()
        figure = run.measure_statement(
            "mapping['key'] = 417; mapping['key']", run.count(OPERATIONS), mapping=mapping
        )
        check(mapping._getvalue() == {"key": 417}, "the key was not written")
    return figure


@case("Manager().list, append", unit=MICROSECONDS, floor=Times(50))
def manager_list(run: Run) -> float:
    """Append numbers."""
    with run.mp.Manager() as manager:
        sequence = manager.list()
        operations = run.count(OPERATIONS)
        figure = run.measure_statement("sequence.append(417)", operations, sequence=sequence)
        expected = len(run.rounds) * operations + operations // 10
        check(len(sequence) == expected, f"there are {len(sequence)} items instead of {expected}")
    return figure


@case("Manager().Lock, acquire and release", unit=MICROSECONDS, floor=Times(50))
def manager_lock(run: Run) -> float:
    """Acquire and release by the with statement."""
    with run.mp.Manager() as manager:
        lock = manager.Lock()
        figure = run.measure_statement("with lock: pass", run.count(OPERATIONS), lock=lock)
        check(lock.acquire(), "the lock was left taken")
        lock.release()
    return figure


@case("Manager().Queue, put and get", unit=MICROSECONDS, floor=Times(50))
def manager_queue(run: Run) -> float:
    """Put a number and take it."""
    with run.mp.Manager() as manager:
        queue = manager.Queue()
        figure = run.measure_statement("queue.put(417); queue.get()", run.count(OPERATIONS), queue=queue)
        check(queue.empty(), "something was left in the queue")
    return figure


def own_manager(run: Run) -> Any:
    """A manager with a class of its own."""
    managers = importlib.import_module(f"{run.mp.__name__}.managers")
    kind = type("OwnManager", (managers.BaseManager,), {})
    kind.register("Counter", Counter)
    return kind(ctx=run.mp.get_context("fork"))


@case("a registered class's method", unit=MICROSECONDS, floor=Times(2.5))
def registered_method(run: Run) -> float:
    """Count in the server."""
    with own_manager(run) as manager:
        counter = manager.Counter()
        operations = run.count(OPERATIONS)
        figure = run.measure_statement("counter.add(1)", operations, counter=counter)
        expected = len(run.rounds) * operations + operations // 10
        check(counter.add(0) == expected, "the counter miscounted")
    return figure


@case("Manager start and shutdown, fork", unit=MILLISECONDS, floor=Times(1.5))
def manager_start(run: Run) -> float:
    """Start a manager, make a value and shut the manager down."""
    context = run.mp.get_context("fork")

    def round_of(count: int) -> None:
        for number in range(count):
            with context.Manager() as manager:
                check(manager.Value("i", number).value == number, "wrong value")

    return run.measure(round_of, run.count(30), warm=2)
