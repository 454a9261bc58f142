"""Searches that end with the first result that decides them."""

from __future__ import annotations

import itertools
import os

import phalanx as mp
import pytest
import tasks_targets as targets
from support import wait_until

pytestmark = pytest.mark.phalanx_only


def test_any_all_and_first_answer_what_they_ask(ctx):
    with ctx.Pool(2) as pool:
        assert pool.any(abs, [0, 0, -3])
        assert not pool.any(abs, [0, 0])
        assert not pool.any(abs, [])
        assert pool.all(abs, [1, 2])
        assert not pool.all(abs, [1, 0])
        assert pool.all(abs, [])
        assert pool.first(abs, [-3]) == 3
        assert pool.first(abs, [-3, -5], lambda value: value > 4) == 5
        assert pool.first(abs, [-3], lambda value: value > 4) is None
        assert pool.first(abs, [-3], lambda value: value > 4, default="none") == "none"
        assert pool.first(lambda item: None, range(5)) is None
        assert pool.first(lambda item: 0, range(1)) == 0


def test_threads_search_too():
    with mp.pool.ThreadPool(2) as pool:
        assert pool.any(abs, itertools.count())
        assert not pool.any(abs, [0])
        assert not pool.all(abs, [1, 0])
        assert pool.first(lambda x: x if x * x == 144 else None, itertools.count()) == 12
        assert pool.first(abs, [-1], lambda value: False, default=7) == 7
        with pytest.raises(ZeroDivisionError):
            pool.any(lambda x: x / 0, itertools.count())
        # The other would take a minute, and end the process.
        assert pool.any(targets.true_at_zero_else_wait, [1, 0])
        assert pool.map(abs, [-1]) == [1]


def test_an_endless_input_will_do():
    with mp.Pool(2) as pool:
        assert pool.first(lambda x: x if x * x == 144 else None, itertools.count()) == 12
        assert pool.any(lambda x: x > 1000, itertools.count(), chunksize=10)
        assert pool.map(abs, [-1]) == [1]


def test_a_running_task_sees_that_the_answer_is_known(ctx, tmp_path):
    with ctx.Pool(2) as pool:
        # The waiting tasks would take a minute.
        assert pool.any(targets.note_and_wait, [(str(tmp_path), 1), (str(tmp_path), 0)])
        wait_until(lambda: (tmp_path / "ended-1").exists(), "the task has seen it")


def test_what_has_not_begun_is_not_run(tmp_path):
    with mp.Pool(1) as pool:
        paths = [str(tmp_path / str(number)) for number in range(200)]
        assert pool.first(targets.leave_a_file, paths) == paths[0]
        assert pool.map(abs, [1]) == [1]
        # The answer was known after the first task; what had been sent by then lies behind it.
        assert len(list(tmp_path.iterdir())) < 150


def test_an_error_ends_the_search():
    with mp.Pool(2) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.any(lambda x: x / 0, itertools.count())
        with pytest.raises(RuntimeError, match="mine"):
            pool.first(abs, itertools.count(), _refuse)
        assert pool.map(abs, [-1]) == [1]


def _refuse(value):
    raise RuntimeError("mine")


def test_a_worker_that_dies_is_the_searchs_error():
    with mp.Pool(2) as pool:
        with pytest.raises(mp.WorkerDiedError):
            pool.all(lambda x: os._exit(3), [1])
        assert pool.all(abs, range(1, 100))


def test_nothing_is_left_of_searches(resources):
    _search_often()
    resources.settle()


def _search_often():
    with mp.Pool(2) as pool:
        for _ in range(200):
            assert pool.any(lambda x: x == 5, itertools.count())
        assert pool._cache == {}


def test_a_search_of_a_closed_pool_is_refused():
    pool = mp.Pool(1)
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.any(abs, [1])
    pool.join()


def test_wrong_chunks_are_refused():
    with mp.Pool(1) as pool, pytest.raises(ValueError, match="Chunksize"):
        pool.any(abs, [1], chunksize=0)


def test_nobody_is_cancelled_outside_of_a_search():
    assert mp.cancelled() is False
    with mp.Pool(1) as pool:
        assert pool.map(targets.is_cancelled, range(3)) == [False] * 3
        assert pool.any(targets.is_cancelled, range(3)) is False
        assert pool.apply(targets.is_cancelled) is False
    with mp.ProcessPoolExecutor(1) as executor:
        assert executor.submit(targets.is_cancelled).result() is False


def test_searches_one_after_the_other_do_not_meet():
    with mp.Pool(2) as pool:
        workers = {process.pid for process in pool._pool}
        for _ in range(20):
            assert pool.any(targets.true_at_zero_else_wait, [0, 1])
        # Each waiting task ends when its own search does, or it would kill its worker after a minute.
        assert pool.map(abs, [-1] * 10, chunksize=1) == [1] * 10
        assert {process.pid for process in pool._pool} == workers
