"""What pytest needs to run joblib's tests: exclusions, a limit of time, joblib's own marks."""

import fnmatch
import os
import signal

import pytest

EXCLUDED = os.environ["PHALANX_ORACLE_EXCLUDED"].splitlines()
SECONDS = int(os.environ["PHALANX_ORACLE_SECONDS"])
counted = {"excluded": 0}


def pytest_configure(config):
    for mark in ("thread_unsafe", "no_cover"):
        config.addinivalue_line("markers", f"{mark}: joblib's")


def _covers(pattern, name):
    # Brackets are part of the names, not of the pattern.
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if not any(_covers(pattern, item.name) for pattern in EXCLUDED)]
    gone = [item for item in items if item not in kept]
    counted["excluded"] = len(gone)
    config.hook.pytest_deselected(items=gone)
    items[:] = kept


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"excluded: {counted['excluded']}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    def late(*_):
        raise TimeoutError(f"the test took more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        return (yield)
    finally:
        signal.alarm(0)
