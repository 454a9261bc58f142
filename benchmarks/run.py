"""Measure phalanx against the standard library, case by case and in turns.

Each measurement runs in a fresh interpreter; each repeat is a pair, one library right after the
other. See docs/benchmarks.md for how to read the table.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from benchmarks.harness import bytecode, isolate, machine, report  # noqa: E402
from benchmarks.harness.case import Case, discover, select  # noqa: E402
from benchmarks.harness.turns import Outcome, take_turns  # noqa: E402

QUICK_REPEATS = 2


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PART",
        help="only the cases whose name contains PART; may be given several times",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, two repeats")
    parser.add_argument("--repeats", type=int, metavar="N", help="exactly N repeats of every case")
    parser.add_argument(
        "--again",
        type=Path,
        metavar="FILE",
        help="take the table from an earlier --json FILE and measure its rows marked (!), or those of "
        "--only, anew",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="put the table into docs/measurements.md, its headlines into README.md",
    )
    parser.add_argument("--list", action="store_true", help="list the cases and their floors")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a floor is not reached")
    parser.add_argument("--subject", default="phalanx", metavar="MODULE", help="what is judged")
    parser.add_argument(
        "--rival", default="multiprocessing", metavar="MODULE", help="what it is compared with"
    )
    options = parser.parse_args()
    if options.repeats is not None and options.repeats < 1:
        parser.error("--repeats needs at least 1")
    if options.publish and options.quick:
        parser.error("--publish takes figures at full size: leave out --quick")
    if options.publish and options.only and not options.again:
        parser.error("--publish takes the whole table: leave out --only, or name the rest by --again")
    return options


def main() -> int:
    """Run the chosen cases; 0 unless one failed or hung (with --strict: or missed its floor)."""
    options = arguments()
    everything = discover()
    try:
        cases = select(everything, options.only)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 2
    kept: list[Outcome] = []
    if options.again:
        kept = earlier(options, everything)
        if not options.only:
            cases = [outcome.case for outcome in kept if report.was_disturbed(outcome)]
    if options.list:
        for case in cases:
            print(f"{case.identity:36}  {case.floor.describe():22}  {case.title}")
        return 0

    for package in (options.rival, options.subject, "benchmarks"):
        bytecode.compile_package(package)
    isolate.adopt_orphans()
    facts = machine.facts()
    started = time.monotonic()
    measured = {outcome.case.identity: outcome for outcome in kept}
    outcomes: list[Outcome] = kept
    try:
        for number, case in enumerate(cases, 1):
            measured[case.identity] = run_case(case, options, f"[{number}/{len(cases)}]")
            outcomes = [measured[c.identity] for c in everything if c.identity in measured]
            # After every case, so that a run that is killed has kept what it measured.
            save_json(options, outcomes, facts)
    except KeyboardInterrupt:
        print("\ninterrupted: what was measured until now", file=sys.stderr)
        if not outcomes:
            return 130
    facts["load_after"] = machine.load()
    facts["seconds"] = round(time.monotonic() - started, 1)

    print("\n" + report.terminal(outcomes))
    save_json(options, outcomes, facts)
    if options.markdown:
        options.markdown.write_text(report.markdown(outcomes, facts))
    if options.publish:
        report.fill(ROOT / "docs" / "measurements.md", report.markdown(outcomes, facts))
        report.fill(ROOT / "README.md", report.headlines(outcomes, facts))
    broken = any(outcome.problems for outcome in outcomes)
    missed = options.strict and not all(outcome.reached for outcome in outcomes)
    complete = all(case.identity in {outcome.case.identity for outcome in outcomes} for case in cases)
    return 1 if broken or missed or not complete else 0


def earlier(options: argparse.Namespace, cases: list[Case]) -> list[Outcome]:
    """What an earlier run has written, in the order of the table, for cases that still are there."""
    found = {row["case"]: row for row in json.loads(options.again.read_text())["cases"]}
    return [
        Outcome.from_json(case, found[case.identity], options.rival, options.subject)
        for case in cases
        if case.identity in found
    ]


def save_json(options: argparse.Namespace, outcomes: list[Outcome], facts: dict[str, Any]) -> None:
    """Write what has been measured so far, if a file was asked for."""
    if options.json:
        chosen = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
        options.json.write_text(report.as_json(outcomes, facts, chosen))


def run_case(case: Case, options: argparse.Namespace, place: str) -> Outcome:
    """All repeats of one case, with a line on the terminal when it is done."""
    live = sys.stderr.isatty()

    def measure(case: Case, library: str) -> isolate.Measurement:
        found = isolate.measure(case, library, quick=options.quick)
        if found.status != "ok":
            print(f"\n{case.identity} with {library} {found.status}: {found.message}\n", file=sys.stderr)
        return found

    def tell(repeat: str) -> None:
        if live:
            print(f"\r\033[K{place} {case.title}: repeat {repeat}", end="", file=sys.stderr)

    repeats = options.repeats or (QUICK_REPEATS if options.quick else None)
    outcome = take_turns(case, options.rival, options.subject, measure, repeats=repeats, tell=tell)
    _, rival, subject, middle, spread, floor, reached = report.cells(outcome)
    print(
        ("\r\033[K" if live else "")
        + f"{place} {case.title}: {rival} | {subject} | {middle} ({spread}), floor {floor}: "
        + f"{reached} [{len(outcome.turns)} pairs, {outcome.seconds:.0f} s]",
        file=sys.stderr,
        flush=True,
    )
    return outcome


if __name__ == "__main__":
    sys.exit(main())
