"""The outcomes of a tour as text for people and as plain data for programs."""

import math
import os
import platform
import textwrap


def duration(seconds):
    """A time with the unit that suits it."""
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def times(ratio):
    """A ratio to two or three places."""
    if ratio is None:
        return "-"
    return f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"


def verdict(outcome):
    """What the last column says."""
    if outcome.error:
        return f"FAILED ({outcome.error})"
    return "yes" if outcome.equal else "NO"


def summary(outcome, first, second):
    """One line about one program."""
    if not outcome.good:
        return f"{outcome.title}: {verdict(outcome) if outcome.error else 'the answers differ'}"
    return (
        f"{outcome.title}: {first} {duration(outcome.median(first))}, {second} {duration(outcome.median(second))} "
        f"({times(outcome.ratio(first, second))})"
    )


def table(outcomes, first, second):
    """All outcomes as an aligned table; times are medians, a ratio above one means that `second` was faster."""
    rows = [("program", first, second, "ratio", "answers equal?")]
    for outcome in outcomes:
        medians = (duration(outcome.median(first)), duration(outcome.median(second)))
        rows.append((outcome.title, *medians, times(outcome.ratio(first, second)), verdict(outcome)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(row[1:4], widths[1:], strict=True))
        lines.append(f"{row[0].ljust(widths[0])}  {numbers}  {row[4]}")
    lines.insert(1, "-" * (sum(widths) + 6 + 2 + len("answers equal?")))
    return "\n".join(lines)


def footer(outcomes, first, second, seconds, method, missing, quick):
    """What stands below the table: the whole in a few numbers, where it ran, and what was left out."""
    ratios = [ratio for outcome in outcomes if (ratio := outcome.ratio(first, second)) is not None]
    bad = [outcome.title for outcome in outcomes if not outcome.good]
    lines = []
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        slower = sum(ratio < 1 for ratio in ratios)
        lines.append(f"{len(ratios)} programs with equal answers; ratio {times(mean)} (geometric mean).")
        lines.append(f"{second} was faster in {len(ratios) - slower}, slower in {slower} of them.")
    if bad:
        lines.append(f"{len(bad)} failed or differed: {', '.join(bad)}.")
    lines.append(
        f"Python {platform.python_version()}, start method {method}, {os.cpu_count()} processors, {seconds:.0f} s."
    )
    if any(outcome.title.startswith(("Parallel", "Memory")) for outcome in outcomes):
        lines.append(f"Parallel and Memory: joblib's stand in the column of the {first}.")
    if quick:
        lines.append("Run with --quick: a tenth of the work, one turn each; too little to judge speed by.")
    lines.extend(textwrap.wrap(f"Not in this tour: {'; '.join(missing)}.", 100))
    return "\n".join(lines)


def data(outcomes, first, second, seconds, method):
    """The same as plain data, for ``--json``; times in seconds."""
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "start_method": method,
        "libraries": [first, second],
        "seconds": seconds,
        "programs": [
            {
                "name": outcome.name,
                "title": outcome.title,
                "seconds": outcome.seconds,
                "median_seconds": {label: outcome.median(label) for label in (first, second)},
                "ratio": outcome.ratio(first, second),
                "equal": outcome.good,
                "error": outcome.error,
            }
            for outcome in outcomes
        ],
    }
