"""Displays of how far a call is."""

from __future__ import annotations

import io
import itertools
import sys
import time
from typing import ClassVar

import phalanx as mp
import pytest
import rich.console
import rich.progress
import tasks_targets as targets
import tqdm.auto as tqdm_auto
from phalanx import _progress
from tqdm import tqdm

pytestmark = pytest.mark.phalanx_only


class Recorder:
    """Takes the place of the display that a call would make."""

    def __init__(self, monkeypatch):
        self.told = []
        self.asked = []
        monkeypatch.setattr(_progress, "display", self.display)

    def display(self, progress, total):
        self.asked.append((progress, total))
        return self

    def show(self, done, failed, total, is_last):
        self.told.append((done, failed, total, is_last, time.monotonic()))


@pytest.fixture
def recorder(monkeypatch):
    return Recorder(monkeypatch)


CALLS = {
    "map": lambda pool, f, items, **more: pool.map(f, items, 1, **more),
    "starmap": lambda pool, f, items, **more: pool.starmap(f, [(i,) for i in items], 1, **more),
    "imap": lambda pool, f, items, **more: list(pool.imap(f, items, **more)),
    "imap_unordered": lambda pool, f, items, **more: list(pool.imap_unordered(f, items, **more)),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_a_pool_tells_how_far_it_is(recorder, call):
    with mp.Pool(2) as pool:
        CALLS[call](pool, lambda i: time.sleep(0.02), range(40), progress="label")
        assert recorder.asked == [("label", 40)]
        check(recorder, 40)
        # Without it nothing is told.
        CALLS[call](pool, abs, range(40))
        assert len(recorder.asked) == 1


def test_an_executors_map_tells_how_far_it_is(recorder):
    with mp.ProcessPoolExecutor(2) as executor:
        assert len(list(executor.map(lambda i: time.sleep(0.02), range(40), progress=True))) == 40
    assert recorder.asked == [(True, 40)]
    check(recorder, 40)


WITH_OPTIONS = {
    "map": lambda pool, f, items: pool.map(f, items, progress="label"),
    "starmap": lambda pool, f, items: pool.starmap(f, [(i,) for i in items], progress="label"),
    "imap": lambda pool, f, items: list(pool.imap(f, items, progress="label")),
    "imap_unordered": lambda pool, f, items: list(pool.imap_unordered(f, items, progress="label")),
}


@pytest.mark.parametrize("call", WITH_OPTIONS)
def test_a_call_with_options_tells_how_far_it_is(recorder, call):
    with mp.Pool(2) as pool:
        WITH_OPTIONS[call](pool.options(retries=1), lambda i: time.sleep(0.02), range(40))
    assert recorder.asked == [("label", 40)]
    check(recorder, 40)


def test_an_executors_map_with_options_tells_how_far_it_is(recorder):
    with mp.ProcessPoolExecutor(2) as executor:
        calls = executor.options(retries=1).map(lambda i: time.sleep(0.02), range(40), progress=True)
        assert len(list(calls)) == 40
    assert recorder.asked == [(True, 40)]
    check(recorder, 40)


def test_failures_with_options_are_counted(recorder):
    def odd_ones_fail(number):
        if number % 2:
            raise ValueError(number)

    with mp.Pool(2) as pool, pytest.raises(ValueError):
        pool.options(retries=1).map(odd_ones_fail, range(10), progress=True)
    assert recorder.told[-1][:4] == (10, 5, 10, True)


@pytest.mark.parametrize("call", CALLS)
def test_a_pool_of_threads_tells_how_far_it_is(recorder, call):
    with mp.pool.ThreadPool(2) as pool:
        CALLS[call](pool, lambda i: time.sleep(0.02), range(40), progress="label")
    assert recorder.asked == [("label", 40)]
    check(recorder, 40)


def check(recorder, total):
    counts = [told[0] for told in recorder.told]
    assert counts == sorted(counts)
    assert len(counts) > 2
    assert recorder.told[-1][:4] == (total, 0, total, True)
    assert not any(told[3] for told in recorder.told[:-1])
    times = [told[4] for told in recorder.told[:-1]]
    # At most ten times a second: the clock of the engine and that of the test differ by less than that.
    assert all(later - sooner > 0.05 for sooner, later in itertools.pairwise(times))


def test_failures_are_counted(recorder):
    with mp.Pool(2) as pool:
        results = pool.imap(targets.fail_at_odd, range(10), progress=True)
        seen = 0
        while True:
            try:
                next(results)
            except ValueError:
                seen += 1
            except StopIteration:
                break
    assert seen == 5
    assert recorder.told[-1][:4] == (10, 5, 10, True)


def test_the_length_of_an_iterator_is_known_at_the_end(recorder):
    with mp.Pool(2) as pool:
        assert len(list(pool.imap(abs, iter(range(30)), progress=True))) == 30
    assert recorder.asked == [(True, None)]
    assert recorder.told[-1][:4] == (30, 0, 30, True)


def test_a_display_that_fails_costs_no_result(monkeypatch, recorder):
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_value))
    monkeypatch.setattr(recorder, "show", lambda *args: 1 / 0, raising=False)
    seen: list[BaseException] = []
    with mp.Pool(1) as pool:
        assert pool.map(abs, range(10), progress=True) == list(range(10))
    assert [type(error) for error in seen] == [ZeroDivisionError]


def test_a_bar_of_tqdm_is_used(capsys):
    with mp.Pool(2) as pool:
        pool.map(abs, range(100), progress="numbers")
        assert "numbers: 100%" in capsys.readouterr().err
        pool.map(abs, range(100), progress=tqdm)
        assert "100/100" in capsys.readouterr().err
        stream = io.StringIO()
        bar = tqdm(desc="mine", file=stream)
        list(pool.imap(abs, range(50), progress=bar))
        list(pool.imap(abs, range(50), progress=bar))
        assert (bar.n, bar.total, bar.disable) == (100, 50, False)
        bar.close()
        assert "mine" in stream.getvalue()


def test_a_progress_of_rich_is_used():
    screen = rich.console.Console(file=io.StringIO(), force_terminal=True, width=80)
    with rich.progress.Progress(console=screen) as progress, mp.Pool(2) as pool:
        pool.map(abs, range(100), progress=progress)
        with pytest.raises(ValueError, match=r"1|3"):
            pool.map(targets.fail_at_odd, range(4), chunksize=1, progress=progress)
    first, second = progress.tasks
    assert (first.completed, first.total, first.description) == (100, 100, "")
    assert (second.completed, second.total, second.description) == (4, 4, "2 failed")
    assert "100%" in screen.file.getvalue()


def test_the_bar_is_the_one_of_the_surroundings(monkeypatch):
    class Bar(tqdm):
        """In a notebook `tqdm.auto` has that of notebooks."""

        made: ClassVar[list[Bar]] = []

        def __init__(self, *args, **kwargs):
            kwargs["file"] = io.StringIO()
            super().__init__(*args, **kwargs)
            self.made.append(self)

    monkeypatch.setattr(tqdm_auto, "tqdm", Bar)
    with mp.Pool(2) as pool:
        pool.map(abs, range(100), progress="numbers")
    [bar] = Bar.made
    assert (bar.n, bar.total, bar.desc, bar.disable) == (100, 100, "numbers", True)


def test_without_tqdm_there_is_plain_text(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with mp.Pool(2) as pool:
        pool.map(abs, range(100), progress="numbers")
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("numbers: 100/100 (100%), ")
        with pytest.raises(ValueError, match=r"1|3"):
            pool.map(targets.fail_at_odd, range(4), chunksize=1, progress=True)
        assert "2 failed" in capsys.readouterr().err


def test_a_terminals_line_is_written_over(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    text = _progress._Text("", 10)
    text.show(3, 0, None, False)
    text.show(10, 1, 10, True)
    written = sys.stderr.getvalue()
    assert written.count("\r") == 2
    assert written.count("\n") == 1
    assert "3/10 (30%)" in written
    assert "1 failed" in written


def test_what_is_no_display_is_refused():
    with mp.Pool(1) as pool, pytest.raises(TypeError, match="progress must be"):
        pool.map(abs, [1], progress=3.5)
