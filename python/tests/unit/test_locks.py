"""`Lock`, `RLock`, `Semaphore` and `BoundedSemaphore`."""

from __future__ import annotations

import pickle
import threading
import time

import pytest
import targets
from support import mp, submodule

KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore"]


def in_child(context, function, *args):
    """Run a function in a child and return what it returned."""
    here, there = context.Pipe()
    process = context.Process(target=targets.send_result, args=(there, function, *args))
    process.start()
    there.close()
    outcome = here.recv()
    process.join()
    here.close()
    return outcome[1] if outcome[0] == "ok" else outcome[:2]


def in_thread(function, *args):
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join()
    return results[0]


# --- every kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_excludes_another_process(ctx, kind):
    lock = getattr(ctx, kind)()
    assert in_child(ctx, targets.try_acquire_and_release, lock) is True
    assert lock.acquire()
    assert in_child(ctx, targets.try_acquire_and_release, lock) is False
    lock.release()
    assert in_child(ctx, targets.try_acquire_and_release, lock) is True


@pytest.mark.parametrize("kind", KINDS)
def test_excludes_another_thread(kind):
    lock = getattr(mp, kind)()
    with lock:
        assert in_thread(lock.acquire, False) is False
    assert in_thread(targets.try_acquire_and_release, lock) is True


@pytest.mark.parametrize("kind", KINDS)
def test_protects_a_counter(ctx, kind):
    lock, value = getattr(ctx, kind)(), ctx.RawValue("i", 0)
    processes = [ctx.Process(target=targets.increment, args=(value, lock, 2000)) for _ in range(3)]
    for process in processes:
        process.start()
    targets.increment(value, lock, 2000)
    for process in processes:
        process.join()
    assert value.value == 8000


@pytest.mark.parametrize("kind", KINDS)
def test_protects_a_counter_among_threads(kind):
    lock, value = getattr(mp, kind)(), mp.RawValue("i", 0)
    threads = [threading.Thread(target=targets.increment, args=(value, lock, 2000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value.value == 8000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timeout", [0, 0.05, -1, -0.5])
def test_timeout_is_kept(default_ctx, kind, timeout):
    lock = getattr(default_ctx, kind)()
    lock.acquire()

    def attempt():
        start = time.monotonic()
        return lock.acquire(timeout=timeout), time.monotonic() - start

    taken, waited = in_thread(attempt)
    assert taken is False
    assert waited >= max(0, timeout) - 0.001
    lock.release()


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_acquire(kind):
    lock = getattr(mp, kind)()
    assert lock.acquire(True, 5) is True
    lock.release()
    assert lock.acquire(block=False) is True
    lock.release()
    assert lock.acquire(block=True, timeout=None) is True
    lock.release()
    assert lock.acquire(False, 5) is True  # without blocking the timeout does not matter
    lock.release()


@pytest.mark.parametrize("kind", KINDS)
def test_waiter_gets_it_at_the_release(default_ctx, kind):
    lock = getattr(default_ctx, kind)()
    reader, writer = default_ctx.Pipe(duplex=False)
    lock.acquire()
    process = default_ctx.Process(target=acquire_and_tell, args=(lock, writer))
    process.start()
    assert reader.recv() == "waiting"
    assert not reader.poll(0.03)
    lock.release()
    assert reader.recv() == "acquired"
    process.join()
    assert lock.acquire(timeout=60)
    reader.close()
    writer.close()


def acquire_and_tell(lock, writer):
    writer.send("waiting")
    with lock:
        writer.send("acquired")


@pytest.mark.parametrize("kind", KINDS)
def test_with_statement(kind):
    lock = getattr(mp, kind)()
    with lock as entered:
        assert entered is True
        assert in_thread(lock.acquire, False) is False
    with pytest.raises(LookupError), lock:
        raise LookupError
    assert lock.acquire(False)
    lock.release()


@pytest.mark.parametrize("kind", [*KINDS, "Condition", "Event", "Barrier"])
def test_only_by_inheritance(kind):
    thing = getattr(mp, kind)(*([2] if kind == "Barrier" else []))
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(thing)


@pytest.mark.parametrize("kind", [*KINDS, "Condition", "Event", "Barrier"])
def test_names_of_the_classes(kind):
    thing = getattr(mp, kind)(*([2] if kind == "Barrier" else []))
    assert type(thing) is getattr(submodule("synchronize"), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_through_a_pool_initializer(ctx, kind):
    lock, value = getattr(ctx, kind)(), ctx.RawValue("i", 0)
    with ctx.Pool(2, targets.store, (lock, value)) as pool:
        pool.map(add_one, range(200))
        pool.close()
        pool.join()
    assert value.value == 200


def add_one(_):
    lock, value = targets.stored
    with lock:
        value.value += 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_at_once(kind):
    locks = [getattr(mp, kind)() for _ in range(1000)]
    for lock in locks:
        assert lock.acquire(False)
    for lock in locks:
        assert not in_thread(lock.acquire, False)
        break
    for lock in locks:
        lock.release()


# --- Lock -----------------------------------------------------------------------------------------


def test_lock_can_be_released_by_another_thread_or_process(ctx):
    lock = ctx.Lock()
    lock.acquire()
    in_thread(lock.release)
    assert lock.acquire(False)
    assert in_child(ctx, targets.release, lock) is None
    assert lock.acquire(False)
    lock.release()


def test_lock_is_not_reentrant():
    lock = mp.Lock()
    lock.acquire()
    assert lock.acquire(False) is False
    assert lock.acquire(timeout=0.01) is False
    lock.release()


def test_release_of_a_free_lock():
    lock = mp.Lock()
    with pytest.raises(ValueError):
        lock.release()
    lock.acquire()
    lock.release()
    with pytest.raises(ValueError):
        lock.release()


def test_lock_representation(default_ctx):
    lock = default_ctx.Lock()
    assert repr(lock) == "<Lock(owner=None)>"
    with lock:
        assert repr(lock) == "<Lock(owner=MainProcess)>"
        assert in_thread(repr, lock) == "<Lock(owner=SomeOtherThread)>"
        assert in_child(default_ctx, repr, lock) == "<Lock(owner=SomeOtherProcess)>"


# --- RLock ----------------------------------------------------------------------------------------


def test_rlock_counts(default_ctx):
    lock = default_ctx.RLock()
    for _ in range(3):
        assert lock.acquire()
    for _ in range(2):
        lock.release()
        assert in_child(default_ctx, targets.try_acquire_and_release, lock) is False
        assert in_thread(lock.acquire, False) is False
    lock.release()
    assert in_child(default_ctx, targets.try_acquire_and_release, lock) is True
    assert in_thread(targets.try_acquire_and_release, lock) is True


def test_rlock_nested_with():
    lock = mp.RLock()
    with lock, lock, lock:
        assert in_thread(lock.acquire, False) is False
    assert in_thread(targets.try_acquire_and_release, lock) is True


def test_rlock_belongs_to_its_thread(ctx):
    lock = ctx.RLock()
    with pytest.raises(AssertionError):
        lock.release()
    with lock:

        def foreign_release():
            try:
                lock.release()
            except AssertionError:
                return "refused"

        assert in_thread(foreign_release) == "refused"
        assert in_child(ctx, targets.release, lock) == ("error", "AssertionError")
    with pytest.raises(AssertionError):
        lock.release()


def test_rlock_held_over_a_fork_is_not_held_by_the_child():
    context = mp.get_context("fork")
    lock = context.RLock()
    with lock:
        assert in_child(context, targets.try_acquire_and_release, lock) is False
    assert in_child(context, targets.try_acquire_and_release, lock) is True


def test_rlock_representation(default_ctx):
    lock = default_ctx.RLock()
    assert repr(lock) == "<RLock(None, 0)>"
    with lock, lock:
        assert repr(lock) == "<RLock(MainProcess, 2)>"
        assert in_child(default_ctx, repr, lock) == "<RLock(SomeOtherProcess, nonzero)>"


# --- semaphores -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_semaphore_counts(kind, count):
    semaphore = getattr(mp, kind)(count)
    for left in range(count, 0, -1):
        assert semaphore.get_value() == left
        assert semaphore.acquire(False)
    assert semaphore.get_value() == 0
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(timeout=0.01) is False
    for given in range(1, count + 1):
        semaphore.release()
        assert semaphore.get_value() == given


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_semaphore_admits_its_number(ctx, kind):
    semaphore, lock = getattr(ctx, kind)(2), ctx.Lock()
    inside, peak = ctx.RawValue("i", 0), ctx.RawValue("i", 0)
    processes = [
        ctx.Process(target=targets.semaphore_user, args=(semaphore, inside, peak, lock, 200))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert 1 <= peak.value <= 2
    assert inside.value == 0
    assert semaphore.get_value() == 2


def test_semaphore_may_be_released_beyond_its_start(default_ctx):
    semaphore = default_ctx.Semaphore(1)
    semaphore.release()
    assert semaphore.get_value() == 2
    assert in_child(default_ctx, targets.release, semaphore) is None
    assert semaphore.get_value() == 3
    assert [semaphore.acquire(False) for _ in range(4)] == [True, True, True, False]


def test_bounded_semaphore_may_not(default_ctx):
    semaphore = default_ctx.BoundedSemaphore(2)
    with pytest.raises(ValueError):
        semaphore.release()
    semaphore.acquire()
    semaphore.release()
    with pytest.raises(ValueError):
        semaphore.release()
    assert in_child(default_ctx, targets.release, semaphore) == ("error", "ValueError")
    assert semaphore.get_value() == 2


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_semaphore_permits_pass_between_processes(ctx, kind):
    """One takes, another gives back: semaphores have no owner."""
    semaphore = getattr(ctx, kind)(2)
    semaphore.acquire()
    semaphore.acquire()
    assert in_child(ctx, targets.release, semaphore) is None
    assert semaphore.acquire(timeout=60)


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_semaphore_refuses_a_negative_start(kind):
    with pytest.raises((ValueError, OSError)):
        getattr(mp, kind)(-1)


def test_semaphore_as_a_signal(ctx):
    """Starts at zero; the child gives, the parent takes."""
    semaphore = ctx.Semaphore(0)
    process = ctx.Process(target=release_many, args=(semaphore, 50))
    process.start()
    for _ in range(50):
        assert semaphore.acquire(timeout=60)
    process.join()
    assert semaphore.get_value() == 0


def release_many(semaphore, count):
    for _ in range(count):
        semaphore.release()


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_permits_stay_taken_when_the_taker_has_ended_normally(ctx, kind):
    """A semaphore as a signal: the child consumes the tokens and goes."""
    semaphore = getattr(ctx, kind)(3)
    assert in_child(ctx, take_two, semaphore) is None
    assert semaphore.get_value() == 1
    semaphore.release()
    semaphore.release()
    assert semaphore.get_value() == 3


def take_two(semaphore):
    semaphore.acquire()
    semaphore.acquire()


def test_lock_taken_by_a_child_that_has_ended_normally_can_be_released(ctx):
    lock = ctx.Lock()
    assert in_child(ctx, targets.acquire, lock) is True
    lock.release()
    assert lock.acquire(False)
    lock.release()


def test_large_semaphore():
    semaphore = mp.Semaphore(10_000)
    for _ in range(10_000):
        assert semaphore.acquire(False)
    assert not semaphore.acquire(False)
    for _ in range(10_000):
        semaphore.release()
    assert semaphore.get_value() == 10_000


def test_semaphore_representation():
    assert repr(mp.Semaphore(3)) == "<Semaphore(value=3)>"
    assert repr(mp.BoundedSemaphore(3)) == "<BoundedSemaphore(value=3, maxvalue=3)>"


# --- waiting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_waiting_lets_other_threads_run(kind):
    """A blocked acquire must not hold the interpreter: the release comes from beside it."""
    lock = getattr(mp, kind)()
    if kind == "RLock":
        entered, go = threading.Event(), threading.Event()

        def hold():
            with lock:
                entered.set()
                go.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        entered.wait()
        giver = threading.Thread(target=go.set)
    else:
        lock.acquire()
        holder, giver = None, threading.Thread(target=lock.release)
    giver.start()
    assert lock.acquire()
    giver.join()
    if holder:
        holder.join()
    lock.release()


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_handler_runs_while_waiting(kind):
    import signal

    lock = getattr(mp, kind)()
    entered, go = threading.Event(), threading.Event()

    def hold():
        lock.acquire()
        entered.set()
        go.wait()
        lock.release()

    def fail(*_):
        raise LookupError("by the handler")

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    previous = signal.signal(signal.SIGALRM, fail)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(LookupError, match="by the handler"):
            lock.acquire()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        go.set()
        thread.join()
    assert lock.acquire(timeout=60)
    lock.release()
