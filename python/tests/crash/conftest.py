"""What every fault test is watched by: a seed that is printed, and the accounts of what it holds."""

from __future__ import annotations

import os
import random

import pytest
import support


@pytest.fixture(autouse=True)
def accounts(request):
    """After the test this process holds what it held before: descriptors, threads, mappings, shared
    memory, children, files. A test with the mark `no_accounts` says in its reason why it cannot be asked.
    """
    if not support.IS_PHALANX or request.node.get_closest_marker("no_accounts"):
        yield
        return
    support.warm_up()
    before = support.Resources.now()
    yield
    # The test runner keeps what fixtures gave until after this.
    request.node.funcargs.clear()
    if not request.node.stash.get(FAILED, False):
        before.settle()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        # What a failed test leaves behind is no second failure.
        item.stash[FAILED] = True
    return report


@pytest.fixture
def seed(record_property) -> int:
    """A seed for random faults: of `PHALANX_TEST_SEED`, or a new one each time. It is printed with
    a failure."""
    given = os.environ.get("PHALANX_TEST_SEED")
    seed = int(given) if given else random.SystemRandom().randrange(2**32)
    print(f"PHALANX_TEST_SEED={seed}")
    record_property("seed", seed)
    return seed
