"""The tour's progress line on a terminal, and its plain lines elsewhere."""

import importlib
import io
import sys

import pytest

from .running import EXAMPLES


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def progress_class(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("touring.progress").Progress
    for name in [name for name in sys.modules if name == "touring" or name.startswith("touring.")]:
        del sys.modules[name]


def test_a_terminal_shows_one_line_that_is_rewritten(progress_class, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    progress = progress_class(stream, 2)
    progress.running("a program with a title far too long for the line", "phalanx", 1)
    progress.finished("first: done")
    progress.running("short", "phalanx", 2)
    progress.clear()
    shown = stream.getvalue().split("\r\x1b[K")
    assert shown[0] == ""
    assert shown[1] == "[1/2] a program with a title far too long for the line"[:39]
    assert shown[2].startswith("[2/2] short: phalanx, turn 2")
    assert shown[3] == ""
    assert "\n" not in stream.getvalue()


def test_a_file_gets_one_line_a_program(progress_class):
    stream = io.StringIO()
    progress = progress_class(stream, 2)
    progress.running("first", "phalanx", 1)
    progress.finished("first: done")
    progress.finished("second: done")
    progress.clear()
    assert stream.getvalue() == "[1/2] first: done\n[2/2] second: done\n"
