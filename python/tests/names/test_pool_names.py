"""Names of `pool` that are not documented: subclasses that replace what a pool does, and its parts."""

from __future__ import annotations

import gc
import importlib
import os
import pickle

import pytest
from support import IS_PHALANX, mp, phalanx_only, submodule, wait_until

mpp = submodule("pool")


def square(x):
    return x * x


def add(a, b):
    return a + b


def fail(_):
    raise LookupError("not here")


def process_name(_):
    return mp.current_process().name


# A pool with queues, workers and a target of its own, as tensor libraries have one.


def careful_worker(*args, **kwargs):
    """Work, and leave nothing to the end of the process."""
    mpp.worker(*args, **kwargs)
    gc.collect()


class QueuePool(mpp.Pool):
    def _setup_queues(self):
        self._inqueue = mp.SimpleQueue()
        self._outqueue = mp.SimpleQueue()
        self._quick_put = self._inqueue._writer.send
        self._quick_get = self._outqueue._reader.recv

    def _repopulate_pool(self):
        for _ in range(self._processes - len(self._pool)):
            args = (
                self._inqueue,
                self._outqueue,
                self._initializer,
                self._initargs,
                self._maxtasksperchild,
            )
            if hasattr(self, "_wrap_exception"):
                args += (self._wrap_exception,)
            worker = self.Process(self._ctx, target=careful_worker, args=args)
            self._pool.append(worker)
            worker.name = worker.name.replace("Process", "CarefulWorker")
            worker.daemon = True
            worker.start()


@pytest.mark.parametrize("maxtasks", [None, 2])
def test_a_pool_that_starts_its_workers_itself(ctx, maxtasks):
    with QueuePool(2, maxtasksperchild=maxtasks, context=ctx) as pool:
        assert pool.map(square, range(20), 1) == [x * x for x in range(20)]
        assert pool.starmap(add, [(1, 2), (3, 4)]) == [3, 7]
        assert sorted(pool.imap_unordered(square, range(5))) == [0, 1, 4, 9, 16]
        if IS_PHALANX or maxtasks is None:
            assert all("CarefulWorker-" in name for name in pool.map(process_name, range(4), 1))
        with pytest.raises(LookupError, match="not here"):
            pool.apply(fail, (1,))
        assert len(pool._pool) == 2
        pool.close()
        pool.join()


def set_mark(mark):
    os.environ["PHALANX_TEST_MARK"] = mark


def get_mark():
    return os.environ["PHALANX_TEST_MARK"]


def test_its_initializer_runs(default_ctx):
    with QueuePool(1, set_mark, ("set",), context=default_ctx) as pool:
        assert pool.apply(get_mark) == "set"


@phalanx_only  # there, the pool hangs
def test_a_worker_of_it_that_dies_is_replaced(default_ctx):
    with QueuePool(1, context=default_ctx) as pool:
        assert pool.apply(square, (2,)) == 4
        (first,) = pool._pool
        first.kill()
        first.join()
        assert pool.apply_async(square, (3,)).get(30) == 9
        (second,) = pool._pool
        assert second is not first
        assert "CarefulWorker-" in second.name


class NamedPool(mpp.Pool):
    """A pool whose processes are of another class, by the static method."""

    @staticmethod
    def Process(ctx, *args, **kwds):
        process = ctx.Process(*args, **kwds)
        process.name = "Named" + process.name
        return process


def test_a_static_method_process(ctx):
    with NamedPool(2, context=ctx) as pool:
        names = pool.map(process_name, range(4), 1)
        assert all(name.startswith("Named") and "PoolWorker-" in name for name in names)


class CountedPool(mpp.Pool):
    """A pool that counts how often its workers are looked after."""

    looks = 0

    def _repopulate_pool(self):
        self.looks += 1
        return super()._repopulate_pool()


def test_looking_after_the_workers(default_ctx):
    with CountedPool(2, context=default_ctx) as pool:
        assert pool.map(square, [3]) == [9]
        before = pool.looks
        pool._repopulate_pool()
        assert pool.looks == before + 1
        assert len(pool._pool) == 2


# What a pool is made of.


def test_states(default_ctx):
    assert (mpp.RUN, mpp.CLOSE, mpp.TERMINATE) == ("RUN", "CLOSE", "TERMINATE")
    pool = mp.Pool(1)
    assert pool._state == mpp.RUN
    assert pool._ctx.get_start_method() == default_ctx.get_start_method()
    assert pool._processes == 1
    pool.close()
    assert pool._state == mpp.CLOSE
    with pytest.raises(ValueError):
        pool._check_running()
    pool.terminate()
    assert pool._state == mpp.TERMINATE
    pool.join()


def test_pids_of_the_workers():
    with mp.Pool(2) as pool:
        pids = {worker.pid for worker in pool._pool}
        assert len(pids) == 2
        assert {pool.apply(os.getpid) for _ in range(10)} <= pids
        assert all(worker.is_alive() and worker.exitcode is None for worker in pool._pool)


def test_queues_of_a_pool():
    """Programs look at how much waits there."""
    with mp.Pool(1) as pool:
        assert pool.map(square, [2]) == [4]
        assert pool._taskqueue.qsize() == 0
        assert pool._taskqueue.empty()
        wait_until(pool._inqueue.empty, "the workers have taken all")
        assert pool._outqueue.empty()
        assert pool._cache == {}


def test_results():
    assert mpp.AsyncResult is mpp.ApplyResult
    with mp.Pool(1) as pool:
        one, many = pool.apply_async(square, (2,)), pool.map_async(square, [1, 2])
        assert isinstance(one, mpp.ApplyResult) and isinstance(many, mpp.MapResult)
        assert isinstance(pool.imap(square, [1]), mpp.IMapIterator)
        assert isinstance(pool.imap_unordered(square, [1]), mpp.IMapUnorderedIterator)
        assert one.get(30) == 4 and many.get(30) == [1, 4]


def test_errors_from_workers():
    with mp.Pool(1) as pool, pytest.raises(LookupError) as caught:
        pool.map(fail, [1])
    assert isinstance(caught.value.__cause__, mpp.RemoteTraceback)
    assert "in fail" in str(caught.value.__cause__)


def test_an_exception_with_its_traceback():
    try:
        fail(1)
    except LookupError as error:
        wrapped = mpp.ExceptionWithTraceback(error, error.__traceback__)
    again = pickle.loads(pickle.dumps(wrapped))
    assert type(again) is LookupError and again.args == ("not here",)
    assert "in fail" in str(again.__cause__)


def test_an_error_that_cannot_be_encoded():
    error = mpp.MaybeEncodingError(ValueError("why"), object)
    assert str(error).startswith("Error sending result: ")
    assert "why" in repr(error)


def test_tasks_of_a_map():
    assert mpp.mapstar((square, [1, 2])) == [1, 4]
    assert mpp.starmapstar((add, [(1, 2), (3, 4)])) == [3, 7]
    assert list(mpp.Pool._get_tasks(square, range(5), 2)) == [
        (square, (0, 1)),
        (square, (2, 3)),
        (square, (4,)),
    ]


def test_ending_the_workers_can_be_extended(default_ctx):
    ended = []

    class Pool(mpp.Pool):
        @classmethod
        def _terminate_pool(cls, taskqueue, inqueue, outqueue, pool, *others):
            ended.append(len(pool))
            super()._terminate_pool(taskqueue, inqueue, outqueue, pool, *others)

    with Pool(2, context=default_ctx) as pool:
        assert pool.apply(square, (2,)) == 4
    assert ended == [2]
    pool.join()


def test_the_end_of_a_pool_can_be_extended(default_ctx):
    ended = []

    class Pool(mpp.Pool):
        def terminate(self):
            ended.append("terminate")
            super().terminate()

        def join(self):
            ended.append("join")
            super().join()

    with Pool(1, context=default_ctx) as pool:
        assert pool.apply(square, (2,)) == 4
    pool.join()
    assert ended == ["terminate", "join"]


def test_terminating_by_the_finalizer(default_ctx):
    pool = mp.Pool(1)
    (worker,) = pool._pool
    pool._terminate()
    wait_until(lambda: not worker.is_alive(), "the worker has ended")
    pool.terminate()
    pool.join()


# Threads and the names in `dummy`.


def test_thread_pools():
    dummy = importlib.import_module(f"{mp.__name__}.dummy")
    for pool in (mpp.ThreadPool(2), dummy.Pool(2)):
        assert isinstance(pool, mpp.ThreadPool)
        with pool:
            assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
            assert pool.starmap(add, [(1, 2)]) == [3]
            assert len(pool._pool) == 2
    child = dummy.Process(target=square, args=(2,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert dummy.current_process().name
    here, there = dummy.Pipe()
    here.send([1])
    assert there.recv() == [1]
    queue = dummy.Queue()
    queue.put(1)
    assert queue.get() == 1
    assert dummy.Manager().dict({1: 2}) == {1: 2}
