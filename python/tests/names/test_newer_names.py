"""What newer versions of Python added to `multiprocessing`, on every version."""

from __future__ import annotations

import os
import queue as standard_queue
import signal
import time

import pytest
from support import START_METHODS, mp, phalanx_only, run_script, submodule

pytestmark = phalanx_only  # an older interpreter's library has none of it


# 3.13


def test_the_processors_of_this_process():
    allowed = len(os.sched_getaffinity(0))
    assert 1 <= mp.process_cpu_count() <= allowed


def test_shared_memory_that_nobody_tracks(tmp_path):
    done = run_script(
        tmp_path,
        """
        from LIBRARY.shared_memory import SharedMemory
        made = SharedMemory(create=True, size=10, track=False)
        opened = SharedMemory(made.name, track=False)
        opened.close()
        print(made.name)
        """,
    )
    path = f"/dev/shm/{done.stdout.strip()}"
    assert os.path.exists(path), "nobody was to remove it"
    os.unlink(path)
    assert done.stderr == ""


def test_shutting_a_managers_queue_down():
    with mp.Manager() as manager:
        queue = manager.Queue()
        queue.put(1)
        queue.shutdown()
        assert queue.get() == 1
        with pytest.raises(Exception) as caught:
            queue.get()
        assert type(caught.value).__name__ == "ShutDown"
        if hasattr(standard_queue, "ShutDown"):
            assert isinstance(caught.value, standard_queue.ShutDown)
        with pytest.raises(type(caught.value)):
            queue.put(2)
        joinable = manager.JoinableQueue()
        joinable.put(1)
        joinable.shutdown(immediate=True)
        with pytest.raises(type(caught.value)):
            joinable.get()


# 3.14


def note_interrupt(pipe):
    try:
        pipe.send("ready")
        time.sleep(600)
    except KeyboardInterrupt:
        pipe.send("interrupted")


def test_interrupting_a_process(ctx):
    here, there = ctx.Pipe()
    child = ctx.Process(target=note_interrupt, args=(there,))
    child.start()
    assert here.recv() == "ready"
    child.interrupt()
    assert here.recv() == "interrupted"
    child.join()
    assert child.exitcode == 0


def test_an_interrupted_process_that_does_not_catch_it(tmp_path):
    child = mp.get_context("spawn").Process(target=signal.pause)
    child.start()
    time.sleep(0.5)
    child.interrupt()
    child.join()
    assert child.exitcode in (1, -signal.SIGINT)


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_locks_say_whether_they_are_locked(ctx, name):
    lock = getattr(ctx, name)()
    assert lock.locked() is False
    with lock:
        assert lock.locked() is True
        here, there = ctx.Pipe()
        child = ctx.Process(target=say_locked, args=(there, lock))
        child.start()
        assert here.recv() is True
        child.join()
    assert lock.locked() is False


def say_locked(pipe, lock):
    pipe.send(lock.locked())


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_locks_of_managers_say_it_too(name):
    with mp.Manager() as manager:
        lock = getattr(manager, name)()
        assert lock.locked() is False
        with lock:
            assert lock.locked() is True
        assert lock.locked() is False


@pytest.fixture
def manager():
    with mp.Manager() as manager:
        yield manager


def test_dictionaries_of_managers(manager):
    proxy = manager.dict({1: "a", 2: "b"})
    assert proxy | {3: "c"} == {1: "a", 2: "b", 3: "c"}
    assert {0: "z"} | proxy == {0: "z", 1: "a", 2: "b"}
    proxy |= {3: "c"}
    assert proxy.copy() == {1: "a", 2: "b", 3: "c"}
    assert list(reversed(proxy)) == [3, 2, 1]
    assert proxy.fromkeys([1, 2], 0) == {1: 0, 2: 0}
    assert type(proxy).__class_getitem__(int)


def test_lists_of_managers(manager):
    proxy = manager.list([3, 1])
    copy = proxy.copy()
    assert copy == [3, 1]
    proxy.clear()
    assert len(proxy) == 0 and list(copy) == [3, 1]


def test_sets_of_managers(manager):
    proxy = manager.set({1, 2})
    assert isinstance(proxy, submodule("managers").SetProxy)
    proxy.add(3)
    proxy.discard(9)
    proxy.update([4], {5})
    assert 3 in proxy and len(proxy) == 5 and sorted(proxy) == [1, 2, 3, 4, 5]
    assert proxy | {6} == {1, 2, 3, 4, 5, 6}
    assert proxy & {1, 9} == {1}
    assert proxy - {1, 2} == {3, 4, 5}
    assert proxy ^ {1, 6} == {2, 3, 4, 5, 6}
    assert {0} | proxy == {0, 1, 2, 3, 4, 5}
    assert proxy.issuperset({1}) and proxy >= {1} and proxy > {1} and not proxy <= {1} and not proxy < {1}
    assert proxy.isdisjoint({7}) and proxy.issubset(range(9))
    assert proxy.union({7}) == {1, 2, 3, 4, 5, 7}
    assert proxy.intersection({1}) == {1} and proxy.difference({1}) == {2, 3, 4, 5}
    assert proxy.symmetric_difference({1}) == {2, 3, 4, 5}
    proxy.remove(5)
    with pytest.raises(KeyError):
        proxy.remove(5)
    proxy |= {6}
    proxy -= {6}
    proxy &= {1, 2, 3}
    proxy ^= {3, 8}
    assert proxy.copy() == {1, 2, 8}
    proxy.difference_update({8})
    proxy.intersection_update({1, 2})
    proxy.symmetric_difference_update({2, 4})
    assert proxy == {1, 4}
    assert proxy.pop() in {1, 4}
    proxy.clear()
    assert len(proxy) == 0


def add_to(proxy, n):
    proxy.add(n)


def test_sets_are_shared(ctx):
    with ctx.Manager() as manager:
        proxy = manager.set()
        children = [ctx.Process(target=add_to, args=(proxy, n)) for n in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert proxy == {0, 1}


def double(x):
    return 2 * x


def test_executors():
    from phalanx import ProcessPoolExecutor

    taken = []

    def numbers():
        for n in range(1000):
            taken.append(n)
            yield n

    with ProcessPoolExecutor(1) as executor:
        results = executor.map(double, numbers(), buffersize=3)
        assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
        assert len(taken) < 50
        results.close()
        future = executor.submit(time.sleep, 600)
        while not future.running():
            time.sleep(0.01)
        executor.terminate_workers()
        assert isinstance(future.exception(30), Exception)
    executor = ProcessPoolExecutor(1)
    future = executor.submit(time.sleep, 600)
    while not future.running():
        time.sleep(0.01)
    executor.kill_workers()
    assert isinstance(future.exception(30), Exception)


# 3.15 and later


def test_input_that_is_read_only_so_far():
    taken = []

    def numbers():
        n = 0
        while True:
            taken.append(n)
            yield n
            n += 1

    with mp.Pool(1) as pool:
        for method in (pool.imap, pool.imap_unordered):
            taken.clear()
            results = method(double, numbers(), buffersize=4)
            assert [next(results) for _ in range(6)] == [0, 2, 4, 6, 8, 10]
            assert len(taken) < 60
        for wrong in (0, -1):
            with pytest.raises(ValueError):
                pool.imap(double, [1], buffersize=wrong)


def test_closing_a_pool_whose_input_was_not_read():
    with mp.Pool(1) as pool:
        results = pool.imap(double, range(100), buffersize=2)
        assert next(results) == 0
        pool.close()
        pool.join()
        assert list(results) == [2 * n for n in range(1, 100)]


@pytest.mark.skipif("forkserver" not in START_METHODS, reason="it is about that start method")
@pytest.mark.parametrize("on_error", ["ignore", "warn", "fail"])
def test_preloading_what_cannot_be_imported(tmp_path, on_error):
    done = run_script(
        tmp_path,
        """
        import sys
        import LIBRARY as mp

        if __name__ == "__main__":
            ctx = mp.get_context("forkserver")
            ctx.set_forkserver_preload(["there_is_no_such_module"], on_error=sys.argv[1])
            child = ctx.Process(target=print, args=("works",))
            try:
                child.start()
                child.join()
            except Exception as error:
                print("refused", type(error).__name__)
        """,
        on_error,
    )
    assert done.stdout.split()[0] == ("refused" if on_error == "fail" else "works")
    assert ("there_is_no_such_module" in done.stderr) == (on_error != "ignore")
