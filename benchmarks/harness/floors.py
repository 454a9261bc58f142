"""Floors: what a case has to reach, and whether it did."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Pair:
    """One repeat: what the rival and the subject measured, one right after the other."""

    rival: float
    subject: float


class Floor(ABC):
    """A demand on the pairs of a case."""

    @abstractmethod
    def figure(self, pair: Pair, higher_is_better: bool) -> float:
        """The number of one pair that the floor is about."""

    @abstractmethod
    def is_met(self, figure: float) -> bool:
        """Whether ``figure`` (the median over the pairs) reaches the floor."""

    @abstractmethod
    def show(self, figure: float) -> str:
        """``figure`` for the table."""

    @abstractmethod
    def describe(self) -> str:
        """The demand for the table."""

    def span(self, low: float, high: float) -> str:
        """The spread for the table."""
        return f"{_short(low)}..{self.show(high)}"

    def figures(self, pairs: Sequence[Pair], higher_is_better: bool) -> list[float]:
        """The figure of every pair."""
        return [self.figure(pair, higher_is_better) for pair in pairs]

    def middle(self, pairs: Sequence[Pair], higher_is_better: bool) -> float:
        """The median figure, on which the floor is judged."""
        return median(self.figures(pairs, higher_is_better))


@dataclass(frozen=True)
class Times(Floor):
    """At least ``bound`` times as good as the rival (as fast, or as cheap)."""

    bound: float

    def figure(self, pair: Pair, higher_is_better: bool) -> float:
        """Times as good: above 1 the subject wins, whatever the unit's direction."""
        if higher_is_better:
            return pair.subject / pair.rival
        return pair.rival / pair.subject

    def is_met(self, figure: float) -> bool:
        """At or above the bound."""
        return figure >= self.bound

    def show(self, figure: float) -> str:
        """``12x``, with a decimal or two where it matters."""
        return f"{_short(figure)}x"

    def describe(self) -> str:
        """``≥ 10x``."""
        return f"≥ {self.bound:g}x"


@dataclass(frozen=True)
class ShareOfRival(Floor):
    """At most ``bound`` of what the rival uses."""

    bound: float

    def figure(self, pair: Pair, higher_is_better: bool) -> float:
        """The subject's part of the rival's figure."""
        return pair.subject / pair.rival

    def is_met(self, figure: float) -> bool:
        """At or below the bound."""
        return figure <= self.bound

    def show(self, figure: float) -> str:
        """``0.65 of it``."""
        return f"{figure:.2f} of it"

    def describe(self) -> str:
        """``≤ 0.70 of it``."""
        return f"≤ {self.bound:.2f} of it"


@dataclass(frozen=True)
class AtMost(Floor):
    """At most ``bound`` in the case's own unit, whatever the rival does."""

    bound: float
    unit: str

    def figure(self, pair: Pair, higher_is_better: bool) -> float:
        """The subject's own figure."""
        return pair.subject

    def is_met(self, figure: float) -> bool:
        """At or below the bound."""
        return figure <= self.bound

    def show(self, figure: float) -> str:
        """The figure with its unit."""
        return f"{_short(figure)} {self.unit}"

    def describe(self) -> str:
        """``≤ 1.1 copies``."""
        return f"≤ {self.bound:g} {self.unit}"


@dataclass(frozen=True)
class AtLeast(Floor):
    """At least ``bound`` in the case's own unit, whatever the rival does."""

    bound: float
    unit: str

    def figure(self, pair: Pair, higher_is_better: bool) -> float:
        """The subject's own figure."""
        return pair.subject

    def is_met(self, figure: float) -> bool:
        """At or above the bound."""
        return figure >= self.bound

    def show(self, figure: float) -> str:
        """The figure with its unit."""
        return f"{_short(figure)} {self.unit}"

    def describe(self) -> str:
        """``≥ 0.5 of the speed``."""
        return f"≥ {self.bound:g} {self.unit}"


def _short(figure: float) -> str:
    """Two or three digits, as a reader compares them."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    if abs(figure) >= 10:
        return f"{figure:.1f}"
    return f"{figure:.2f}"
