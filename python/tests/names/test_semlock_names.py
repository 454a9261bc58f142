"""What `_semlock` of locks and semaphores has: the names of the standard library's `SemLock`."""

from __future__ import annotations

import threading

import pytest
from support import mp, submodule

synchronize = submodule("synchronize")
KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore"]


def in_a_thread(function):
    """Return what a function returns in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def state(inside):
    return inside._count(), inside._is_mine(), inside._is_zero()


@pytest.mark.parametrize("name", KINDS)
def test_what_it_is(ctx, name):
    lock = getattr(ctx, name)()
    inside = lock._semlock
    assert isinstance(inside.handle, int)
    assert inside.handle == lock._semlock.handle != getattr(ctx, name)()._semlock.handle
    assert inside.name is None or isinstance(inside.name, str)
    assert inside.kind == (synchronize.RECURSIVE_MUTEX if name == "RLock" else synchronize.SEMAPHORE)
    assert inside.maxvalue == (synchronize.SEM_VALUE_MAX if name == "Semaphore" else 1)
    assert inside.SEM_VALUE_MAX == synchronize.SEM_VALUE_MAX


@pytest.mark.parametrize("name", KINDS)
def test_taking_and_giving_back(ctx, name):
    inside = getattr(ctx, name)()._semlock
    assert (*state(inside), inside._get_value()) == (0, False, False, 1)
    assert inside.acquire(True, 10)
    assert (*state(inside), inside._get_value()) == (1, True, True, 0)
    assert in_a_thread(inside._count) == 1
    assert not in_a_thread(lambda: inside.acquire(False))
    assert inside.release() is None
    assert (*state(inside), inside._get_value()) == (0, False, False, 1)
    assert inside.__enter__() is True
    assert inside._count() == 1
    assert inside.__exit__(None, None, None) is None
    assert inside._count() == 0
    inside._after_fork()
    assert inside.acquire() and inside._is_mine() and inside.release() is None


def test_a_lock_belongs_to_the_thread_that_took_it(ctx):
    inside = ctx.Lock()._semlock
    inside.acquire()
    assert not in_a_thread(inside._is_mine)
    in_a_thread(inside.release)  # Any thread may.
    assert inside._count() == 0 and not inside._is_mine()
    assert in_a_thread(lambda: (inside.acquire(), inside._is_mine())) == (True, True)
    assert inside._count() == 1 and not inside._is_mine()
    inside.release()


def test_a_reentrant_lock_counts(ctx):
    inside = ctx.RLock()._semlock
    for n in range(1, 4):
        inside.acquire()
        assert inside._count() == n
    assert inside._is_mine() and not in_a_thread(inside._is_mine)
    for n in (2, 1, 0):
        inside.release()
        assert inside._count() == n
    assert not inside._is_mine() and inside._get_value() == 1


def test_a_semaphore_counts(ctx):
    inside = ctx.Semaphore(3)._semlock
    inside.acquire()
    inside.acquire()
    assert (inside._count(), inside._is_mine(), inside._get_value()) == (2, True, 1)
    inside.release()
    assert (inside._count(), inside._is_mine(), inside._get_value()) == (1, True, 2)
    inside.release()
    assert (inside._count(), inside._is_mine(), inside._get_value()) == (0, False, 3)


def test_the_lock_of_a_condition(ctx):
    condition = ctx.Condition()
    inside = condition._lock._semlock
    assert not inside._is_mine()
    with condition, condition:
        assert inside._is_mine() and inside._count() == 2
    assert inside._count() == 0


def look(pipe, lock):
    inside = lock._semlock
    pipe.send(state(inside))
    pipe.recv()
    inside.acquire()
    pipe.send(state(inside))
    pipe.recv()
    inside.release()


@pytest.mark.parametrize("name", KINDS)
def test_each_process_counts_for_itself(ctx, name):
    lock = getattr(ctx, name)()
    inside = lock._semlock
    here, there = ctx.Pipe()
    lock.acquire()
    child = ctx.Process(target=look, args=(there, lock))
    child.start()
    assert here.recv() == (0, False, True)
    lock.release()
    here.send("take it")
    assert here.recv() == (1, True, True)
    assert state(inside) == (0, False, True)
    here.send("give it back")
    child.join()
    assert child.exitcode == 0
    assert not inside._is_zero()


class Named(synchronize.Lock):
    def __init__(self, name, *, ctx):
        super().__init__(ctx=ctx)
        self.name = name
        self.handle = self


def test_a_lock_may_have_attributes_of_these_names():
    lock = Named("mine", ctx=mp.get_context("fork"))
    assert (lock.name, lock.handle) == ("mine", lock)
    with lock:
        assert lock._semlock._is_mine()
