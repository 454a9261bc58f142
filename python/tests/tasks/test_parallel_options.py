"""Random numbers, displays and output of `Parallel`."""

from __future__ import annotations

import io
import logging
import os
import random

import numpy as np
import phalanx as mp
import pytest
import tasks_targets as targets
from phalanx import Parallel, delayed
from tqdm import tqdm

pytestmark = pytest.mark.phalanx_only


@pytest.fixture(autouse=True)
def no_crews():
    yield
    mp.parallel._crews.end_all()


def drawn(n_jobs, seed=5, **options):
    parallel = Parallel(n_jobs=n_jobs, seed=seed, **options)
    return [list(parallel(delayed(targets.draw)(number) for number in range(10))) for _ in range(2)]


def test_results_depend_on_the_seed_alone():
    first = drawn(1)
    assert first == drawn(2) == drawn(3, batch_size=4) == drawn(2, return_as="generator")
    assert first != drawn(2, seed=6)
    assert len({number for call in first for task in call for number in task[1:4]}) == 60
    with mp.Pool(2, seed=5) as pool:
        assert pool.map(targets.draw, range(10)) == first[0]


def test_a_loop_of_this_process_leaves_its_own_generators_alone():
    before = random.getstate(), np.random.get_state()[1].tolist()
    drawn(1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_call_without_a_seed_draws_anew():
    drawn(2)
    parallel = Parallel(n_jobs=2)
    one, other = (parallel(delayed(targets.draw)(0) for _ in range(4)) for _ in range(2))
    assert len({task[3] for task in one + other}) == 8


def own(number):
    return number, float(mp.rng().random()), float(mp.rng().random())


def test_in_threads_each_task_has_its_own_generator():
    def calls(n_jobs, **options):
        parallel = Parallel(n_jobs=n_jobs, seed=3, **options)
        return [list(parallel(delayed(own)(number) for number in range(12))) for _ in range(2)]

    first = calls(2)
    for n_jobs in (1, 2, 3):
        assert calls(n_jobs, prefer="threads") == first
    assert calls(2, prefer="threads", return_as="generator", batch_size=3) == first


def test_threads_leave_the_global_generators_alone():
    before = random.getstate(), np.random.get_state()[1].tolist()
    for n_jobs in (1, 2):
        Parallel(n_jobs, seed=3, prefer="threads")(delayed(own)(number) for number in range(12))
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_bar_shows_how_far_tasks_with_options_are():
    bar = tqdm(file=io.StringIO())
    parallel = Parallel(2, progress=bar).options(retries=1)
    assert parallel(delayed(abs)(n) for n in range(20)) == list(range(20))
    assert bar.n == 20
    bar.close()


def log(number):
    logging.getLogger("tasks.parallel").warning("number %d", number)
    return os.getpid()


def test_logs_of_workers_come_here_in_order(caplog):
    for parallel in (Parallel(2, logs=True), Parallel(2, logs=True).options(retries=1)):
        caplog.clear()
        pids = parallel(delayed(log)(n) for n in range(40))
        said = [(record.process, record.getMessage()) for record in caplog.records]
        assert sorted(said) == sorted((pid, f"number {n}") for n, pid in enumerate(pids))
        for pid in set(pids):
            mine = [message for process, message in said if process == pid]
            assert mine == [f"number {n}" for n, process in enumerate(pids) if process == pid]
    assert os.getpid() not in pids


def test_workers_without_logs_are_others():
    with_logs = Parallel(2, logs=True)(delayed(os.getpid)() for _ in range(8))
    assert not set(with_logs) & set(Parallel(2)(delayed(os.getpid)() for _ in range(8)))


@pytest.mark.parametrize("options", [{"n_jobs": 1}, {"n_jobs": 2}, {"n_jobs": 2, "prefer": "threads"}])
def test_a_bar_shows_how_far_it_is(options):
    bar = tqdm(file=io.StringIO())
    assert Parallel(**options, progress=bar)(delayed(abs)(n) for n in range(20)) == list(range(20))
    assert bar.n == 20
    bar.close()
