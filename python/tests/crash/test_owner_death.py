"""A process dies while it holds a lock: the next one gets the lock, and is told."""

from __future__ import annotations

import os
import random
import signal
import threading

import pytest
import targets
from support import mp, phalanx_only, wait_until

pytestmark = phalanx_only

KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"]


def killed_holder(context, lock, times=1, how="kill"):
    """A child takes the lock and dies; returns its pid once it is dead."""
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=targets.take_and_die, args=(lock, writer, times, how))
    process.start()
    pid = reader.recv()
    process.join()
    reader.close()
    writer.close()
    return pid


def taken_elsewhere(lock):
    """Whether another thread finds the lock taken."""
    found = []
    thread = threading.Thread(target=lambda: found.append(targets.try_acquire_and_release(lock)))
    thread.start()
    thread.join()
    return found == [False]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["kill", "segfault", "exit"])
def test_next_acquirer_is_told_and_holds_it(default_ctx, kind, how):
    lock = getattr(default_ctx, kind)()
    pid = killed_holder(default_ctx, lock, how=how)
    with pytest.raises(mp.OwnerDiedError, match=rf"\b{pid}\b"):
        lock.acquire()
    found = []
    thread = threading.Thread(target=lambda: found.append(lock.acquire(False)))
    thread.start()
    thread.join()
    assert found == [False]
    lock.release()
    assert lock.acquire(timeout=60) is True  # the others are told nothing any more
    lock.release()


@pytest.mark.parametrize("kind", KINDS)
def test_by_every_start_method(ctx, kind):
    lock = getattr(ctx, kind)()
    killed_holder(ctx, lock)
    with pytest.raises(mp.OwnerDiedError):
        lock.acquire()
    lock.release()
    with lock:
        pass


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
@pytest.mark.parametrize("arguments", [{"block": False}, {"timeout": 0}, {"timeout": 30}])
def test_every_way_to_acquire_tells(default_ctx, kind, arguments):
    lock = getattr(default_ctx, kind)()
    killed_holder(default_ctx, lock)
    with pytest.raises(mp.OwnerDiedError):
        lock.acquire(**arguments)
    lock.release()


@pytest.mark.parametrize("kind", KINDS)
def test_with_statement(default_ctx, kind):
    """The block does not run and nothing would release the lock: so it is free again."""
    lock = getattr(default_ctx, kind)()
    killed_holder(default_ctx, lock)
    with pytest.raises(mp.OwnerDiedError) as raised, lock:
        pytest.fail("the block must not run")
    assert raised.value.held is False
    assert not taken_elsewhere(lock)
    with lock:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_waiter_that_already_sleeps_is_woken(default_ctx, kind):
    lock = getattr(default_ctx, kind)()
    reader, writer = default_ctx.Pipe(duplex=False)
    holder = default_ctx.Process(target=targets.take_and_hold, args=(lock, writer))
    holder.start()
    pid = reader.recv()
    outcome, waiting = [], threading.Event()

    def wait():
        waiting.set()
        try:
            outcome.append(lock.acquire())
        except mp.OwnerDiedError as error:
            outcome.append(error)
        lock.release()

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    # Parked or still on its way there: both have to end well.
    thread.join(0.1)
    assert thread.is_alive()
    os.kill(pid, signal.SIGKILL)
    thread.join()
    holder.join()
    assert isinstance(outcome[0], mp.OwnerDiedError)
    assert str(pid) in str(outcome[0])
    reader.close()
    writer.close()


def test_a_waiter_in_another_process_is_woken(ctx):
    lock = ctx.Lock()
    held_here, held_there = ctx.Pipe(duplex=False)
    here, there = ctx.Pipe()
    holder = ctx.Process(target=targets.take_and_hold, args=(lock, held_there))
    holder.start()
    held_here.recv()
    waiter = ctx.Process(target=targets.send_result, args=(there, targets.acquire, lock))
    waiter.start()
    assert not here.poll(0.1)
    holder.kill()
    outcome = here.recv()
    assert outcome[:2] == ("error", "OwnerDiedError")
    holder.join()
    waiter.join()
    for end in (held_here, held_there, here, there):
        end.close()
    # The waiter ended normally as the holder: the lock may say so, but must come.
    try:
        lock.acquire()
    except mp.OwnerDiedError:
        pass
    lock.release()


def test_reentrant_lock_held_several_times(default_ctx):
    lock = default_ctx.RLock()
    killed_holder(default_ctx, lock, times=5)
    with pytest.raises(mp.OwnerDiedError):
        lock.acquire()
    lock.release()
    assert not taken_elsewhere(lock)
    with pytest.raises(AssertionError):
        lock.release()


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_semaphore_gets_all_its_permits_back(default_ctx, kind):
    semaphore = getattr(default_ctx, kind)(3)
    killed_holder(default_ctx, semaphore, times=2)
    taken, told = 0, 0
    for _ in range(3):
        try:
            assert semaphore.acquire(timeout=60)
        except mp.OwnerDiedError:
            told += 1
        taken += 1
    assert taken == 3
    assert told >= 1
    assert semaphore.acquire(False) is False
    for _ in range(3):
        semaphore.release()
    assert semaphore.get_value() == 3


def test_death_of_one_that_holds_nothing_is_no_matter(default_ctx):
    lock, semaphore = default_ctx.Lock(), default_ctx.Semaphore(2)
    process = default_ctx.Process(target=use_and_die, args=(lock, semaphore))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert lock.acquire(timeout=60) is True
    lock.release()
    assert [semaphore.acquire(False) for _ in range(3)] == [True, True, False]


def use_and_die(lock, semaphore):
    for _ in range(10):
        with lock, semaphore:
            pass
    targets.die("kill")


def test_one_death_after_another(default_ctx):
    lock = default_ctx.Lock()
    for _ in range(5):
        pid = killed_holder(default_ctx, lock)
        with pytest.raises(mp.OwnerDiedError, match=rf"\b{pid}\b"):
            lock.acquire()
        lock.release()


def test_the_lock_of_a_value(default_ctx):
    value = default_ctx.Value("i", 5)
    killed_holder(default_ctx, value.get_lock())
    with pytest.raises(mp.OwnerDiedError):
        value.get_lock().acquire()
    value.get_lock().release()
    value.value += 1
    assert value.value == 6


# --- Condition, Event, Barrier --------------------------------------------------------------------


def test_a_dead_waiter_of_a_condition_swallows_no_notification(default_ctx):
    condition, ready, woken = default_ctx.Condition(), default_ctx.Semaphore(0), default_ctx.Semaphore(0)
    processes = [
        default_ctx.Process(target=targets.condition_waiter, args=(condition, ready, woken)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=60)
    with condition:
        pass  # all three wait now
    processes[0].kill()
    processes[0].join()
    with condition:
        condition.notify(2)  # for the two that live
    assert woken.acquire(timeout=60)
    with condition:
        condition.notify_all()
    assert woken.acquire(timeout=60)
    for process in processes[1:]:
        process.join()


def test_notify_all_returns_although_a_waiter_died(default_ctx):
    condition, ready, woken = default_ctx.Condition(), default_ctx.Semaphore(0), default_ctx.Semaphore(0)
    process = default_ctx.Process(target=targets.condition_waiter, args=(condition, ready, woken))
    process.start()
    assert ready.acquire(timeout=60)
    with condition:
        pass
    process.kill()
    process.join()
    for _ in range(3):
        with condition:
            condition.notify_all()
            condition.notify()
    with condition:
        assert condition.wait(0.01) is False


def test_an_event_works_although_a_waiter_died(default_ctx):
    event, ready = default_ctx.Event(), default_ctx.Event()
    for _ in range(3):
        process = default_ctx.Process(target=tell_and_wait, args=(ready, event))
        process.start()
        ready.wait()
        ready.clear()
        process.kill()
        process.join()
    event.set()
    assert event.is_set()
    assert event.wait(60)
    event.clear()
    assert event.wait(0.01) is False


def tell_and_wait(ready, event):
    ready.set()
    event.wait()


def test_a_dead_party_does_not_hold_the_barrier_for_ever(default_ctx):
    """It is broken by the death, or at the latest by the timeout; never a hang."""
    barrier, results = default_ctx.Barrier(3), default_ctx.SimpleQueue()
    process = default_ctx.Process(target=targets.barrier_wait, args=(barrier, results))
    process.start()
    while barrier.n_waiting < 1:
        process.join(0.005)
    process.kill()
    process.join()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(1)
    barrier.reset()
    assert not barrier.broken
    results.close()


# --- at any moment --------------------------------------------------------------------------------


def notify_for_ever(condition, steps):
    while True:
        try:
            with condition:
                condition.notify()
                condition.notify_all()
                condition.wait(0.0001)
        except mp.OwnerDiedError:
            pass
        steps.value += 1


def set_for_ever(event, steps):
    while True:
        event.set()
        event.wait(0.001)  # another may have cleared it, and died
        event.clear()
        steps.value += 1


def meet_for_ever(barrier, steps):
    while True:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            barrier.reset()
        steps.value += 1


def change_for_ever(value, steps):
    while True:
        try:
            with value.get_lock():
                value.value += 1
        except mp.OwnerDiedError:
            pass
        steps.value += 1


def use_and_return_for_ever(semaphore, steps):
    while True:
        try:
            with semaphore:
                pass
        except mp.OwnerDiedError:
            pass
        steps.value += 1


USES = {
    "Condition": (notify_for_ever, lambda context: context.Condition()),
    "Event": (set_for_ever, lambda context: context.Event()),
    "Barrier": (meet_for_ever, lambda context: context.Barrier(1)),
    "Value": (change_for_ever, lambda context: context.Value("q", 0)),
    "Semaphore": (use_and_return_for_ever, lambda context: context.Semaphore(2)),
    "BoundedSemaphore": (use_and_return_for_ever, lambda context: context.BoundedSemaphore(2)),
}


@pytest.mark.parametrize("kind", USES)
def test_killed_at_any_moment(default_ctx, kind, seed):
    """Holding, notifying, waking, on the way in or out: those who come after go on."""
    choose = random.Random(seed)
    use, make = USES[kind]
    thing = make(default_ctx)
    for _ in range(12):
        steps = [default_ctx.RawValue("q", 0) for _ in range(3)]
        users = [default_ctx.Process(target=use, args=(thing, count)) for count in steps]
        for process in users:
            process.start()
        survivor, doomed = users[0], users[1:]
        for process in doomed:
            process.join(choose.uniform(0, 0.01))
            process.kill()
            process.join()
        count = steps[0]
        enough = count.value + 20
        wait_until(lambda count=count, enough=enough: count.value > enough, "the survivor goes on")
        survivor.kill()
        survivor.join()
