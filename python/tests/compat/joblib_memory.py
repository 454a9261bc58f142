"""joblib's own tests of `Memory` and `hash` with phalanx in their place.

    joblib_memory.py [PYTEST ARGUMENT]...

The tests are those that the installed joblib brings along; only their imports are changed. What
`docs/migration/joblib.md` excludes is not run. Prints counts, and exits with 1 if anything failed.
"""

from __future__ import annotations

import asyncio
import fnmatch
import inspect
import re
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[2] / "docs" / "migration" / "joblib.md"
SUITES = ("test_memory", "test_memory_async", "test_hashing")
#: Modules of joblib, and what stands in their place: see `joblib_names.py`.
REPLACED = ("joblib._store_backends", "joblib.hashing", "joblib.memory")


def exclusions() -> list[tuple[str, str]]:
    """The rows of the page that name a test of these suites, and why it is not run."""
    row = re.compile(r"\| `(test_\S+)` \| memory \| (.+) \|")
    return [row.fullmatch(line).groups() for line in PAGE.read_text().splitlines() if row.fullmatch(line)]


def copy(suite: str, folder: Path) -> None:
    """Write a suite with other imports."""
    source = Path(find_spec(f"joblib.test.{suite}").origin).read_text()
    for module in REPLACED:
        source = source.replace(f"from {module} import", "from joblib_names import")
    # As programs of their own they import what a user would.
    source = source.replace("from joblib import Memory", "from phalanx import Memory")
    source = source.replace("from .test_memory import", "from test_memory import")
    # Where a result lies: one file, not a folder with several.
    source = source.replace('os.path.join(single_cache_item.path, "output.pkl")', "single_cache_item.path")
    (folder / f"{suite}.py").write_text(source)


class Report:
    """Leaves out what is excluded, and counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.unused = {pattern for pattern, _ in exclusions()}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = []
        for item in items:
            name = item.nodeid.replace(".py::", ".").replace("::", ".")
            patterns = [pattern for pattern, _ in exclusions() if matches(name, pattern)]
            self.unused.difference_update(patterns)
            if patterns:
                self.counts["excluded"] += 1
            else:
                chosen.append(item)
        items[:] = chosen

    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Run coroutine functions, without another plugin."""
        if not inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        names = pyfuncitem._fixtureinfo.argnames
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern names a test, with or without its parameters."""
    return name == pattern or fnmatch.fnmatchcase(name.partition("[")[0], pattern)


def main(arguments: list[str]) -> int:
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for suite in SUITES:
            copy(suite, Path(folder))
        sys.path[:0] = [str(HERE), folder]
        options = ["--rootdir", folder, "-p", "no:cacheprovider", "-q", "-W", "ignore"]
        code = pytest.main([*options, *arguments, folder], plugins=[report])
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.counts.items()))
    print(f"joblib's tests of Memory and hash on phalanx: {counts}")
    if report.unused and not arguments:
        print(f"error: these exclusions exclude nothing: {', '.join(sorted(report.unused))}")
        return 1
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
