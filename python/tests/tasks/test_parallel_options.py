"""Random numbers, displays and output of `Parallel`."""

from __future__ import annotations

import io
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


def test_threads_have_no_seed():
    with pytest.raises(ValueError, match="seed"):
        Parallel(n_jobs=2, seed=1, prefer="threads")(delayed(abs)(n) for n in range(3))


@pytest.mark.parametrize("options", [{"n_jobs": 1}, {"n_jobs": 2}, {"n_jobs": 2, "prefer": "threads"}])
def test_a_bar_shows_how_far_it_is(options):
    bar = tqdm(file=io.StringIO())
    assert Parallel(**options, progress=bar)(delayed(abs)(n) for n in range(20)) == list(range(20))
    assert bar.n == 20
    bar.close()
