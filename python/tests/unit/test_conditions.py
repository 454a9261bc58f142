"""`Condition`, `Event` and `Barrier`."""

from __future__ import annotations

import threading
import time

import pytest
import targets
from support import mp, wait_until

# --- Condition ------------------------------------------------------------------------------------


def waiters(context, condition, count):
    """Start that many waiting processes; returns them and the semaphore they give when woken."""
    ready, woken = context.Semaphore(0), context.Semaphore(0)
    processes = [
        context.Process(target=targets.condition_waiter, args=(condition, ready, woken)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=60)
    with condition:
        pass  # the last one gave `ready` inside the lock: having it means that it waits
    return processes, woken


def test_notify_wakes_as_many_as_asked(ctx):
    condition = ctx.Condition()
    processes, woken = waiters(ctx, condition, 4)
    with condition:
        condition.notify()
    assert woken.acquire(timeout=60)
    assert not woken.acquire(timeout=0.03)
    with condition:
        condition.notify(2)
    assert woken.acquire(timeout=60)
    assert woken.acquire(timeout=60)
    assert not woken.acquire(timeout=0.03)
    with condition:
        condition.notify(10)  # more than there are
    assert woken.acquire(timeout=60)
    for process in processes:
        process.join()


def test_notify_all(ctx):
    condition = ctx.Condition()
    processes, woken = waiters(ctx, condition, 4)
    with condition:
        condition.notify_all()
    for _ in processes:
        assert woken.acquire(timeout=60)
    for process in processes:
        process.join()


def test_notify_is_not_stored(default_ctx):
    condition = default_ctx.Condition()
    with condition:
        condition.notify_all()
        assert condition.wait(0.01) is False


def test_notify_among_threads():
    condition, entered, woken = mp.Condition(), mp.Semaphore(0), mp.Semaphore(0)
    threads = [
        threading.Thread(target=targets.condition_waiter, args=(condition, entered, woken)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert entered.acquire(timeout=60)
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join()
    assert woken.get_value() == 3


@pytest.mark.parametrize("timeout", [0, 0.05, -1])
def test_wait_timeout(timeout):
    condition = mp.Condition()
    with condition:
        start = time.monotonic()
        assert condition.wait(timeout) is False
        assert time.monotonic() - start >= max(0, timeout) - 0.001
        # and the lock is ours again
        taken = []
        thread = threading.Thread(target=lambda: taken.append(condition.acquire(False)))
        thread.start()
        thread.join()
        assert taken == [False]


def test_wait_tells_that_it_was_notified(default_ctx):
    condition = default_ctx.Condition()
    process = default_ctx.Process(target=notify_it, args=(condition,))
    with condition:
        process.start()
        assert condition.wait(60) is True
    process.join()


def notify_it(condition):
    with condition:
        condition.notify()


def test_wait_for(ctx):
    condition, value, results = ctx.Condition(), ctx.RawValue("i", 0), ctx.SimpleQueue()
    process = ctx.Process(target=targets.condition_wait_for, args=(condition, value, 5, results))
    process.start()
    for number in range(1, 6):
        with condition:
            value.value = number
            condition.notify_all()
    assert results.get() == (True, 5)
    process.join()
    results.close()


def test_wait_for_returns_the_value_of_the_predicate():
    condition = mp.Condition()
    with condition:
        assert condition.wait_for(lambda: "truth") == "truth"
        start = time.monotonic()
        assert not condition.wait_for(list, 0.05)
        assert time.monotonic() - start >= 0.049


def test_condition_needs_its_lock():
    condition = mp.Condition()
    for use in (condition.wait, condition.notify, condition.notify_all, lambda: condition.wait(0)):
        with pytest.raises(AssertionError):
            use()
    with pytest.raises(AssertionError):
        condition.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_condition_over_a_lock_of_ones_own(default_ctx, kind):
    lock = getattr(default_ctx, kind)()
    condition = default_ctx.Condition(lock)
    with lock:
        assert condition.wait(0.01) is False
        taken = []
        thread = threading.Thread(target=lambda: taken.append(condition.acquire(False)))
        thread.start()
        thread.join()
        assert taken == [False]
    with condition:
        process = default_ctx.Process(target=notify_it, args=(condition,))
        process.start()
        assert condition.wait(60)
    process.join()


def test_wait_gives_up_all_levels_of_a_reentrant_lock(default_ctx):
    condition = default_ctx.Condition(default_ctx.RLock())
    process = default_ctx.Process(target=notify_it, args=(condition,))
    with condition, condition, condition:
        process.start()
        assert condition.wait(60)  # the notifier could get in
    process.join()
    assert condition.acquire(False)
    condition.release()


def test_condition_by_hand():
    condition = mp.Condition()
    assert condition.acquire()
    condition.notify()
    condition.release()
    assert condition.acquire(False)
    condition.release()


# --- Event ----------------------------------------------------------------------------------------


def test_event_states():
    event = mp.Event()
    assert event.is_set() is False
    assert event.wait(0) is False
    assert event.wait(0.01) is False
    event.set()
    event.set()
    assert event.is_set() is True
    assert event.wait() is True
    assert event.wait(0) is True
    event.clear()
    assert event.is_set() is False
    assert event.wait(0) is False


def test_event_wait_timeout_is_kept():
    start = time.monotonic()
    assert mp.Event().wait(0.05) is False
    assert time.monotonic() - start >= 0.049


def test_event_wakes_everybody(ctx):
    event = ctx.Event()
    processes = [ctx.Process(target=targets.wait_for_event, args=(event,)) for _ in range(4)]
    for process in processes:
        process.start()
    assert all(process.is_alive() for process in processes)
    event.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_event_set_in_a_child(ctx):
    event = ctx.Event()
    process = ctx.Process(target=set_event, args=(event,))
    process.start()
    assert event.wait(60) is True
    process.join()


def set_event(event):
    event.set()


def test_event_ping_pong(ctx):
    ping, pong = ctx.Event(), ctx.Event()
    process = ctx.Process(target=answer_events, args=(ping, pong, 200))
    process.start()
    for _ in range(200):
        ping.set()
        assert pong.wait(60)
        pong.clear()
    process.join()
    assert process.exitcode == 0


def answer_events(ping, pong, rounds):
    for _ in range(rounds):
        ping.wait()
        ping.clear()
        pong.set()


def test_event_among_threads():
    event, results = mp.Event(), []
    threads = [threading.Thread(target=lambda: results.append(event.wait(60))) for _ in range(4)]
    for thread in threads:
        thread.start()
    event.set()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


# --- Barrier --------------------------------------------------------------------------------------


def test_barrier_lets_all_go_together(ctx):
    barrier, results = ctx.Barrier(3), ctx.SimpleQueue()
    processes = [ctx.Process(target=targets.barrier_wait, args=(barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    own = barrier.wait(60)
    assert sorted([own, results.get(), results.get()]) == [0, 1, 2]
    for process in processes:
        process.join()
    assert barrier.n_waiting == 0
    results.close()


def test_barrier_again_and_again(default_ctx):
    barrier, results = default_ctx.Barrier(2), default_ctx.SimpleQueue()
    process = default_ctx.Process(target=wait_rounds, args=(barrier, results, 300))
    process.start()
    mine = [barrier.wait(60) for _ in range(300)]
    theirs = results.get()
    assert [sorted(pair) for pair in zip(mine, theirs, strict=True)] == [[0, 1]] * 300
    process.join()
    results.close()


def wait_rounds(barrier, results, rounds):
    results.put([barrier.wait(60) for _ in range(rounds)])


def test_barrier_of_one():
    barrier = mp.Barrier(1)
    assert [barrier.wait() for _ in range(3)] == [0, 0, 0]


def test_barrier_properties(default_ctx):
    barrier, results = default_ctx.Barrier(2, timeout=60), default_ctx.SimpleQueue()
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)
    process = default_ctx.Process(target=targets.barrier_wait, args=(barrier, results))
    process.start()
    wait_until(lambda: barrier.n_waiting == 1, "one is waiting")
    barrier.wait()
    process.join()
    assert (barrier.n_waiting, barrier.broken) == (0, False)
    results.close()


def test_barrier_action_runs_once_before_anyone_leaves():
    value = mp.RawValue("i", 0)

    def action():
        value.value += 1

    barrier, seen = mp.Barrier(3, action=action), []

    def party():
        for round_ in range(1, 21):
            barrier.wait(60)
            seen.append(value.value >= round_)

    threads = [threading.Thread(target=party) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value.value == 20
    assert seen == [True] * 60


def test_barrier_action_that_raises_breaks_it(default_ctx):
    barrier, results = default_ctx.Barrier(2, action=fail), default_ctx.SimpleQueue()
    process = default_ctx.Process(target=targets.barrier_wait, args=(barrier, results))
    process.start()
    try:
        barrier.wait(60)
        mine = "no error"
    except Exception as error:
        mine = type(error).__name__
    assert sorted([mine, results.get()]) == ["BrokenBarrierError", "LookupError"]
    process.join()
    assert barrier.broken
    results.close()


def fail():
    raise LookupError("the action failed")


def test_barrier_timeout_breaks_it(default_ctx):
    for barrier, timeout in ((default_ctx.Barrier(2), 0.01), (default_ctx.Barrier(2, None, 0.01), None)):
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(timeout)
        assert barrier.broken
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait()


def test_barrier_abort_frees_the_waiting(ctx):
    barrier, results = ctx.Barrier(3), ctx.SimpleQueue()
    processes = [ctx.Process(target=targets.barrier_wait, args=(barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    wait_until(lambda: barrier.n_waiting == 2, "both are waiting")
    barrier.abort()
    assert [results.get(), results.get()] == ["BrokenBarrierError"] * 2
    for process in processes:
        process.join()
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    results.close()


def test_barrier_reset(default_ctx):
    barrier, results = default_ctx.Barrier(2), default_ctx.SimpleQueue()
    process = default_ctx.Process(target=targets.barrier_wait, args=(barrier, results))
    process.start()
    wait_until(lambda: barrier.n_waiting == 1, "one is waiting")
    barrier.reset()
    assert results.get() == "BrokenBarrierError"
    process.join()
    wait_until(lambda: not barrier.broken and barrier.n_waiting == 0, "it is as new")
    process = default_ctx.Process(target=targets.barrier_wait, args=(barrier, results))
    process.start()
    mine = barrier.wait(60)
    assert {mine, results.get()} == {0, 1}
    process.join()
    results.close()


def test_barrier_reset_after_abort():
    barrier = mp.Barrier(1)
    barrier.abort()
    assert barrier.broken
    barrier.reset()
    assert not barrier.broken
    assert barrier.wait() == 0


def test_barrier_ids_choose_one_leader():
    barrier, ids = mp.Barrier(4), []

    def party():
        for _ in range(20):
            ids.append(barrier.wait(60))

    threads = [threading.Thread(target=party) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ids.count(number) for number in range(4)] == [20] * 4
