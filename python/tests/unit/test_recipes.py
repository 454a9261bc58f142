"""What programs do to pools and queues from outside: subclasses, and the parts they look for."""

from __future__ import annotations

import importlib
import os
import time

import pytest
import support

mp = support.mp
mpp = importlib.import_module(f"{mp.__name__}.pool")
queues = importlib.import_module(f"{mp.__name__}.queues")


def add(a, b):
    return a + b


def square(x):
    return x * x


def inner_pool(n):
    with mp.Pool(2) as pool:
        return pool.map(square, range(n))


# Recipes.


def istarmap(self, func, iterable, chunksize=1, kind="IMapIterator"):
    self._check_running()
    batches = mpp.Pool._get_tasks(func, iterable, chunksize)
    result = getattr(mpp, kind)(self)
    self._taskqueue.put(
        (self._guarded_task_generation(result._job, mpp.starmapstar, batches), result._set_length)
    )
    return (item for chunk in result for item in chunk)


def test_istarmap():
    pairs = [(n, n * n) for n in range(50)]
    with mp.Pool(2) as pool:
        assert list(istarmap(pool, add, pairs)) == [a + b for a, b in pairs]
        assert list(istarmap(pool, add, pairs, chunksize=8)) == [a + b for a, b in pairs]
        unordered = istarmap(pool, add, iter(pairs), 3, "IMapUnorderedIterator")
        assert sorted(unordered) == sorted(a + b for a, b in pairs)
        assert pool.map(square, [3]) == [9]


class NoDaemonProcess(mp.Process):
    @property
    def daemon(self):
        return False

    @daemon.setter
    def daemon(self, value):
        pass


class NoDaemonContext(type(mp.get_context())):
    Process = NoDaemonProcess


class NestablePool(mpp.Pool):
    def __init__(self, *args, **kwargs):
        kwargs["context"] = NoDaemonContext()
        super().__init__(*args, **kwargs)


def test_pools_whose_workers_are_not_daemons():
    with NestablePool(2) as pool:
        assert pool.map(inner_pool, [2, 3]) == [[0, 1], [0, 1, 4]]
        pool.close()
        pool.join()


@pytest.mark.phalanx_only
def test_process_as_a_method_of_the_pool():
    made = []

    class Pool(mpp.Pool):
        def Process(self, *args, **kwds):
            made.append(self)
            return mpp.Pool.Process(*args, **kwds)

    with Pool(2) as pool:
        assert pool.map(square, [2]) == [4]
    assert made == [pool, pool]


def test_watching_a_pool():
    with mp.Pool(1) as pool:
        results = [pool.apply_async(time.sleep, (0.05,)) for _ in range(4)]
        assert 0 < len(pool._cache) <= 4
        assert pool._taskqueue.qsize() >= 0
        for result in results:
            result.get(30)
        support.wait_until(lambda: not pool._cache, "nothing is left in the cache")
        assert pool._processes == len(pool._pool) == 1


# Queues.


class CountedQueue(queues.Queue):
    """The recipe for a queue with a working `qsize` everywhere."""

    def __init__(self, *, ctx):
        super().__init__(ctx=ctx)
        self.size = ctx.Value("i", 0)

    def __getstate__(self):
        return {"parent": super().__getstate__(), "size": self.size}

    def __setstate__(self, state):
        super().__setstate__(state["parent"])
        self.size = state["size"]

    def put(self, *args, **kwargs):
        super().put(*args, **kwargs)
        with self.size.get_lock():
            self.size.value += 1

    def get(self, *args, **kwargs):
        item = super().get(*args, **kwargs)
        with self.size.get_lock():
            self.size.value -= 1
        return item


def put_two(queue):
    queue.put("a")
    queue.put("b")


@pytest.mark.parametrize("method", support.START_METHODS)
def test_queue_with_a_state_of_its_own(method):
    ctx = mp.get_context(method)
    queue = CountedQueue(ctx=ctx)
    process = ctx.Process(target=put_two, args=(queue,))
    process.start()
    assert queue.get(timeout=30) == "a"
    process.join()
    assert queue.size.value == 1
    assert queue.get(timeout=30) == "b"


class PartsQueue(queues.Queue):
    """A queue that sends the parts that it is made of."""

    def __getstate__(self):
        return self._maxsize, self._reader, self._writer, self._rlock, self._wlock, self._sem, self._opid

    def __setstate__(self, state):
        (
            self._maxsize,
            self._reader,
            self._writer,
            self._rlock,
            self._wlock,
            self._sem,
            self._opid,
        ) = state
        self._ignore_epipe = False
        self._reset()


class PartsSimpleQueue(queues.SimpleQueue):
    def __getstate__(self):
        return self._reader, self._writer, self._rlock, self._wlock

    def __setstate__(self, state):
        self._reader, self._writer, self._rlock, self._wlock = state


@pytest.mark.parametrize("method", support.START_METHODS)
def test_queue_of_parts(method):
    ctx = mp.get_context(method)
    for queue in (PartsQueue(3, ctx=ctx), PartsSimpleQueue(ctx=ctx)):
        process = ctx.Process(target=put_two, args=(queue,))
        process.start()
        assert [queue.get(), queue.get()] == ["a", "b"]
        process.join()
        queue.put(1)
        assert queue.get() == 1
        assert queue.empty()
        queue.close()


def test_queue_of_parts_is_full_and_empty():
    queue = PartsQueue(1, ctx=mp.get_context())
    with pytest.raises(queues.Empty):
        queue.get(timeout=0.01)
    queue.put("a")
    assert queue.qsize() == 1 and queue.full()
    with pytest.raises(queues.Full):
        queue.put("b", timeout=0.01)
    assert queue.get(timeout=30) == "a"
    queue.close()
    queue.join_thread()
    with pytest.raises(ValueError):
        queue.put("c")


class OwnPutQueue(queues.Queue):
    """A subclass with a copy of the standard library's `put`."""

    def put(self, obj, block=True, timeout=None):
        if not self._sem.acquire(block, timeout):
            raise queues.Full
        with self._notempty:
            if self._thread is None:
                self._start_thread()
            self._buffer.append(obj)
            self._notempty.notify()


def test_put_of_ones_own():
    queue = OwnPutQueue(ctx=mp.get_context())
    queue.put(["x"])
    assert queue.get(timeout=30) == ["x"]
    queue.close()
    queue.join_thread()


class Unpicklable:
    def __reduce__(self):
        raise TypeError("this stays here")


def test_hook_for_what_cannot_be_pickled():
    caught = []

    class Queue(queues.Queue):
        def _on_queue_feeder_error(self, e, obj):
            caught.append((type(e), type(obj)))

    queue = Queue(ctx=mp.get_context())
    queue.put(Unpicklable())
    queue.put(1)
    assert queue.get(timeout=30) == 1
    assert caught == [(TypeError, Unpicklable)]
    queue.close()
    queue.join_thread()


def test_ends_of_a_queue():
    queue = mp.SimpleQueue()
    queue._writer.send({"a": 1})
    assert queue._reader.poll(30)
    assert queue._reader.recv() == {"a": 1}
    reduction = importlib.import_module(f"{mp.__name__}.reduction")
    with queue._wlock:
        queue._writer.send_bytes(reduction.ForkingPickler.dumps([os.getpid()]))
    with queue._rlock:
        pickle = queue._reader.recv_bytes()
    assert reduction.ForkingPickler.loads(pickle) == [os.getpid()]
    queue.close()
    assert queue._reader.closed and queue._writer.closed


def test_unknown_names_of_a_queue():
    with pytest.raises(AttributeError, match="_nothing"):
        _ = mp.Queue()._nothing
    with pytest.raises(AttributeError, match="nothing"):
        _ = mp.Queue().nothing


# Newer names, on every version.


@pytest.mark.phalanx_only
def test_newer_names():
    assert mp.process_cpu_count() == mp.cpu_count()
    for lock in (mp.Lock(), mp.RLock()):
        assert not lock.locked()
        with lock:
            assert lock.locked()
    with mp.Pool(1) as pool:
        assert list(pool.imap(square, range(5), buffersize=2)) == [0, 1, 4, 9, 16]
    with pytest.raises(ValueError, match="on_error"):
        mp.set_forkserver_preload([], on_error="shout")
