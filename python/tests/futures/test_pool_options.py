"""`Pool.options`: time limits, retries and priorities of a pool's tasks."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import signal
import threading
import time

import phalanx as mp
import pytest
import targets
from phalanx.futures import TaskTimeoutError
from support import START_METHODS, wait_until


@pytest.fixture
def pool():
    with mp.Pool(2) as pool:
        yield pool
        pool.close()
        pool.join()


def late_square(number):
    time.sleep(0.02)
    return number * number


def endless_if_odd(number):
    if number % 2:
        time.sleep(1000)
    return number


def stubborn(_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def count(path):
    with open(path, "ab") as file:
        file.write(b"x")
    return os.path.getsize(path)


def fail_twice(path):
    if count(path) < 3:
        raise ValueError("not yet")
    return "at last"


def die(path):
    count(path)
    os._exit(7)


def note(path, name):
    with open(path, "a") as file:
        file.write(f"{name}\n")


def keywords(*args, **kwargs):
    return args, kwargs


@pytest.mark.parametrize("method", START_METHODS)
def test_every_method(method):
    with mp.get_context(method).Pool(2) as pool:
        careful = pool.options(timeout=60, retries=1)
        squares = [n * n for n in range(50)]
        assert careful.apply(targets.square, (3,)) == 9
        assert careful.apply(keywords, [1], {"func": 2}) == ((1,), {"func": 2})
        assert careful.apply_async(targets.square, (4,)).get(60) == 16
        assert careful.map(targets.square, range(50)) == squares
        assert careful.map_async(targets.square, iter(range(50))).get(60) == squares
        assert careful.starmap(pow, [(2, 3), [3, 2]]) == [8, 9]
        assert careful.starmap_async(pow, [(2, 3)]).get(60) == [8]
        assert list(careful.imap(targets.square, range(50))) == squares
        assert sorted(careful.imap_unordered(targets.square, range(50))) == squares
        assert careful.map(targets.square, []) == []
        assert list(careful.imap(targets.square, [])) == []


class TestTimeLimit:
    def test_it_costs_the_late_tasks_only(self, pool):
        results = [pool.options(timeout=0.2).apply_async(endless_if_odd, (number,)) for number in range(6)]
        plain = pool.map_async(late_square, range(20))
        assert [result.get(60) for result in results[::2]] == [0, 2, 4]
        for result in results[1::2]:
            with pytest.raises(TaskTimeoutError, match=r"endless_if_odd ran longer .* 0\.2 s"):
                result.get(60)
        assert plain.get(60) == [n * n for n in range(20)]

    def test_either_way_of_catching_it(self, pool):
        result = pool.options(timeout=0.1).apply_async(time.sleep, (1000,))
        with pytest.raises(mp.TimeoutError):
            result.get()
        with pytest.raises(concurrent.futures.TimeoutError):
            result.get()

    def test_a_worker_that_will_not_end_is_killed(self, pool):
        with pytest.raises(TaskTimeoutError):
            pool.options(timeout=0.1).apply(stubborn, (1,))

    def test_in_a_stream_the_others_go_on(self, pool):
        results = pool.options(timeout=0.2).imap(endless_if_odd, range(4))
        assert next(results) == 0
        with pytest.raises(TaskTimeoutError):
            next(results)
        assert next(results) == 2
        with pytest.raises(TaskTimeoutError):
            next(results)
        with pytest.raises(StopIteration):
            next(results)

    def test_waiting_does_not_count(self, pool):
        assert pool.options(timeout=5).map(late_square, range(60)) == [n * n for n in range(60)]


class TestRetries:
    def test_until_it_succeeds(self, pool, tmp_path):
        path = str(tmp_path / "tries")
        assert pool.options(retries=2).apply(fail_twice, (path,)) == "at last"

    def test_not_more_often_than_asked(self, pool, tmp_path):
        path = str(tmp_path / "tries")
        with pytest.raises(ValueError, match="not yet"):
            pool.options(retries=1).apply(fail_twice, (path,))
        assert os.path.getsize(path) == 2

    def test_what_has_cost_two_workers_is_given_up(self, pool, tmp_path):
        path = str(tmp_path / "tries")
        with pytest.raises(mp.WorkerDiedError, match="exit code 7"):
            pool.options(retries=10).apply(die, (path,))
        assert os.path.getsize(path) == 2
        assert pool.apply(targets.square, (3,)) == 9


def test_priority_decides_what_is_begun_first(tmp_path):
    path = str(tmp_path / "order")
    with mp.Pool(1) as pool:
        blocker = pool.options().apply_async(time.sleep, (0.5,))
        low = [pool.options().apply_async(note, (path, "low")) for _ in range(10)]
        high = [pool.options(priority=1).apply_async(note, (path, "high")) for _ in range(3)]
        for result in [blocker, *low, *high]:
            result.get(60)
    order = (tmp_path / "order").read_text().split()
    # Those that lay ready for the worker could not be overtaken any more.
    assert order.index("high") < 5


def test_options_add_up(pool):
    with pytest.raises(TaskTimeoutError):
        pool.options(timeout=0.1).options(retries=1, priority=2).apply(time.sleep, (1000,))


class TestCallbacks:
    def test_before_the_result_is_ready(self, pool):
        seen = []
        result = pool.options(retries=1).apply_async(targets.square, (3,), callback=seen.append)
        assert result.get(60) == 9
        assert seen == [9] and result.ready() and result.successful()

    def test_of_a_map(self, pool):
        seen = []
        pool.options(retries=1).map_async(targets.square, range(5), callback=seen.append).wait(60)
        assert seen == [[0, 1, 4, 9, 16]]
        pool.options(retries=1).map_async(targets.square, [], callback=seen.append).wait(60)
        assert seen[1] == []

    def test_of_an_error(self, pool):
        seen = []
        result = pool.options(timeout=0.1).apply_async(time.sleep, (1000,), error_callback=seen.append)
        result.wait(60)
        assert isinstance(seen[0], TaskTimeoutError) and not result.successful()

    def test_may_use_the_pool(self, pool):
        answers = []
        done = threading.Event()

        def further(value):
            answers.append(value)
            if value < 1000:
                careful.apply_async(targets.square, (value,), callback=further)
            else:
                done.set()

        careful = pool.options(retries=1)
        careful.apply_async(targets.square, (2,), callback=further)
        assert done.wait(60)
        assert answers == [4, 16, 256, 65536]


class TestStreams:
    def test_an_endless_input_is_read_as_results_are_fetched(self, pool):
        read = itertools.count()
        results = pool.options(retries=1).imap(targets.square, read, buffersize=5)
        assert [next(results) for _ in range(20)] == [n * n for n in range(20)]
        assert next(read) <= 26

    def test_what_the_input_raises_comes_in_its_place(self, pool):
        def numbers():
            yield 1
            raise KeyError("input")

        results = pool.options(retries=1).imap(targets.square, numbers())
        assert next(results) == 1
        with pytest.raises(KeyError, match="input"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)

    def test_a_time_limit_of_the_fetch(self, pool):
        results = pool.options(retries=1).imap(time.sleep, [1000])
        with pytest.raises(mp.TimeoutError):
            results.next(timeout=0.05)
        pool.terminate()

    def test_a_pool_that_is_closed_does_what_was_begun(self):
        with mp.Pool(2) as pool:
            results = pool.options(retries=1).imap(late_square, range(50), buffersize=2)
            pool.close()
            assert list(results) == [n * n for n in range(50)]
            pool.join()


class TestTheEnd:
    def test_close_does_what_waits(self):
        pool = mp.Pool(2)
        careful = pool.options(timeout=60)
        results = [careful.apply_async(late_square, (number,)) for number in range(40)]
        pool.close()
        with pytest.raises(ValueError, match="not running"):
            careful.apply_async(late_square, (1,))
        pool.join()
        assert [result.get(0) for result in results] == [n * n for n in range(40)]

    def test_close_does_what_is_tried_again(self, tmp_path):
        pool = mp.Pool(1)
        result = pool.options(retries=5).apply_async(fail_twice, (str(tmp_path / "tries"),))
        pool.close()
        pool.join()
        assert result.get(0) == "at last"

    def test_terminate_fails_what_is_left(self):
        pool = mp.Pool(1)
        results = [pool.options(retries=5).apply_async(time.sleep, (1000,)) for _ in range(20)]
        stream = pool.options(retries=5).imap(time.sleep, [1000] * 100)
        pool.terminate()
        for result in results:
            with pytest.raises(RuntimeError, match="terminated"):
                result.get(60)
        with pytest.raises(RuntimeError, match="terminated"):
            next(stream)
        pool.join()

    def test_a_pool_without_such_calls_has_no_thread(self, pool):
        names = {thread.name for thread in threading.enumerate()}
        assert "phalanx-pool-options" not in names
        pool.options()
        wait_until(
            lambda: "phalanx-pool-options" in {thread.name for thread in threading.enumerate()},
            "the thread runs",
        )


def test_deaths_under_load_lose_no_other_task(pool, tmp_path):
    path = str(tmp_path / "tries")
    careful = pool.options(retries=1)
    killers = [careful.apply_async(die, (path,)) for _ in range(4)]
    others = [careful.apply_async(targets.square, (number,)) for number in range(500)]
    assert [result.get(60) for result in others] == [n * n for n in range(500)]
    for result in killers:
        with pytest.raises(mp.WorkerDiedError):
            result.get(60)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"retries": -1}])
def test_what_makes_no_sense_is_refused(pool, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        pool.options(**options)


def test_threads_have_none():
    with mp.pool.ThreadPool(1) as pool, pytest.raises(NotImplementedError, match="thread"):
        pool.options(timeout=1)
