"""A tour of what the API is used for: small programs on the standard library and on phalanx, side by side.

    python examples/python/tour.py [--quick] [--only NAME ...] [--start-method METHOD] [--json]

Each program runs on both libraries in turns. Their answers have to be equal; the table at the end shows the median
times and how many times faster phalanx was. Programs with `Parallel` and `Memory` run on joblib in the place of the
standard library. The exit status is 1 if an answer differs or a program fails, and
130 after Ctrl-C, which ends the tour with the table of what has been run.

Workers under spawn and forkserver import this file again, so it imports nothing of weight before `main`.
"""

import argparse
import sys

STANDARD, PHALANX = "standard library", "phalanx"
INTERRUPTED = 130  # as a shell reports a program that ended by Ctrl-C


def parse(arguments, names):
    parser = argparse.ArgumentParser(description="Run small programs on the standard library and on phalanx.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one turn each")
    parser.add_argument(
        "--only", action="append", metavar="NAME", choices=names, help="this program (may be repeated)"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the programs and stop")
    parser.add_argument(
        "--start-method", choices=("fork", "spawn", "forkserver"), help="default: the interpreter's"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON instead of a table")
    parser.add_argument(
        "--limit", type=float, default=60.0, metavar="SECONDS", help="for one run (default: 60)"
    )
    # For proving the tour itself: what to import in the place of either library.
    parser.add_argument("--first", default="multiprocessing", help=argparse.SUPPRESS)
    parser.add_argument("--second", default="phalanx", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def load(options, names):
    """Import both libraries, or exit with what to do about the one that is missing."""
    import importlib
    import importlib.util

    import programs

    for package, needed in (("numpy", programs.NEED_NUMPY), ("joblib", programs.NEED_JOBLIB)):
        needy = [name for name in names if name in needed]
        if needy and importlib.util.find_spec(package) is None:
            sys.exit(
                f"{package} is missing, which {len(needy)} programs need: "
                f"run 'make tour', or 'pip install {package}'"
            )
    try:
        libraries = {
            STANDARD: importlib.import_module(options.first),
            PHALANX: importlib.import_module(options.second),
        }
    except ImportError as error:
        sys.exit(f"{error}: run 'make tour', which builds phalanx first, or install it with 'pip install .'")
    for mp in libraries.values():
        if options.start_method:
            mp.set_start_method(options.start_method, force=True)
    return libraries


def warm_up(libraries, limit):
    """Let each library import its parts and start its helpers before the clock runs."""
    from touring.watchdog import watchdog

    for mp in libraries.values():
        with watchdog(limit, mp), mp.Pool(1) as pool:
            pool.map(abs, [-1])


def run(names, libraries, options, outcomes):
    """Run the programs one after another, adding to `outcomes`; return whether the tour came to its end."""
    from touring import report
    from touring.measure import measure
    from touring.progress import Progress

    progress = Progress(sys.stderr, len(names))
    scale = 0.1 if options.quick else 1.0
    try:
        for name in names:
            outcome = measure(name, libraries, scale, options.limit, options.quick, progress.running)
            outcomes.append(outcome)
            if not outcome.good:
                progress.clear()
                print(f"{outcome.title}: {report.verdict(outcome)}", file=sys.stderr)
                print(outcome.details, file=sys.stderr, flush=True)
            progress.finished(report.summary(outcome, STANDARD, PHALANX))
    except KeyboardInterrupt:
        progress.clear()
        print(f"interrupted after {len(outcomes)} of {len(names)} programs", file=sys.stderr)
        return False
    progress.clear()
    return True


def main(arguments=None):
    import importlib
    import json
    import time

    import programs
    from touring import report

    options = parse(arguments, programs.NAMES)
    names = options.only or programs.NAMES
    if options.list:
        for name in names:
            print(f"{name:24} {importlib.import_module(f'programs.{name}').TITLE}")
        return 0
    libraries = load(options, names)
    start = time.monotonic()
    warm_up(libraries, options.limit)
    outcomes = []
    finished = run(names, libraries, options, outcomes)
    seconds = time.monotonic() - start
    method = libraries[STANDARD].get_start_method()
    if options.json:
        print(json.dumps(report.data(outcomes, STANDARD, PHALANX, seconds, method), indent=2))
    else:
        print(report.table(outcomes, STANDARD, PHALANX))
        missing = programs.NOT_IN_THIS_STAGE
        print(report.footer(outcomes, STANDARD, PHALANX, seconds, method, missing, options.quick))
    if not finished:
        return INTERRUPTED
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
