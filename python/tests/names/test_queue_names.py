"""Names of `queues`, `synchronize` and `sharedctypes` that are not documented."""

from __future__ import annotations

import ctypes
import queue as standard_queue

import pytest
from support import START_METHODS, mp, submodule

queues = submodule("queues")
synchronize = submodule("synchronize")
sharedctypes = submodule("sharedctypes")


def test_the_errors_are_those_of_the_module_queue():
    assert queues.Empty is standard_queue.Empty
    assert queues.Full is standard_queue.Full
    assert queues._sentinel is not None


def test_the_factories_make_these_classes(default_ctx):
    assert type(default_ctx.Queue()) is queues.Queue
    assert type(default_ctx.SimpleQueue()) is queues.SimpleQueue
    assert type(default_ctx.JoinableQueue()) is queues.JoinableQueue
    assert issubclass(queues.JoinableQueue, queues.Queue)


class Tagged(queues.Queue):
    """What a package does that sends more than was put."""

    def __init__(self, *args, **kwargs):
        kwargs["ctx"] = mp.get_context(START_METHODS[0])
        super().__init__(*args, **kwargs)

    def put(self, obj, block=True, timeout=None):
        super().put(("tag", obj), block, timeout)

    def get(self, block=True, timeout=None):
        tag, obj = super().get(block, timeout)
        assert tag == "tag"
        return obj


def test_a_context_given_by_its_name():
    queue = Tagged(2)
    queue.put(1)
    queue.put(2)
    assert queue.full()
    assert [queue.get(timeout=30), queue.get(timeout=30)] == [1, 2]
    queue.close()
    queue.join_thread()


class Done(queues.JoinableQueue):
    def __init__(self):
        super().__init__(ctx=mp.get_context())


def test_a_joinable_queue_of_ones_own():
    queue = Done()
    queue.put("x")
    assert queue.get(timeout=30) == "x"
    queue.task_done()
    queue.join()
    with pytest.raises(ValueError):
        queue.task_done()
    queue.close()
    queue.join_thread()


def test_the_ends_can_be_waited_for(default_ctx):
    wait = submodule("connection").wait
    first, second = default_ctx.Queue(), default_ctx.SimpleQueue()
    assert wait([first._reader, second._reader], 0) == []
    second.put("b")
    assert wait([first._reader, second._reader], 30) == [second._reader]
    assert second.get() == "b"
    first.put("a")
    assert wait([first._reader, second._reader], 30) == [first._reader]
    assert first.get() == "a"
    assert first._reader.fileno() != second._reader.fileno()
    first.close()
    first.join_thread()
    second.close()


def test_a_queue_by_its_state(ctx):
    """As a program does that carries the state on and makes the queue of it in the child."""
    queue = ctx.Queue()
    child = ctx.Process(target=put_from, args=(Carrier(queue),))
    child.start()
    assert queue.get(timeout=30) == "carried"
    child.join()
    queue.close()
    queue.join_thread()


class Carrier:
    def __init__(self, queue):
        self.queue = queue

    def __getstate__(self):
        return queues.Queue.__getstate__(self.queue)

    def __setstate__(self, state):
        self.queue = queues.Queue.__new__(queues.Queue)
        self.queue.__setstate__(state)


def put_from(carrier):
    carrier.queue.put("carried")
    carrier.queue.close()
    carrier.queue.join_thread()


# Locks.

KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"]


@pytest.mark.parametrize("name", KINDS)
def test_the_factories_make_instances_of_the_classes(default_ctx, name):
    arguments = (2,) if name == "Barrier" else ()
    made = getattr(default_ctx, name)(*arguments)
    kind = getattr(synchronize, name)
    assert isinstance(made, kind)
    assert isinstance(kind(*arguments, ctx=default_ctx), kind)


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_what_locks_have_in_common(default_ctx, name):
    lock = getattr(default_ctx, name)()
    assert isinstance(lock, synchronize.SemLock)
    inside = lock._semlock
    assert inside._get_value() == 1
    assert not inside._is_zero()
    with lock:
        assert inside._is_zero()
        if "Lock" in name:
            assert inside._count() == 1
            assert inside._is_mine()
    assert inside.acquire(True, 10) and inside.release() is None
    assert inside.kind in (synchronize.RECURSIVE_MUTEX, synchronize.SEMAPHORE)
    assert inside.maxvalue >= 1


class Counted(synchronize.Semaphore):
    def __init__(self, value, *, ctx):
        super().__init__(value, ctx=ctx)


def test_a_semaphore_of_ones_own(ctx):
    semaphore = Counted(2, ctx=ctx)
    child = ctx.Process(target=take_one, args=(semaphore,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert semaphore.get_value() == 2


def take_one(semaphore):
    assert type(semaphore) is Counted
    with semaphore:
        assert semaphore.get_value() == 1


# Shared ctypes.


def test_classes_of_shared_values(default_ctx):
    value, array, text = (
        default_ctx.Value("i", 3),
        default_ctx.Array("d", [1.0, 2.0]),
        default_ctx.Array("c", b"ab"),
    )
    assert type(value) is sharedctypes.Synchronized
    assert type(array) is sharedctypes.SynchronizedArray
    assert type(text) is sharedctypes.SynchronizedString
    for shared in (value, array, text):
        assert isinstance(shared, sharedctypes.SynchronizedBase)
        assert isinstance(shared.get_lock(), synchronize.RLock)
        assert isinstance(shared.get_obj(), ctypes._SimpleCData | ctypes.Array)
    assert value._obj is value.get_obj()
    with value.get_lock():
        value.value += 1
    assert value.value == 4


# The heap that these lie in.


def test_a_piece_of_the_heap(ctx):
    heap = submodule("heap")
    wrapper = heap.BufferWrapper(100)
    assert wrapper.create_memoryview().nbytes == 100
    assert isinstance(heap.BufferWrapper._heap, heap.Heap)
    view = wrapper.create_memoryview()
    view[:3] = b"abc"
    child = ctx.Process(target=write_piece, args=(wrapper,))
    child.start()
    child.join()
    assert bytes(view[:4]) == b"abcd"


def write_piece(wrapper):
    view = wrapper.create_memoryview()
    assert bytes(view[:3]) == b"abc"
    view[3] = ord("d")


def test_an_arena():
    heap = submodule("heap")
    arena = heap.Arena(4096)
    assert arena.size == 4096
    view = memoryview(arena.buffer)
    view[0] = 1
    assert arena.buffer[0] in (1, b"\1")
    view.release()
