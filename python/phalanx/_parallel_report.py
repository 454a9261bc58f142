"""What a call of `Parallel` tells of its progress: joblib's messages."""

import math
import sys
import time
import warnings

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


class Report:
    """The part of `Parallel` that prints and counts."""

    verbose: int
    n_tasks: "int | None"
    _results: "Any"
    _done: int
    _is_running: bool
    _start_time: float

    @property
    def n_dispatched_tasks(self) -> int:
        """How many tasks were sent."""
        return self._done if self._results is None else self._results.counts()[0]

    @property
    def n_completed_tasks(self) -> int:
        """How many tasks have ended."""
        return self._done if self._results is None else self._results.counts()[1]

    def print_progress(self) -> None:
        """Print how far the call is, as far as `verbose` asks for it. May be overridden."""
        if not self.verbose:
            return
        elapsed = time.monotonic() - self._start_time
        done = self._done
        if not self._is_running or done == self.n_tasks:
            self._print(f"Done {done:3d} out of {done:3d} | elapsed: {_short_time(elapsed)} finished")
            return
        if self.verbose <= 10 and done > 0 and not _is_worth_telling(done, self.verbose):
            return
        if self.n_tasks:
            left = elapsed / max(done, 1) * (self.n_tasks - done)
            self._print(
                f"Done {done:3d} out of {self.n_tasks:3d} | elapsed: {_short_time(elapsed)} "
                f"remaining: {_short_time(left)}"
            )
        else:
            self._print(f"Done {done:3d} tasks      | elapsed: {_short_time(elapsed)}")

    def _print(self, message):
        if self.verbose:
            stream = sys.stderr if self.verbose < 50 else sys.stdout
            stream.write(f"[{self}]: {message}\n")

    def _warn_of_waste(self):
        sent, answered = self._results.counts()
        parts = []
        if unused := answered - self._done:
            parts.append(f"{unused} tasks have been successfully executed  but not used.")
        if sent > answered:
            parts.append(
                f"{sent - answered} tasks which were still being processed by the workers have been "
                "cancelled."
            )
        if parts:
            advice = (
                "You could benefit from adjusting the input task iterator to limit unnecessary "
                "computation time."
            )
            warnings.warn(" Additionally, ".join(parts) + " " + advice, stacklevel=2)


def _is_worth_telling(done, verbose):
    """Return whether to tell of so many tasks: ever more seldom, often with a high verbosity."""
    step = 0.5 * (11 - verbose) ** 2
    return int(math.sqrt(done / step)) != int(math.sqrt((done + 1) / step))


def _short_time(seconds):
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes:4.0f}min" if minutes >= 1 else f"{seconds:5.1f}s"
