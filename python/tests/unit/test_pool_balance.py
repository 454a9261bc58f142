"""`Pool.imap`: one long task holds up the results behind it, not the work on them."""

from __future__ import annotations

import pytest
import targets

COUNT = 40
WAITING, OPENING = 0, 30


def gate_of(number):
    """Wait in the first task until a far later one has opened the gate."""
    (gate,) = targets.stored
    if number == WAITING:
        assert gate.wait(60)
    if number == OPENING:
        gate.set()
    return number


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_a_long_task_does_not_stop_the_others(default_ctx, name):
    """The first task ends only once the 31st has run, so the pool has to read that far ahead."""
    gate = default_ctx.Event()
    with default_ctx.Pool(2, initializer=targets.store, initargs=(gate,)) as pool:
        results = list(getattr(pool, name)(gate_of, range(COUNT)))
    assert sorted(results) == list(range(COUNT))
    if name == "imap":
        assert results == list(range(COUNT))
    pool.join()
