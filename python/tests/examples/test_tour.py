"""The tour: on phalanx all answers are equal, and a library that errs, raises or hangs is found out."""

import importlib
import json
import sys

import pytest

from .running import EXAMPLES, run

pytest.importorskip("numpy", reason="six programs of the tour work on numpy arrays")

START_METHODS = ("fork", "spawn", "forkserver")

# Libraries that behave like the standard one except for the named fault in `Pool.map`.
FAULTY = """\
import time
from multiprocessing import *

def Pool(*args, **kwargs):
    pool = get_context().Pool(*args, **kwargs)
    plain = pool.map
    def map(function, arguments, chunksize=None):
        results = plain(function, arguments)
        if function is not abs:
            {fault}
        return results
    pool.map = map
    return pool
"""


@pytest.fixture
def programs(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("programs")
    for name in [name for name in sys.modules if name == "programs" or name.startswith("programs.")]:
        del sys.modules[name]


def tour_with_fault(tmp_path, fault, *options):
    (tmp_path / "faulty.py").write_text(FAULTY.format(fault=fault))
    return run("tour.py", "--quick", "--only", "squares_pool", "--second", "faulty", *options, path=tmp_path)


@pytest.mark.watchdog(300)
@pytest.mark.parametrize("method", START_METHODS)
def test_all_answers_are_equal(method, programs):
    done = run("tour.py", "--quick", "--start-method", method, limit=240)
    assert done.returncode == 0, done.stdout + done.stderr
    header, _, *rows = done.stdout.splitlines()
    assert header.split() == ["program", "standard", "library", "phalanx", "ratio", "answers", "equal?"]
    for row, name in zip(rows, programs.NAMES, strict=False):
        assert row.startswith(importlib.import_module(f"programs.{name}").TITLE)
        assert row.endswith("  yes")
    assert f"{len(programs.NAMES)} programs with equal answers" in done.stdout
    # One plain progress line a program, as standard error is no terminal here.
    assert f"[{len(programs.NAMES)}/{len(programs.NAMES)}]" in done.stderr


def test_default_start_method():
    done = run("tour.py", "--quick", "--only", "squares_pool", "--only", "pipe_objects")
    assert done.returncode == 0, done.stdout + done.stderr


def test_json():
    done = run("tour.py", "--quick", "--only", "squares_pool", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (program,) = json.loads(done.stdout)["programs"]
    assert program["name"] == "squares_pool"
    assert program["equal"] is True
    assert program["ratio"] > 0
    assert all(seconds > 0 for times in program["seconds"].values() for seconds in times)


def test_every_program_is_listed(programs):
    files = {path.stem for path in (EXAMPLES / "programs").glob("*.py")} - {"__init__", "transcript"}
    assert files == set(programs.NAMES)
    titles = [importlib.import_module(f"programs.{name}").TITLE for name in programs.NAMES]
    assert len(set(titles)) == len(titles)


def test_other_answer_fails(tmp_path):
    done = tour_with_fault(tmp_path, "results.reverse()")
    assert done.returncode == 1
    assert "  NO" in done.stdout
    assert "[50, 37, 26, 17, 10, 5, 2, 1]" in done.stderr


def test_exception_fails(tmp_path):
    done = tour_with_fault(tmp_path, "raise OSError('no luck')")
    assert done.returncode == 1
    assert "FAILED (phalanx: OSError: no luck)" in done.stdout
    assert "Traceback" in done.stderr


def test_hanging_program_fails_with_stacks(tmp_path):
    done = tour_with_fault(tmp_path, "time.sleep(600)", "--limit", "2")
    assert done.returncode == 1
    assert "FAILED (phalanx: OutOfTime: no answer within 2 s)" in done.stdout
    assert "faulty.py" in done.stderr


def test_processes_left_behind_fail(tmp_path):
    done = tour_with_fault(tmp_path, "Process(target=time.sleep, args=(600,)).start()")
    assert done.returncode == 1
    assert "left 1 processes behind" in done.stdout


def test_unknown_program_is_refused():
    done = run("tour.py", "--only", "no_such_program")
    assert done.returncode == 2
    assert "no_such_program" in done.stderr


def test_missing_library_says_what_to_do():
    done = run("tour.py", "--only", "squares_pool", "--second", "no_such_library")
    assert done.returncode == 1
    assert "make tour" in done.stderr
