"""One program on two libraries, in turns: how long each run took, and whether all of them gave the same answer."""

import dataclasses
import gc
import importlib
import statistics
import time
import traceback

from touring import rivals
from touring.watchdog import watchdog


@dataclasses.dataclass
class Outcome:
    """What became of one program; `seconds` holds the times of each library's runs, by the library's label."""

    name: str
    title: str
    seconds: dict[str, list[float]]
    equal: bool = True
    error: str | None = None
    details: str | None = None

    @property
    def good(self):
        return self.equal and self.error is None

    def median(self, label):
        """The median time of a library's runs in seconds; None if it has none."""
        times = self.seconds[label]
        return statistics.median(times) if times else None

    def ratio(self, first, second):
        """How many times faster the second library was; None for a program that failed."""
        if not self.good or not self.seconds[first] or not self.seconds[second]:
            return None
        return self.median(first) / self.median(second)


class _Failure(Exception):
    pass


def enough(turns, spent, quick):
    """Whether to stop: short programs get up to fifteen turns, long ones two or three."""
    if quick:
        return turns >= 1
    if turns < 3:
        return turns >= 2 and spent > 5.0
    return turns >= 15 or spent > 1.5


def measure(name, libraries, scale, limit, quick, on_turn):
    """Run the program called `name` on each of `libraries` (label to module) in turns, and return the `Outcome`.

    `limit` is the watchdog's time in seconds for each run; `on_turn(title, label, turn)` is called before each.
    """
    module = importlib.import_module(f"programs.{name}")
    outcome = Outcome(name, module.TITLE, {label: [] for label in libraries})
    labels = list(libraries)
    answers = []
    try:
        inputs = getattr(module, "inputs", None)
        if inputs is not None:
            inputs(scale)
        turn, spent = 0, 0.0
        while not enough(turn, spent, quick):
            # Who goes first changes from turn to turn, so that neither library always finds the caches warm.
            for label in labels if turn % 2 == 0 else reversed(labels):
                on_turn(module.TITLE, label, turn + 1)
                seconds, answer = _run(module, label, libraries[label], scale, limit, outcome)
                outcome.seconds[label].append(seconds)
                spent += seconds
                answers.append((label, answer))
            turn += 1
        if inputs is not None:
            inputs.cache_clear()
    except _Failure:
        return outcome
    _compare(outcome, answers)
    return outcome


def _run(module, label, mp, scale, limit, outcome):
    gc.collect()
    try:
        with watchdog(limit, mp):
            start = time.perf_counter()
            answer = module.program(mp, scale)
            seconds = time.perf_counter() - start
            rivals.let_go()
            left = mp.active_children()
    except Exception as error:
        outcome.error = f"{label}: {type(error).__name__}: {_first_line(error)}"
        outcome.details = traceback.format_exc()
        raise _Failure from error
    if left:
        outcome.error = f"{label}: left {len(left)} processes behind"
        outcome.details = f"still there: {left!r}"
        for process in left:
            process.kill()
        raise _Failure
    return seconds, answer


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def _compare(outcome, answers):
    first_label, expected = answers[0]
    for label, answer in answers[1:]:
        if answer != expected:
            outcome.equal = False
            outcome.details = f"{first_label} answered\n  {expected!r}\n{label} answered\n  {answer!r}"
            return
