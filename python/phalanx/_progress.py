"""Displays of how far a call is: bars of tqdm or rich, or plain text.

The engine counts, and tells a display at most ten times a second by
`show(done, failed, total, is_last)`.
"""

import math
import sys
import time

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

# Seconds between two lines, where lines cannot be rewritten.
_BETWEEN_LINES = 10.0


def display(progress: "Any", total: "int | None") -> "Any":
    """Return the display for a `progress` argument; `None` if nothing is to be shown.

    `progress` is a flag, a description, a bar or a class of tqdm, or a `rich.progress.Progress`.
    """
    if progress is None or progress is False:
        return None
    if progress is True or isinstance(progress, str):
        description = "" if progress is True else progress
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped]
        except ImportError:
            return _Text(description, total)
        return _Bar(tqdm(total=total, desc=description or None, file=sys.stderr), True)
    if isinstance(progress, type):
        return _Bar(progress(total=total), True)
    if callable(getattr(progress, "add_task", None)):
        return _Rich(progress, total)
    if callable(getattr(progress, "update", None)) and hasattr(progress, "n"):
        if total is not None and progress.total is None:
            progress.total = total
        return _Bar(progress, False)
    raise TypeError(
        "progress must be a flag, a description, a bar of tqdm or a Progress of rich, "
        f"not {type(progress).__name__}"
    )


def length_of(iterable: "Any") -> "int | None":
    """Return how many items there are, if that can be told without reading them."""
    try:
        return len(iterable)
    except TypeError:
        return None


def paced(display: "Any") -> "Any":
    """Return a function that tells a display of a loop of this process, at most ten times a second."""
    if display is None:
        return lambda *_: None
    shown = -math.inf

    def show(done, total, is_last):
        nonlocal shown
        now = time.monotonic()
        if is_last or now - shown >= 0.1:
            shown = now
            display.show(done, 0, total, is_last)

    return show


class _Bar:
    """A bar of tqdm's. One that the user made stays open."""

    def __init__(self, bar, is_ours):
        self._bar = bar
        self._is_ours = is_ours
        self._done = 0

    def show(self, done, failed, total, is_last):
        bar = self._bar
        if total is not None and self._is_ours:
            bar.total = total
        if failed:
            bar.set_postfix_str(f"{failed} failed", refresh=False)
        bar.update(done - self._done)
        self._done = done
        if not is_last:
            return
        if self._is_ours:
            bar.close()
        else:
            bar.refresh()


class _Rich:
    """A task of a `rich.progress.Progress`."""

    def __init__(self, progress, total):
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def show(self, done, failed, total, is_last):
        description = f"{failed} failed" if failed else ""
        changes = {"completed": done, "description": description}
        if total is not None:
            changes["total"] = total
        self._progress.update(self._task, **changes)


class _Text:
    """Text on standard error: a line that is rewritten on a terminal, a few lines elsewhere."""

    def __init__(self, description, total):
        self._description = description
        self._total = total
        self._began = time.monotonic()
        self._next_line = self._began + _BETWEEN_LINES
        self._width = 0

    def show(self, done, failed, total, is_last):
        stream = sys.stderr
        if stream is None:
            return
        now = time.monotonic()
        total = self._total if total is None else total
        text = self._text(done, failed, total, max(now - self._began, 1e-9))
        if stream.isatty():
            end = "\n" if is_last else ""
            stream.write("\r" + text.ljust(self._width) + end)
            self._width = len(text)
        elif is_last or now >= self._next_line:
            self._next_line = now + _BETWEEN_LINES
            stream.write(text + "\n")
        stream.flush()

    def _text(self, done, failed, total, seconds):
        of = f"/{total} ({100 * done // total}%)" if total else ""
        rate = f"{done / seconds:.3g}/s"
        text = f"{done}{of}, {seconds:.1f} s, {rate}"
        if failed:
            text += f", {failed} failed"
        return f"{self._description}: {text}" if self._description else text
