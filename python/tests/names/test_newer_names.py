"""What newer versions of Python added to `multiprocessing`, on every version."""

from __future__ import annotations

import decimal
import fractions
import logging
import os
import queue as standard_queue
import signal
import sys
import threading
import time
from collections import abc

import pytest
from support import START_METHODS, mp, phalanx_only, run_script, submodule

pytestmark = phalanx_only  # an older interpreter's library has none of it


# 3.13


def test_the_processors_of_this_process():
    allowed = len(os.sched_getaffinity(0))
    assert 1 <= mp.process_cpu_count() <= allowed


COUNT = """
    import LIBRARY as mp
    from LIBRARY import futures

    if __name__ == "__main__":
        print(mp.cpu_count(), mp.process_cpu_count(), mp.get_context("spawn").cpu_count())
    """


def test_the_number_of_processors_that_python_was_told(tmp_path, monkeypatch):
    def counted(*options):
        return run_script(tmp_path, COUNT, options=options).stdout.split()

    usable = [str(mp.cpu_count())] * 3
    monkeypatch.setenv("PYTHON_CPU_COUNT", "7")
    assert counted() == ["7"] * 3
    assert counted("-X", "cpu_count=5") == ["5"] * 3
    assert counted("-X", "cpu_count=default") == usable
    assert counted("-E") == usable
    monkeypatch.setenv("PHALANX_CPU_COUNT", "3")
    assert counted("-X", "cpu_count=5") == ["3"] * 3
    monkeypatch.delenv("PHALANX_CPU_COUNT")
    monkeypatch.setenv("PYTHON_CPU_COUNT", "default")
    assert counted() == usable


def test_as_many_workers_as_python_was_told(monkeypatch):
    from phalanx import ProcessPoolExecutor

    monkeypatch.setenv("PYTHON_CPU_COUNT", "3")
    with mp.Pool() as pool:
        assert pool._processes == 3
    with ProcessPoolExecutor() as executor:
        assert executor._max_workers == 3


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


def test_proxies_are_what_they_stand_for(manager):
    assert isinstance(manager.dict(), abc.MutableMapping)
    assert isinstance(manager.list(), abc.MutableSequence)
    assert isinstance(manager.set(), abc.MutableSet)
    assert not isinstance(manager.set(), abc.Mapping)


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"])
def test_locks_of_threads_say_whether_they_are_locked(name):
    dummy = submodule("dummy")
    lock = getattr(dummy, name)()
    assert lock.locked() is False
    with lock:
        assert lock.locked() is True
        said = []
        thread = dummy.Process(target=lambda: said.append(lock.locked()), kwargs=None)
        thread.start()
        thread.join()
        assert said == [True]
    assert lock.locked() is False


def test_locks_of_threads_are_those_of_threading():
    dummy = submodule("dummy")
    assert isinstance(dummy.RLock(), type(threading.RLock()))
    assert isinstance(dummy.BoundedSemaphore(), (threading.BoundedSemaphore, dummy.Semaphore))
    lock = dummy.RLock()
    with lock, lock:
        assert lock.locked()
    assert not lock.locked()
    semaphore = dummy.BoundedSemaphore(2)
    with semaphore:
        assert not semaphore.locked()
        with semaphore:
            assert semaphore.locked()
    with pytest.raises(ValueError):
        semaphore.release()
    for given in (threading.Lock(), threading.RLock()):
        condition = dummy.Condition(given)
        with condition:
            assert condition.locked() and not condition.wait(0.01)
        assert not condition.locked()


def test_warnings_in_the_log():
    util = submodule("util")
    records = []

    class Collector(logging.Handler):
        def emit(self, record):
            records.append((record.levelno, record.getMessage(), record.funcName))

    logger, collector = mp.get_logger(), Collector()
    logger.addHandler(collector)
    try:
        util.warn("so %s", "it is")
    finally:
        logger.removeHandler(collector)
    assert records == [(util.WARNING, "so it is", "test_warnings_in_the_log")]
    assert util.WARNING == logging.WARNING and "warn" in util.__all__


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Python has interpreters to pool since 3.14")
def test_pools_of_interpreters():
    from concurrent import futures as standard

    from phalanx import futures

    assert futures.InterpreterPoolExecutor is standard.InterpreterPoolExecutor


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


# 3.15


def nothing():
    pass


def test_processes_without_keyword_arguments(ctx):
    child = ctx.Process(target=nothing, kwargs=None)
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("name", ["Value", "RawValue", "Array", "RawArray"])
def test_a_type_code_that_there_is_not(name):
    with pytest.raises(TypeError, match="bad typecode"):
        getattr(mp, name)("x", 3)


def test_waiting_for_nothing():
    wait = submodule("connection").wait
    begun = time.monotonic()
    assert wait([], 0.05) == []
    assert time.monotonic() - begun >= 0.05
    assert wait([], 0) == wait([], -1) == []


@pytest.mark.parametrize("seconds", [fractions.Fraction(1, 100), decimal.Decimal("0.01")])
def test_timeouts_are_any_real_numbers(manager, seconds):
    lock = mp.Lock()
    assert lock.acquire(timeout=seconds) and not lock.acquire(timeout=seconds)
    with pytest.raises(standard_queue.Empty):
        mp.Queue().get(timeout=seconds)
    here, _there = mp.Pipe()
    assert not here.poll(seconds)
    assert submodule("connection").wait([here], seconds) == []
    assert not mp.Event().wait(seconds)
    condition = mp.Condition()
    with condition:
        assert not condition.wait(seconds)
        assert not condition.wait_for(lambda: False, seconds)
    with pytest.raises(threading.BrokenBarrierError):
        mp.Barrier(2).wait(seconds)
    assert not manager.Event().wait(seconds)
    with pytest.raises(standard_queue.Empty):
        manager.Queue().get(timeout=seconds)
    with mp.Pool(1) as pool:
        result = pool.apply_async(time.sleep, (600,))
        result.wait(seconds)
        with pytest.raises(mp.TimeoutError):
            result.get(seconds)
        with pytest.raises(mp.TimeoutError):
            pool.imap(time.sleep, [600]).next(seconds)


@pytest.mark.parametrize("name", ["a:b", ":a", "a\nb", "a\n", "\n\ra", " a\t", "\u00fc", "%0A", "x" * 240])
def test_names_of_shared_memory(tmp_path, name):
    name = f"phalanx-{os.getpid()}-{name}"
    done = run_script(
        tmp_path,
        """
        import sys
        from LIBRARY.shared_memory import SharedMemory
        made = SharedMemory(sys.argv[1], create=True, size=10)
        opened = SharedMemory(sys.argv[1])
        opened.unlink()
        left_behind = SharedMemory(sys.argv[1], create=True, size=10)
        """,
        name,
    )
    complaint = done.stderr.partition("leaked shared_memory objects to clean up at shutdown: ")[2]
    assert complaint.splitlines()[0] == str({f"/{name}"})
    assert "unrecognized" not in done.stderr
    assert not os.path.exists(f"/dev/shm/{name}")


def test_sockets_where_temporary_files_have_long_paths(tmp_path):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    done = run_script(
        tmp_path,
        """
        from LIBRARY import connection, util
        print(util.get_temp_dir())
        with connection.Listener(family="AF_UNIX") as listener:
            connection.Client(listener.address).close()
        """,
        env={"TMPDIR": str(folder)},
    )
    assert not done.stdout.startswith(str(folder))
    assert not os.path.exists(done.stdout.strip())
    assert list(folder.iterdir()) == []


def test_a_worker_that_ended_says_which_and_how():
    from phalanx import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as executor:
        pid = executor.submit(os.getpid).result()
        error = executor.submit(os._exit, 7).exception()
        assert f"pid {pid}" in str(error) and "exit code 7" in str(error)


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


# 3.16


def inverse(x):
    return 1 / x


@pytest.mark.parametrize("options", [{}, {"chunksize": 2}, {"buffersize": 2}])
@pytest.mark.parametrize("goes_on", [False, True])
def test_results_after_an_error(monkeypatch, goes_on, options):
    from phalanx import ProcessPoolExecutor, futures

    assert (sys.version_info >= (3, 16)) == futures._MAP_GOES_ON
    monkeypatch.setattr(futures, "_MAP_GOES_ON", goes_on)
    with ProcessPoolExecutor(1) as executor:
        results = executor.map(inverse, [1, 0, 2, 0, 4], **options)
        assert next(results) == 1
        for expected in (0.5, 0.25):
            with pytest.raises(ZeroDivisionError if goes_on or expected == 0.5 else StopIteration):
                next(results)
            assert next(results, None) == (expected if goes_on else None)
        assert list(results) == []
        results = executor.map(inverse, [0, 1])
        with pytest.raises(ZeroDivisionError):
            next(results)
        results.close()
        assert list(results) == []


def test_a_map_that_took_too_long_is_over(monkeypatch):
    from phalanx import ProcessPoolExecutor, futures

    monkeypatch.setattr(futures, "_MAP_GOES_ON", True)
    executor = ProcessPoolExecutor(1)
    results = executor.map(time.sleep, [600, 0], timeout=0.1)
    with pytest.raises(futures.TimeoutError):
        next(results)
    assert list(results) == []
    executor.kill_workers()


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
            for wrong, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)):
                with pytest.raises(error, match="buffersize"):
                    method(double, [1], buffersize=wrong)


def test_closing_a_pool_whose_input_was_not_read():
    with mp.Pool(1) as pool:
        results = pool.imap(double, range(100), buffersize=2)
        assert next(results) == 0
        pool.close()
        pool.join()
        assert list(results) == [2 * n for n in range(1, 100)]
