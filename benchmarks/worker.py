"""Measure one case with one library, in this interpreter: ``worker.py CASE LIBRARY``.

``run.py`` starts it afresh for every measurement, so that no library inherits threads, children
or a warmed heap from the other. By hand it serves for profiling one side. Children started with
spawn import this file again: what it imports at the top, they would pay for.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if sys.path[0] != ROOT:
    sys.path[0] = ROOT


def main() -> int:
    """Run the case and write its measurement as JSON; 0 if the library did it right."""
    import argparse
    import faulthandler
    import importlib
    import json
    import traceback
    from pathlib import Path

    from benchmarks.harness.case import load
    from benchmarks.harness.measure import Run

    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("case", help="module.function below benchmarks/cases")
    arguments.add_argument("library", help="the module to measure: phalanx or multiprocessing")
    arguments.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    arguments.add_argument("--output", type=Path, help="write the JSON here (default: print it)")
    arguments.add_argument(
        "--stacks-after", type=float, metavar="SECONDS", help="dump all stacks if still running"
    )
    options = arguments.parse_args()
    if options.stacks_after:
        faulthandler.dump_traceback_later(options.stacks_after)

    measurement: dict[str, object]
    try:
        case = load(options.case)
        run = Run(importlib.import_module(options.library), case.unit, quick=options.quick)
        value = case.function(run)
        measurement = {"value": value, "rounds": run.rounds, "extra": run.extra}
    except Exception as error:
        traceback.print_exc()
        measurement = {"error": f"{type(error).__name__}: {error}"}
    text = json.dumps(measurement)
    if options.output:
        options.output.write_text(text)
    else:
        print(text)
    return 1 if "error" in measurement else 0


if __name__ == "__main__":
    sys.exit(main())
