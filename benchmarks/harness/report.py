"""Reports: the table on the terminal and in Markdown, the pages' places for it, the JSON."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import BUSY_SHARE
from benchmarks.harness.turns import Outcome

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"
NAMES = {"multiprocessing": "standard library"}
SCHEMA = 1


def show(value: float | None, unit: str) -> str:
    """Three digits and the unit; a dash when there is no value."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        digits = f"{value:,.0f}"
    elif abs(value) >= 10:
        digits = f"{value:.1f}"
    elif abs(value) >= 0.1:
        digits = f"{value:.2f}"
    else:
        digits = f"{value:.4f}"
    return f"{digits} {unit}"


def was_disturbed(outcome: Outcome) -> bool:
    """Whether other programs used so much of the processors that the row misleads."""
    return outcome.others_share >= BUSY_SHARE


def cells(outcome: Outcome) -> list[str]:
    """One row of the table."""
    case, floor = outcome.case, outcome.case.floor
    rival, subject = outcome.medians()
    figures = outcome.figures
    middle = outcome.figure
    return [
        case.title + (" (!)" if was_disturbed(outcome) else ""),
        show(rival, case.unit.symbol),
        show(subject, case.unit.symbol),
        "-" if middle is None else floor.show(middle),
        floor.span(min(figures), max(figures)) if figures else "-",
        floor.describe(),
        "yes" if outcome.reached else "NO",
    ]


def headings(outcome: Outcome) -> list[str]:
    """The table's first row."""
    libraries = [NAMES.get(name, name) for name in (outcome.rival, outcome.subject)]
    return ["case", *libraries, "median", "spread", "floor", "reached"]


def notes(outcomes: list[Outcome]) -> list[str]:
    """What a reader has to know before believing a row."""
    found = [f"{outcome.case.title}: {problem}" for outcome in outcomes for problem in outcome.problems]
    busy = [outcome for outcome in outcomes if was_disturbed(outcome)]
    if busy:
        worst = max(outcome.others_share for outcome in busy)
        found.append(
            f"(!) other programs used up to {worst:.0%} of the processors during these rows: "
            "measure them again on a quiet machine"
        )
    return found


def tally(outcomes: list[Outcome]) -> str:
    """How many floors are reached."""
    reached = sum(outcome.reached for outcome in outcomes)
    return f"{reached} of {len(outcomes)} floors reached"


def terminal(outcomes: list[Outcome]) -> str:
    """The table with aligned columns, a heading for each group."""
    head = headings(outcomes[0])
    rows = [cells(outcome) for outcome in outcomes]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(row: list[str]) -> str:
        first, *middle, last = row
        return "  ".join(
            [first.ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True)]
            + [last]
        )

    text = [line(head), "-" * len(line(head))]
    for group, members in groupby(outcomes, key=lambda outcome: outcome.case.group):
        text += [f"{group}"] + [line(cells(member)) for member in members] + [""]
    return "\n".join(text + notes(outcomes) + [tally(outcomes)])


def table(outcomes: list[Outcome]) -> str:
    """The rows in Markdown."""
    head = headings(outcomes[0])
    rows = ["| " + " | ".join(head) + " |"]
    rows.append("|---|" + "---:|" * (len(head) - 2) + "---|")
    rows += ["| " + " | ".join(cells(outcome)) + " |" for outcome in outcomes]
    return "\n".join(rows)


def about(machine: dict[str, Any]) -> str:
    """Where the figures come from, and what they are."""
    return (
        f"{machine['python']} on {machine['cores']} cores of {machine['processor']}, "
        f"{machine['kernel']}. Medians of both libraries in turns; "
        "the median and the spread are of the paired repeats."
    )


def markdown(outcomes: list[Outcome], machine: dict[str, Any]) -> str:
    """The whole table in Markdown, with one line about the machine above it."""
    extra = [f"- {note}" for note in notes(outcomes)]
    parts = [about(machine), table(outcomes), *(["\n".join(extra)] if extra else []), tally(outcomes) + "."]
    return "\n\n".join(parts) + "\n"


def headlines(outcomes: list[Outcome], machine: dict[str, Any]) -> str:
    """The few rows that say most, and how many floors the whole table reaches."""
    chosen = [outcome for outcome in outcomes if outcome.case.headline]
    return "\n\n".join([about(machine), table(chosen), f"In the whole table {tally(outcomes)}."]) + "\n"


def fill(page: Path, text: str) -> None:
    """Replace what stands between the two marks; a ValueError when they are not both there."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no place for the table: it needs {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def as_json(outcomes: list[Outcome], machine: dict[str, Any], options: dict[str, Any]) -> str:
    """Everything that was measured."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "machine": machine,
            "options": options,
            "cases": [outcome.as_json() for outcome in outcomes],
        },
        indent=1,
        ensure_ascii=False,
    )
