"""What a case is: a measured function with a unit, a floor and a place in the table."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness.floors import Floor

if TYPE_CHECKING:
    from benchmarks.harness.measure import Run


@dataclass(frozen=True)
class Unit:
    """How one measured figure is scaled, shown and compared.

    ``scale`` turns seconds per operation into the unit; ``inverse`` is for rates, which are
    operations per second times ``scale``. Figures that are not times are declared in the unit
    they are shown in, with a scale of 1.
    """

    symbol: str
    scale: float = 1.0
    inverse: bool = False
    higher_is_better: bool = False

    def of(self, seconds_per_operation: float) -> float:
        """The figure for a time per operation."""
        if self.inverse:
            return self.scale / seconds_per_operation
        return seconds_per_operation * self.scale


THOUSANDS_PER_SECOND = Unit("k/s", 1e-3, inverse=True, higher_is_better=True)
NANOSECONDS = Unit("ns", 1e9)
MICROSECONDS = Unit("µs", 1e6)
MILLISECONDS = Unit("ms", 1e3)
SECONDS = Unit("s", 1.0)
MEBIBYTES = Unit("MiB")
COPIES = Unit("copies")
PROCESSOR_MILLISECONDS = Unit("ms cpu")
SHARE = Unit("of the speed", higher_is_better=True)


@dataclass(frozen=True)
class Case:
    """One row of the table.

    ``function`` receives a :class:`~benchmarks.harness.measure.Run` and returns its figure in
    ``unit``. ``seconds`` bounds one measurement of one library: a run that takes longer is
    recorded as hung. ``repeats`` bounds how often the pair is repeated when time allows. A
    ``headline`` is one of the few rows that stand in the README.
    """

    identity: str
    title: str
    group: str
    unit: Unit
    floor: Floor
    function: Callable[[Run], float]
    seconds: float
    repeats: int
    headline: bool = False


def case(
    title: str,
    *,
    unit: Unit,
    floor: Floor,
    seconds: float = 60.0,
    repeats: int = 7,
    headline: bool = False,
) -> Callable[[Callable[[Run], float]], Case]:
    """Declare the decorated function as a case.

    Its identity is ``module.function`` and its group the first line of the module's docstring.
    """

    def declare(function: Callable[[Run], float]) -> Case:
        module = importlib.import_module(function.__module__)
        summary = (module.__doc__ or "").strip().splitlines()[0].rstrip(".")
        return Case(
            identity=f"{function.__module__.rpartition('.')[2]}.{function.__name__}",
            title=title,
            group=summary,
            unit=unit,
            floor=floor,
            function=function,
            seconds=seconds,
            repeats=repeats,
            headline=headline,
        )

    return declare


# The table's order; a module that is missing here would silently not run, so `discover` checks.
MODULES = (
    "queues",
    "connections",
    "pingpong",
    "payloads",
    "tasks_one_by_one",
    "tasks_in_bulk",
    "executors",
    "scripts",
    "parallel",
    "arrays",
    "cache",
    "uncontended",
    "managers",
    "contended",
    "start",
    "primes",
    "imports",
    "memory",
    "endings",
    "idle",
    "crowd",
)
NOT_CASES = {"targets"}


def load(identity: str) -> Case:
    """The case called ``module.function``; imports that module only."""
    module_name, _, function = identity.partition(".")
    module = importlib.import_module(f"benchmarks.cases.{module_name}")
    found = getattr(module, function)
    if not isinstance(found, Case):
        raise TypeError(f"{identity} is not a case: decorate it with @case")
    return found


def discover() -> list[Case]:
    """Every case, in the order of the table."""
    package = importlib.import_module("benchmarks.cases")
    present = {name for _, name, _ in pkgutil.iter_modules(package.__path__)} - NOT_CASES
    if present != set(MODULES):
        odd = ", ".join(sorted(present.symmetric_difference(MODULES)))
        raise LookupError(f"modules of cases and the table's order differ: {odd}")
    cases: list[Case] = []
    for name in MODULES:
        module = importlib.import_module(f"benchmarks.cases.{name}")
        cases += [found for found in vars(module).values() if isinstance(found, Case)]
    return cases


def select(cases: Iterable[Case], patterns: list[str]) -> list[Case]:
    """The cases whose identity contains one of ``patterns``; all of them without a pattern."""
    chosen = [c for c in cases if not patterns or any(p in c.identity for p in patterns)]
    if not chosen:
        raise LookupError(f"no case matches {', '.join(patterns)}: see --list")
    return chosen
