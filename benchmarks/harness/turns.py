"""Turns: both libraries one after the other, again and again, and what comes out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

from benchmarks.harness.case import Case
from benchmarks.harness.floors import Pair
from benchmarks.harness.isolate import Measurement
from benchmarks.harness.machine import BusyTime

FEWEST = 5
ENOUGH_S = 15.0
# A case that takes this long is not worth five repeats; three still have a median.
TOO_LONG_S = 35.0
FEWEST_OF_LONG = 3
FAILURES_TO_GIVE_UP = 2

Measure = Callable[[Case, str], Measurement]


@dataclass
class Outcome:
    """All repeats of one case."""

    case: Case
    rival: str
    subject: str
    turns: list[tuple[Measurement, Measurement]] = field(default_factory=list)
    seconds: float = 0.0
    others_share: float = 0.0

    @property
    def pairs(self) -> list[Pair]:
        """The repeats in which both libraries gave the right answer in time."""
        return [
            Pair(rival.value, subject.value)
            for rival, subject in self.turns
            if rival.value is not None and subject.value is not None
        ]

    @property
    def figures(self) -> list[float]:
        """What the floor is judged on, for every pair."""
        return self.case.floor.figures(self.pairs, self.case.unit.higher_is_better)

    @property
    def figure(self) -> float | None:
        """The median of the figures; None when no repeat succeeded."""
        return median(self.figures) if self.pairs else None

    @property
    def reached(self) -> bool:
        """Whether every repeat succeeded and the median reaches the floor."""
        return self.figure is not None and not self.problems and self.case.floor.is_met(self.figure)

    @property
    def problems(self) -> list[str]:
        """What went wrong, each kind once, with how often."""
        found: dict[str, int] = {}
        for turn in self.turns:
            for library, measurement in zip((self.rival, self.subject), turn, strict=True):
                if measurement.status != "ok":
                    first = measurement.message.partition("\n")[0]
                    text = f"{library} {measurement.status}: {first}"
                    found[text] = found.get(text, 0) + 1
                if measurement.left_behind:
                    text = f"{library} left {measurement.left_behind} processes behind"
                    found[text] = found.get(text, 0) + 1
        return [f"{text} ({times} of {len(self.turns)})" for text, times in found.items()]

    def medians(self) -> tuple[float | None, float | None]:
        """The median of the rival's and of the subject's own successful measurements."""
        sides = []
        for side in (0, 1):
            values = [turn[side].value for turn in self.turns]
            good = [value for value in values if value is not None]
            sides.append(median(good) if good else None)
        return sides[0], sides[1]

    def as_json(self) -> dict[str, Any]:
        """Everything about this case, for the JSON file."""
        rival, subject = self.medians()
        figures = sorted(self.figures)
        return {
            "case": self.case.identity,
            "title": self.case.title,
            "group": self.case.group,
            "unit": self.case.unit.symbol,
            "higher_is_better": self.case.unit.higher_is_better,
            "floor": self.case.floor.describe(),
            "reached": self.reached,
            "figure": self.figure,
            "figures": self.figures,
            "lowest": figures[0] if figures else None,
            "highest": figures[-1] if figures else None,
            "quartiles": quantiles(figures, n=4) if len(figures) > 1 else figures,
            self.rival + "_median": rival,
            self.subject + "_median": subject,
            "others_share": round(self.others_share, 3),
            "seconds": round(self.seconds, 1),
            "problems": self.problems,
            "turns": [{"rival": asdict(first), "subject": asdict(second)} for first, second in self.turns],
        }

    @classmethod
    def from_json(cls, case: Case, found: dict[str, Any], rival: str, subject: str) -> Outcome:
        """The outcome of ``case`` that :meth:`as_json` described."""
        turns = [(Measurement(**turn["rival"]), Measurement(**turn["subject"])) for turn in found["turns"]]
        return cls(case, rival, subject, turns, found["seconds"], found["others_share"])


def take_turns(
    case: Case,
    rival: str,
    subject: str,
    measure: Measure,
    *,
    repeats: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Measure both libraries in turns until there is enough to judge.

    ``repeats`` fixes the number; otherwise it is five to the case's own number, as time allows,
    and three where one repeat takes many seconds. Two repeats without a figure end the case.
    """
    outcome = Outcome(case, rival, subject)
    busy = BusyTime()
    started = time.monotonic()
    while not _is_enough(outcome, time.monotonic() - started, repeats):
        tell(f"{len(outcome.turns) + 1}")
        outcome.turns.append((measure(case, rival), measure(case, subject)))
        outcome.seconds = time.monotonic() - started
    outcome.others_share = busy.others_share()
    return outcome


def _is_enough(outcome: Outcome, elapsed: float, repeats: int | None) -> bool:
    done, case = len(outcome.turns), outcome.case
    if done - len(outcome.pairs) >= FAILURES_TO_GIVE_UP:
        return True
    if repeats is not None:
        return done >= repeats
    if done >= case.repeats:
        return True
    if done < min(FEWEST_OF_LONG, case.repeats):
        return False
    return elapsed > TOO_LONG_S or (done >= FEWEST and elapsed > ENOUGH_S)
