"""The harness judges, isolates and reports as it says; times are never asserted."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import report
from benchmarks.harness.bytecode import compile_package
from benchmarks.harness.case import NANOSECONDS, THOUSANDS_PER_SECOND, Case, discover, load, select
from benchmarks.harness.floors import AtLeast, AtMost, Pair, ShareOfRival, Times
from benchmarks.harness.isolate import Measurement, adopt_orphans, measure
from benchmarks.harness.proctree import children
from benchmarks.harness.turns import Outcome, take_turns

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = "benchmarks.tests.libraries"
MACHINE = {"python": "CPython 3", "cores": 2, "processor": "some processor", "kernel": "Linux 6"}


def a_case(**changes: Any) -> Case:
    return dataclasses.replace(load("uncontended.value_get"), **changes)


def ok(value: float) -> Measurement:
    return Measurement("ok", value)


def outcome_of(*pairs: tuple[float, float], **changes: Any) -> Outcome:
    turns = [(ok(rival), ok(subject)) for rival, subject in pairs]
    return Outcome(a_case(**changes), "multiprocessing", "phalanx", turns)


def test_every_case_is_found_once_and_by_name() -> None:
    cases = discover()
    assert len({case.identity for case in cases}) == len(cases) > 40
    assert all(load(case.identity) is case for case in cases)


def test_selection_is_by_part_of_the_name() -> None:
    chosen = [case.identity for case in select(discover(), ["value_", "crowd"])]
    assert "uncontended.value_get" in chosen
    assert "crowd.imap" in chosen
    assert "uncontended.with_lock" not in chosen
    with pytest.raises(LookupError, match="no_such_case"):
        select(discover(), ["no_such_case"])


def test_units_turn_seconds_into_figures() -> None:
    assert NANOSECONDS.of(2e-9) == pytest.approx(2)
    assert THOUSANDS_PER_SECOND.of(1e-5) == pytest.approx(100)


@pytest.mark.parametrize(
    ("floor", "higher_is_better", "pair", "figure", "met"),
    [
        (Times(10), False, Pair(rival=50, subject=5), 10, True),
        (Times(10), False, Pair(rival=49, subject=5), 9.8, False),
        (Times(10), True, Pair(rival=5, subject=50), 10, True),
        (Times(10), True, Pair(rival=50, subject=5), 0.1, False),
        (ShareOfRival(0.7), False, Pair(rival=100, subject=70), 0.7, True),
        (ShareOfRival(0.7), False, Pair(rival=100, subject=71), 0.71, False),
        (AtMost(1.1, "copies"), False, Pair(rival=4, subject=1.1), 1.1, True),
        (AtMost(1.1, "copies"), False, Pair(rival=4, subject=1.2), 1.2, False),
        (AtLeast(0.5, "of the speed"), True, Pair(rival=0.1, subject=0.5), 0.5, True),
        (AtLeast(0.5, "of the speed"), True, Pair(rival=0.1, subject=0.4), 0.4, False),
    ],
)
def test_a_floor_judges_one_pair(
    floor: Times, higher_is_better: bool, pair: Pair, figure: float, met: bool
) -> None:
    assert floor.figure(pair, higher_is_better) == pytest.approx(figure)
    assert floor.is_met(floor.figure(pair, higher_is_better)) is met


def test_the_median_of_the_pairs_decides() -> None:
    outcome = outcome_of((30, 10), (90, 10), (20, 10), floor=Times(3))
    assert outcome.figure == 3
    assert outcome.reached
    assert outcome.medians() == (30, 10)


def test_a_failed_repeat_is_shown_and_not_counted_as_reached() -> None:
    outcome = outcome_of((90, 10), floor=Times(3))
    outcome.turns.append((ok(90), Measurement("hung", message="still running\nstacks")))
    assert outcome.figure == 9
    assert not outcome.reached
    assert outcome.problems == ["phalanx hung: still running (1 of 2)"]


def test_repeats_go_in_turns_and_end() -> None:
    order: list[str] = []

    def note(case: Case, library: str) -> Measurement:
        order.append(library)
        return ok(1.0)

    outcome = take_turns(a_case(repeats=4), "a", "b", note)
    assert order == ["a", "b"] * 4
    assert len(outcome.pairs) == 4
    assert len(take_turns(a_case(), "a", "b", note, repeats=2).turns) == 2


def test_a_case_that_keeps_failing_is_given_up() -> None:
    def fail(case: Case, library: str) -> Measurement:
        return Measurement("failed", message="it broke")

    outcome = take_turns(a_case(), "a", "b", fail)
    assert len(outcome.turns) == 2
    assert outcome.figure is None
    assert not outcome.reached
    assert "NO" in report.terminal([outcome])


def test_one_case_measured_in_an_interpreter_of_its_own() -> None:
    found = measure(a_case(), "multiprocessing", quick=True)
    assert (found.status, found.left_behind) == ("ok", 0), found.message
    assert found.value is not None
    assert found.value > 0
    assert found.value in found.rounds


@pytest.fixture
def orphanage() -> None:
    adopt_orphans()


@pytest.mark.usefixtures("orphanage")
def test_a_hang_is_recorded_with_its_stacks_and_nothing_survives() -> None:
    case = dataclasses.replace(load("uncontended.with_lock"), seconds=4.0)
    found = measure(case, f"{LIBRARIES}.hanging", quick=True)
    assert found.status == "hung"
    assert found.value is None
    assert "hanging.py" in found.message
    assert children(os.getpid()) == []


@pytest.mark.usefixtures("orphanage")
def test_what_is_left_behind_is_counted_and_killed() -> None:
    found = measure(a_case(), f"{LIBRARIES}.leaving", quick=True)
    assert found.status == "ok", found.message
    assert found.left_behind == 1
    assert children(os.getpid()) == []


def test_a_wrong_answer_is_a_failure() -> None:
    found = measure(a_case(), f"{LIBRARIES}.wrong", quick=True)
    assert found.status == "failed"
    assert found.message.startswith("WrongAnswer: the value changed")


def test_packages_are_compiled_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "freshly_written"
    (package / "inner").mkdir(parents=True)
    for source in (package / "__init__.py", package / "inner" / "__init__.py"):
        source.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    compile_package("freshly_written")
    compiled = {path.parent.parent.name for path in package.rglob("*.pyc")}
    assert compiled == {"freshly_written", "inner"}


def test_a_crash_is_a_failure() -> None:
    found = measure(a_case(), f"{LIBRARIES}.dying", quick=True)
    assert found.status == "failed"
    assert found.message.startswith("ended with status -11")


def test_a_page_is_filled_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    table = report.markdown([outcome_of((30, 10), floor=Times(3))], MACHINE)
    report.fill(page, table)
    report.fill(page, table)
    filled = page.read_text()
    assert filled.startswith(f"before\n{report.BEGIN}\n")
    assert filled.endswith(f"{report.END}\nafter\n")
    assert filled.count("| value.value, read |") == 1
    assert "old" not in filled
    assert "1 of 1 floors reached" in filled

    page.write_text("no marks")
    with pytest.raises(ValueError, match="no place for the table"):
        report.fill(page, table)


def test_headlines_are_chosen_rows_and_the_tally_of_all() -> None:
    plain = outcome_of((30, 10), floor=Times(4), title="an ordinary row")
    chosen = outcome_of((30, 10), floor=Times(3), title="a telling row", headline=True)
    text = report.headlines([plain, chosen], MACHINE)
    assert "| a telling row |" in text
    assert "an ordinary row" not in text
    assert "1 of 2 floors reached" in text


@pytest.mark.parametrize("strict", [False, True])
def test_the_command_measures_reports_and_exits(tmp_path: Path, strict: bool) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", "--repeats", "1"]
    command += ["--only", "uncontended.value_get", "--subject", "multiprocessing"]
    command += ["--json", str(tmp_path / "all.json"), "--markdown", str(tmp_path / "table.md")]
    ended = subprocess.run(command + ["--strict"] * strict, capture_output=True, text=True, timeout=50)
    # The library against itself is not three times as fast.
    assert ended.returncode == (1 if strict else 0), ended.stderr
    assert "value.value, read" in ended.stdout
    assert "0 of 1 floors reached" in ended.stdout
    assert "| value.value, read" in (tmp_path / "table.md").read_text()
    written = json.loads((tmp_path / "all.json").read_text())
    assert [case["case"] for case in written["cases"]] == ["uncontended.value_get"]
    assert len(written["cases"][0]["turns"]) == 1
    assert written["machine"]["cores"] >= 1


def test_disturbed_rows_are_measured_again_and_the_others_kept(tmp_path: Path) -> None:
    figures = tmp_path / "all.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", "--repeats", "1"]
    command += ["--subject", "multiprocessing", "--json", str(figures)]
    names = ["uncontended.value_get", "uncontended.value_set"]
    first = [*command, *(part for name in names for part in ("--only", name))]
    subprocess.run(first, check=True, capture_output=True, timeout=50)
    written = json.loads(figures.read_text())
    disturbed, calm = written["cases"]
    disturbed["others_share"], calm["others_share"] = 0.9, 0.0
    figures.write_text(json.dumps(written))

    ended = subprocess.run([*command, "--again", str(figures)], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr
    again = json.loads(figures.read_text())["cases"]
    assert [case["case"] for case in again] == names
    assert again[0]["turns"] != disturbed["turns"]
    assert again[1]["turns"] == calm["turns"]
    assert "[1/1]" in ended.stderr
