"""What workers print, a line at a time."""

import io
import sys

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


class _Lines(io.BufferedIOBase):
    """The bytes below a text stream, written by the engine: whole lines, none inside another."""

    def __init__(self, writer, former):
        self._former = former
        self.write = writer.write  # type: ignore[method-assign]
        self.flush = writer.flush  # type: ignore[method-assign]

    def writable(self):
        return True

    def fileno(self):
        return self._former.fileno()

    def isatty(self):
        return self._former.isatty()

    @property
    def raw(self):
        return getattr(self._former, "raw", self._former)

    @property
    def name(self):
        return self._former.name

    @property
    def mode(self):
        return self._former.mode


def share(bench: "Any") -> None:
    """Let what this worker prints come out in whole lines, whoever else prints."""
    for stream in (sys.stdout, sys.stderr):
        # What a program has put in their place is its own affair.
        if type(stream) is io.TextIOWrapper and type(stream.buffer) in (io.BufferedWriter, io.FileIO):
            _write_lines(stream, bench)


def _write_lines(stream, bench):
    fd = stream.fileno()
    if fd not in (1, 2):
        return
    encoding, errors = stream.encoding, stream.errors
    by_line = stream.line_buffering or stream.write_through
    former = stream.detach()
    # The same object: whoever has it, a log handler for instance, goes on with it.
    stream.__init__(_Lines(bench.line_writer(fd), former), encoding, errors, "\n", by_line, True)
