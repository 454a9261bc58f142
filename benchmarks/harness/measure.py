"""One library's side of one repeat: warm up, time, verify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns
from types import ModuleType
from typing import Any

from benchmarks.harness.case import Unit

NANOSECONDS_PER_SECOND = 1_000_000_000
# Enough rounds for a median without letting a slow library take minutes: stop at either.
ROUNDS = 15
ROUNDS_BUDGET_NS = 500_000_000
UNROLLED = 10


class WrongAnswer(AssertionError):
    """A library returned something else than the right result: its time counts for nothing."""


def check(holds: bool, what: str) -> None:
    """Fail the measurement with :class:`WrongAnswer` unless ``holds``."""
    if not holds:
        raise WrongAnswer(what)


class Run:
    """What a case receives: the library under measurement, the sizes, and a stopwatch.

    The same code runs for every library; ``mp`` is the only thing that differs. ``extra`` holds
    further numbers that the case wants in the JSON.
    """

    def __init__(self, mp: ModuleType, unit: Unit, *, quick: bool = False) -> None:
        self.mp = mp
        self.unit = unit
        self.quick = quick
        self.rounds: list[float] = []
        self.extra: dict[str, float] = {}

    @property
    def fork(self) -> Any:
        """The library's fork context, for cases whose children inherit unpicklable things."""
        return self.mp.get_context("fork")

    def count(self, full: int) -> int:
        """``full``, or a tenth of it in a quick run."""
        return max(1, full // 10) if self.quick else full

    def measure(
        self,
        action: Callable[[int], Any],
        operations: int,
        *,
        verify: Callable[[Any, int], None] | None = None,
        warm: int | None = None,
    ) -> float:
        """The median figure of several rounds of ``action(operations)``, in the case's unit.

        ``action`` performs that many operations. Its answer goes to ``verify`` outside of the
        measured time. One round of ``warm`` operations (a tenth by default) goes first.
        """
        warm = max(1, operations // 10) if warm is None else warm
        if warm:
            answer = action(warm)
            if verify is not None:
                verify(answer, warm)
            # Kept, it would lie where the first round's answer could.
            del answer
        spent = 0
        while len(self.rounds) < ROUNDS and (not self.rounds or spent < ROUNDS_BUDGET_NS):
            started = perf_counter_ns()
            answer = action(operations)
            took = perf_counter_ns() - started
            if verify is not None:
                verify(answer, operations)
            del answer
            spent += took
            self.rounds.append(self.unit.of(took / operations / NANOSECONDS_PER_SECOND))
        return median(self.rounds)

    def measure_statement(self, statement: str, operations: int, **names: Any) -> float:
        """The median figure of one ``statement`` over ``names``, which become local variables.

        The statement is written out ten times in the loop's body, so that the loop itself costs
        about a nanosecond per operation.
        """
        body = "\n".join(f"        {statement}" for _ in range(UNROLLED))
        source = f"def action(_laps, {', '.join(names)}):\n    for _ in range(_laps):\n{body}\n"
        scope: dict[str, Any] = {}
        exec(compile(source, f"<{statement}>", "exec"), scope)
        unrolled = scope["action"]
        laps = max(1, operations // UNROLLED)
        return self.measure(lambda n: unrolled(max(1, n // UNROLLED), **names), laps * UNROLLED)


@contextmanager
def closing(*queues: Any) -> Iterator[None]:
    """Close the given queues or connections at the end, if they can be closed."""
    try:
        yield
    finally:
        for queue in queues:
            close = getattr(queue, "close", None)
            if close is not None:
                close()
