"""joblib's own tests of `Parallel` as an oracle.

    joblib_oracle.py [--suite SUITE]... [-k EXPRESSION] [--seconds N] [--fast] [--out FOLDER]

`parallel` runs joblib's tests with `phalanx.Parallel` in the place of `joblib.Parallel`; `backend` runs
joblib's `Parallel` with the backend "phalanx" in the place of "loky". What
`docs/migration/joblib.md` excludes is not run. A test that takes too long counts as failed. Exits with 1
if anything failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "migration" / "joblib.md"
SUITES = ("parallel", "backend")
#: What shows within seconds whether the whole is in order.
FAST = "kwargs or as_context_manager or error_in_task or exhausted or pickling or timeout_success"

#: For `parallel`: these names of the tests are phalanx's.
NAMES = ("Parallel", "cpu_count", "delayed", "effective_n_jobs", "parallel_backend", "parallel_config")


def exclusions(suite: str) -> list[str]:
    """The patterns of tests that the page of differences excludes from a suite."""
    rows = re.findall(r"^\| `(test_[^`]+)` \| (\w+) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    return [pattern for pattern, where in rows if where in (suite, "both")]


def program(suite: str) -> str:
    """The text of joblib's tests, with the names replaced."""
    spec = importlib.util.find_spec("joblib.test")
    if spec is None or spec.origin is None:
        sys.exit("error: joblib's tests are not installed: python -m pip install joblib")
    text = (Path(spec.origin).parent / "test_parallel.py").read_text()
    # Programs that the tests write and run by themselves.
    mine = "from joblib import Parallel, delayed"
    if suite == "parallel":
        text = text.replace(mine + "\n", "from phalanx import Parallel, delayed\n")
        text = text.replace(mine + ", hash", "from joblib import hash\nfrom phalanx import Parallel, delayed")
    else:
        text = text.replace(mine, "import phalanx\n" + mine)
    if suite == "backend":
        text = text.replace('"loky"', '"phalanx"').replace("LokyBackend", "PhalanxBackend")
        text = text.replace("    PhalanxBackend,\n", "", 1)
        text = text.replace("_parallel_backends.PhalanxBackend", "_parallel_backends.LokyBackend")
        start = "from joblib._parallel_backends import ("
        mine = (
            "import phalanx\nfrom phalanx.backends.joblib import PhalanxBackend\n"
            "joblib.parallel.register_parallel_backend('phalanx', PhalanxBackend, make_default=True)\n"
        )
        return text.replace(start, mine + start, 1)
    start, _, end = text.partition("from joblib.parallel import (\n")
    names, _, rest = end.partition(")\n")
    for name in NAMES:
        names = names.replace(f"    {name},\n", "", 1)
    imported = f"from joblib.parallel import (\n{names})\nfrom phalanx.parallel import {', '.join(NAMES)}\n"
    return start + imported + rest


def run(suite: str, options: argparse.Namespace) -> bool:
    """Run a suite and print what came of it; returns whether nothing failed."""
    with tempfile.TemporaryDirectory() as folder:
        module = f"test_joblib_{suite}"
        Path(folder, f"{module}.py").write_text(program(suite))
        Path(folder, "conftest.py").write_text(Path(__file__).with_name("joblib_plugin.py").read_text())
        command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"{module}.py", "--tb=short", "-rfE", "-W", "ignore", "--rootdir", folder]
        if options.fast or options.keyword:
            command += ["-k", options.keyword or FAST]
        environment = {
            **os.environ,
            "PHALANX_ORACLE_EXCLUDED": "\n".join(exclusions(suite)),
            "PHALANX_ORACLE_SECONDS": str(options.seconds),
            "PYTHONPATH": folder,
        }
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    if options.out:
        Path(options.out).mkdir(parents=True, exist_ok=True)
        Path(options.out, f"{suite}.log").write_text(done.stdout)
    counts = {
        word: int(number)
        for number, word in re.findall(r"(\d+) (passed|failed|error|skipped|deselected)", done.stdout)
    }
    failed = counts.get("failed", 0) + counts.get("error", 0)
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            print(f"  {line}")
    excluded = re.search(r"excluded: (\d+)", done.stdout)
    print(
        f"{suite}: {counts.get('passed', 0)} passed, {failed} failed, {counts.get('skipped', 0)} skipped, "
        f"{excluded[1] if excluded else 0} excluded",
        flush=True,
    )
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="joblib's own tests of Parallel on phalanx")
    parser.add_argument("--suite", action="append", choices=SUITES, help="default: both")
    parser.add_argument("-k", dest="keyword", help="which tests, as for pytest")
    parser.add_argument("--seconds", type=int, default=60, help="the most that a test may take")
    parser.add_argument("--fast", action="store_true", help="only a small part of them")
    parser.add_argument("--out", help="a folder for pytest's output")
    options = parser.parse_args()
    results = [run(suite, options) for suite in options.suite or SUITES]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
