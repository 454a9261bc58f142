"""`pool.ThreadPool` and the package `dummy`: the same interface, with threads."""

from __future__ import annotations

import importlib
import threading
import time

import pytest
import support

mp = support.mp
dummy = importlib.import_module(f"{mp.__name__}.dummy")
pool_module = importlib.import_module(f"{mp.__name__}.pool")


@pytest.fixture
def pool():
    with pool_module.ThreadPool(3) as pool:
        yield pool


def test_map_and_its_kin(pool):
    assert pool.map(lambda x: x * x, range(100)) == [x * x for x in range(100)]
    assert pool.map(str, []) == []
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert pool.map_async(abs, [-1, 2], chunksize=1).get(10) == [1, 2]
    assert pool.starmap_async(pow, [(2, 3)]).get(10) == [8]
    assert pool.apply(int, ("11",), {"base": 2}) == 3
    assert list(pool.imap(abs, range(-50, 0), chunksize=7)) == [abs(x) for x in range(-50, 0)]
    assert sorted(pool.imap_unordered(abs, range(-5, 0))) == [1, 2, 3, 4, 5]


def test_nothing_is_copied(pool):
    thing = object()
    assert pool.apply(lambda x: x, (thing,)) is thing


def test_errors(pool):
    with pytest.raises(ZeroDivisionError):
        pool.map(lambda x: 1 // x, [1, 0])
    results = pool.imap(lambda x: 1 // x, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results) == 1
    with pytest.raises(StopIteration):
        next(results)
    with pytest.raises(mp.TimeoutError):
        pool.apply_async(time.sleep, (0.5,)).get(0.01)


def test_input_that_raises(pool):
    def numbers():
        yield 1
        raise KeyError("no more")

    results = pool.imap(abs, numbers())
    assert next(results) == 1
    with pytest.raises(KeyError):
        next(results)


def test_callbacks(pool):
    values, errors = [], []
    pool.apply_async(abs, (-1,), callback=values.append).wait(10)
    pool.apply_async(abs, ("x",), error_callback=errors.append).wait(10)
    assert values == [1]
    assert [type(error) for error in errors] == [TypeError]


def test_initializer_and_threads():
    seen = []
    with pool_module.ThreadPool(2, seen.append, ("begun",)) as pool:
        assert pool.apply(threading.current_thread) is not threading.current_thread()
        support.wait_until(lambda: len(seen) == 2, "both threads have begun")
        assert len(pool._pool) == 2


@pytest.mark.phalanx_only
def test_initializer_that_raises_breaks_the_pool():
    def fail():
        raise OSError("not today")

    with pool_module.ThreadPool(2, fail) as pool, pytest.raises(OSError, match="not today"):
        pool.map(abs, range(10))


@pytest.mark.phalanx_only
def test_endless_input(pool):
    def numbers():
        n = 0
        while True:
            yield n
            n += 1

    results = pool.imap(abs, numbers(), buffersize=4)
    assert [next(results) for _ in range(10)] == list(range(10))


def test_close_finishes_what_was_sent():
    pool = pool_module.ThreadPool(2)
    result = pool.map_async(abs, range(100))
    results = pool.imap(abs, iter(range(1000)))
    pool.close()
    with pytest.raises(ValueError):
        pool.apply(abs, (1,))
    pool.join()
    assert result.get(0) == list(range(100))
    assert list(results) == list(range(1000))


@pytest.mark.phalanx_only
def test_terminate_drops_what_has_not_begun():
    pool = pool_module.ThreadPool(1)
    hold = threading.Event()
    pool.apply_async(hold.wait)
    dropped = pool.apply_async(abs, (1,))
    pool.terminate()
    with pytest.raises(RuntimeError, match="terminated"):
        dropped.get(10)
    pool.join()
    hold.set()


def test_dummy():
    queue = dummy.Queue()
    process = dummy.Process(target=queue.put, args=(1,))
    assert process.exitcode is None
    process.start()
    process.join()
    assert process.exitcode == 0
    assert queue.get() == 1
    assert process not in dummy.active_children()
    here, there = dummy.Pipe()
    here.send("a")
    assert there.poll() and there.recv() == "a"
    assert not there.poll(0.01)
    with dummy.Pool(2) as pool:
        assert pool.map(abs, [-1]) == [1]
    assert dummy.Manager().Value("i", 3).value == 3
    assert list(dummy.Array("i", [1, 2])) == [1, 2]


def test_dummy_connection():
    connection = importlib.import_module(f"{mp.__name__}.dummy.connection")
    with connection.Listener() as listener:
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        client = connection.Client(listener.address)
        thread.join()
        client.send(1)
        assert accepted[0].recv() == 1


@pytest.mark.parametrize(
    "what", ["task", "initializer", pytest.param("callback", marks=pytest.mark.phalanx_only)]
)
def test_threads_that_are_at_work_when_the_program_ends(tmp_path, what):
    """They are left behind, and do not disturb the end."""
    for _ in range(3):
        done = support.run_script(
            tmp_path,
            """
            import sys
            import threading
            import time
            from LIBRARY.pool import ThreadPool

            begun = threading.Semaphore(0)

            def go_on(*_):
                begun.release()
                while True:
                    time.sleep(0.0005)

            if sys.argv[1] == "initializer":
                pool = ThreadPool(4, go_on)
            else:
                pool = ThreadPool(4)
                for _ in range(4):
                    task, callback = (go_on, None) if sys.argv[1] == "task" else (int, go_on)
                    pool.apply_async(task, callback=callback)
            for _ in range(4):
                begun.acquire()
            print("end")
            """,
            what,
        )
        assert done.stdout == "end\n"
        assert done.stderr == ""
