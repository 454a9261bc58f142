"""Fixtures, marks and the watchdog of the Python tests."""

from __future__ import annotations

import atexit
import faulthandler
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# Before numpy is imported anywhere: its thread pool would make every fork here one with threads.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).parent))

import pytest  # noqa: E402
import support  # noqa: E402

support.heed_signals()

# What belongs to phalanx alone cannot even be imported without it.
collect_ignore_glob = [] if support.IS_PHALANX else ["unit/test_codec*", "examples/*"]
if "PHALANX_TEST_PACKAGES" not in os.environ:
    collect_ignore_glob.append("packages/*")  # They need other packages: scripts/test-packages.
DEFAULT_SECONDS = float(os.environ.get("PHALANX_TEST_SECONDS", "90"))
_watcher: subprocess.Popen | None = None


def pytest_addoption(parser):
    group = parser.getgroup("phalanx")
    group.addoption("--slow", action="store_true", help="also run the tests marked slow")
    group.addoption("--big", action="store_true", help="also run the tests that need several GiB")
    group.addoption("--repeat", type=int, default=1, help="run each test so many times, one after the other")


def _own_temporary_folder():
    """Other programs' temporary files are not on this run's accounts; pytest's own stay where they were."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="phalanx-tests-")
    # At the very end: the standard library's `multiprocessing`, imported later, removes its own folder before.
    atexit.register(_remove_folder, tempfile.tempdir, os.getpid())


def _remove_folder(folder, owner):
    if os.getpid() == owner:  # and not in a child that was forked by a test, and ends as a program does
        shutil.rmtree(folder, ignore_errors=True)


def pytest_configure(config):
    _own_temporary_folder()
    for line in (
        "phalanx_only: a deliberate difference from the standard library",
        "slow: takes minutes; run with --slow",
        "big: needs several GiB of memory; run with --big",
        "no_accounts(reason): what this test holds at its end cannot be compared",
        "watchdog(seconds): how long this test may take before it is ended",
    ):
        config.addinivalue_line("markers", line)
    # Children started by spawn re-import the main program: that of the tests is pytest itself,
    # slow to import and nothing to do with the test. Programs with a main of their own are run
    # by `support.Script`.
    main = sys.modules["__main__"]
    main.__spec__ = None
    if hasattr(main, "__file__"):
        del main.__file__
    _start_watcher()


def _start_watcher():
    global _watcher
    os.environ["PHALANX_TEST_STACKS"] = "1"  # for processes that begin afresh
    stderr = os.dup(2)  # the real one: capturing has not begun yet
    _watcher = subprocess.Popen(
        [sys.executable, "-S", str(support.TESTS / "watchdog.py")],
        stdin=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )

    def end_test(signum, frame):
        raise support.Hung("the watchdog ended this test")

    signal.signal(signal.SIGUSR1, end_test)
    faulthandler.register(signal.SIGUSR1, file=stderr, all_threads=True, chain=True)


def _tell_watcher(line: str):
    _watcher.stdin.write(f"{line}\n".encode())
    _watcher.stdin.flush()


def pytest_unconfigure():
    if _watcher is not None:
        _watcher.stdin.close()
        _watcher.wait()


def pytest_generate_tests(metafunc):
    times = metafunc.config.getoption("--repeat")
    if times > 1:
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(times), ids=lambda number: f"run{number + 1}")


def pytest_collection_modifyitems(config, items):
    # To see how the standard library fares in what phalanx does in another way.
    differences_too = support.IS_PHALANX or "PHALANX_TEST_DIFFERENCES" in os.environ

    def left_out(item) -> bool:
        return (
            (item.get_closest_marker("slow") and not config.getoption("--slow"))
            or (item.get_closest_marker("big") and not config.getoption("--big"))
            or (item.get_closest_marker("phalanx_only") and not differences_too)
        )

    dropped = [item for item in items if left_out(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    mark = item.get_closest_marker("watchdog")
    _tell_watcher(f"{mark.args[0] if mark else DEFAULT_SECONDS} {item.nodeid}")
    try:
        return (yield)
    finally:
        _tell_watcher("0")


@pytest.fixture(autouse=True)
def no_child_left():
    """Every test: the processes it started are gone when it is over, and reaped."""
    before = support.children()
    yield
    try:
        support.wait_until(lambda: not support.children() - before, "no child is left", timeout=10)
    except pytest.fail.Exception:
        left = support.children() - before
        lines = "\n".join(support.watchdog.describe(pid) for pid in left)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        pytest.fail(f"the test left processes behind:\n{lines}")


@pytest.fixture(params=support.START_METHODS)
def ctx(request):
    """A context of each start method in turn."""
    return support.mp.get_context(request.param)


@pytest.fixture
def default_ctx():
    """The context of the default start method, for what does not depend on the method."""
    return support.mp.get_context()


@pytest.fixture
def resources():
    """A snapshot taken before the test; `resources.settle()` waits until nothing more is held."""
    return support.Resources.now()
