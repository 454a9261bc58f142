"""Options of the tasks of `Parallel`: time limits, retries, priorities."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy
import pytest
from phalanx import Parallel, WorkerDiedError, delayed
from phalanx.futures import TaskTimeoutError


def square(x):
    return x * x


def fail_once(folder, n):
    path = os.path.join(folder, str(n))
    if not os.path.exists(path):
        open(path, "w").close()
        raise ValueError(n)
    return n


def die_once(folder):
    path = os.path.join(folder, "died")
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_takes_too_long_is_ended(workers):
    parallel = Parallel(workers).options(timeout=0.3)
    with pytest.raises(TaskTimeoutError, match="sleep"):
        parallel([delayed(time.sleep)(600)])
    assert parallel(delayed(square)(n) for n in range(5)) == [0, 1, 4, 9, 16]


def test_tasks_that_fail_are_tried_again(tmp_path):
    with pytest.raises(ValueError):
        Parallel(2)([delayed(fail_once)(str(tmp_path), -1)])
    results = Parallel(2).options(retries=1)(delayed(fail_once)(str(tmp_path), n) for n in range(20))
    assert results == list(range(20))
    assert Parallel(2).options(retries=1)([delayed(die_once)(str(tmp_path))]) == ["lived"]


def test_a_task_that_cost_two_workers_is_not_tried_again():
    with pytest.raises(WorkerDiedError, match=r"die\(\)"):
        Parallel(2).options(retries=9)([delayed(die)()])


@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
@pytest.mark.parametrize("pre_dispatch", ["2 * n_jobs", "all", 3])
def test_results_are_as_without_options(return_as, pre_dispatch):
    parallel = Parallel(2, return_as=return_as, pre_dispatch=pre_dispatch)
    calls = [delayed(pow)(n, 2, mod=7) for n in range(50)]
    with parallel.options(priority=1) as termed:
        for _ in range(2):
            assert sorted(termed(calls)) == sorted(n * n % 7 for n in range(50))
    if return_as != "generator_unordered":
        assert list(parallel.options(timeout=60)(calls)) == list(parallel(calls))


def test_the_input_is_read_as_results_are_fetched():
    read = []

    def calls():
        for n in range(10_000):
            read.append(n)
            yield delayed(square)(n)

    results = Parallel(2, return_as="generator", pre_dispatch=4).options(retries=1)(calls())
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(read) <= 10
    with pytest.warns(UserWarning, match="have been cancelled|not used"):
        results.close()


def test_seeds_are_those_without_options():
    plain = Parallel(2, seed=7)(delayed(draw)() for _ in range(6))
    assert Parallel(2, seed=7).options(retries=1)(delayed(draw)() for _ in range(6)) == plain


def draw():
    import random

    return random.random()


def look_at(array, number):
    return array.flags.writeable, float(array.sum()) + number


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_large_arrays_are_shared(n_jobs):
    array = numpy.arange(300_000.0)
    results = Parallel(n_jobs).options(retries=1)(delayed(look_at)(array, n) for n in range(20))
    assert results == [(False, array.sum() + n) for n in range(20)]
    kept = Parallel(n_jobs, max_nbytes=None).options(retries=1)(delayed(look_at)(array, n) for n in range(3))
    assert kept == [(True, array.sum() + n) for n in range(3)]


def sum_or_die(folder, array):
    die_once(folder)
    return float(array.sum())


def test_a_shared_array_is_there_for_the_next_try(tmp_path):
    array = numpy.ones(300_000)
    (total,) = Parallel(2).options(retries=1)([delayed(sum_or_die)(str(tmp_path), array)])
    assert total == 300_000


def test_functions_are_as_they_are_when_they_are_called(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[2, 4]\n[3, 6]\n", "")


PROGRAM = """
from phalanx import Parallel, delayed
FACTOR = 2
def scaled(n):
    return FACTOR * n
if __name__ == "__main__":
    for FACTOR in (2, 3):
        print(Parallel(2).options(retries=1)(delayed(scaled)(n) for n in (1, 2)))
"""


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="retries"):
        Parallel(2).options(retries=-1)
    with pytest.raises(NotImplementedError, match="threads"):
        Parallel(2, prefer="threads").options(timeout=1)
