"""What workers run: the smallest importable functions, so that importing them costs nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def nothing() -> None:
    """The target of a process that is only started and joined."""


def successor(number: int) -> int:
    """A tiny task whose answer can be verified."""
    return number + 1


def total(first: int, second: int) -> int:
    """A tiny task of two arguments."""
    return first + second


def echo(payload: bytes) -> bytes:
    """Send the argument back."""
    return payload


def array_sum(array: Any) -> float:
    """A number that depends on all of an array."""
    return float(array.sum())


class Counter:
    """The smallest class that is worth a manager."""

    def __init__(self) -> None:
        self.number = 0

    def add(self, number: int) -> int:
        """Count."""
        self.number += number
        return self.number
