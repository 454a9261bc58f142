"""The progress line: rewritten in place on a terminal, one plain line a program elsewhere."""

import shutil
import time


class Progress:
    """Tells how far the tour has come, on `stream`."""

    def __init__(self, stream, total):
        self._stream = stream
        self._total = total
        self._terminal = stream.isatty()
        self._done = 0
        self._start = time.monotonic()

    def running(self, title, label, turn):
        """A run begins; shown on a terminal only."""
        if self._terminal:
            seconds = time.monotonic() - self._start
            self._rewrite(
                f"[{self._done + 1}/{self._total}] {title}: {label}, turn {turn} ({seconds:.0f} s so far)"
            )

    def finished(self, line):
        """A program is through; `line` says how it went."""
        self._done += 1
        if not self._terminal:
            print(f"[{self._done}/{self._total}] {line}", file=self._stream, flush=True)

    def clear(self):
        """Take the line away, before something else is printed."""
        if self._terminal:
            self._rewrite("")

    def _rewrite(self, text):
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\x1b[K{text[:width]}")
        self._stream.flush()
