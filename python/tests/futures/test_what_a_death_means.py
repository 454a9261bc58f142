"""`on_worker_death` of pools, executors and `Parallel`, and of single calls."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import time

import phalanx as mp
import pytest
import targets
from phalanx import Parallel, WorkerDiedError, _crews, delayed, futures
from support import wait_until


@pytest.fixture(autouse=True)
def no_idle_workers(no_child_left):
    yield
    _crews.end_all()


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_an_idle_worker(processes):
    process = next(iter(processes))
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(process.pid), "the worker has been killed")


class TestOfAPool:
    def test_every_call_fails_from_then_on(self):
        pool = mp.Pool(2, on_worker_death="break")
        pids = [process.pid for process in pool._pool]
        asleep = pool.apply_async(time.sleep, (600,))
        with pytest.raises(WorkerDiedError, match="on_worker_death"):
            pool.apply(die)
        with pytest.raises(WorkerDiedError):
            asleep.get(60)
        for call in (
            lambda: pool.apply(targets.square, (2,)),
            lambda: pool.apply_async(targets.square, (2,)),
            lambda: pool.map(targets.square, range(3)),
            lambda: pool.options(retries=1),
        ):
            with pytest.raises(WorkerDiedError):
                call()
        pool.close()
        pool.join()
        wait_until(lambda: not any(map(is_alive, pids)), "all workers have ended")

    def test_also_of_a_worker_that_had_nothing_to_do(self):
        with mp.Pool(2, on_worker_death="break") as pool:
            pool.map(targets.square, range(4))
            kill_an_idle_worker(pool._pool)
            with pytest.raises(WorkerDiedError):
                pool.map(time.sleep, [0.05] * 20, chunksize=1)

    def test_error_callbacks_are_called(self):
        errors = []
        pool = mp.Pool(2, on_worker_death="break")
        calls = [(time.sleep, (600,)), (die, ()), *[(time.sleep, (600,))] * 3]
        results = [pool.apply_async(*call, error_callback=errors.append) for call in calls]
        for result in results:
            with pytest.raises(WorkerDiedError):
                result.get(60)
        assert len(errors) == 5
        pool.close()
        pool.join()

    def test_isolate_is_the_default(self):
        with mp.Pool(2) as pool:
            with pytest.raises(WorkerDiedError, match="no other task is affected"):
                pool.apply(die)
            assert pool.map(targets.square, range(5)) == [0, 1, 4, 9, 16]

    def test_of_a_context(self):
        ctx = mp.get_context("forkserver")
        with (
            ctx.Pool(1, on_worker_death="break") as pool,
            pytest.raises(WorkerDiedError, match="on_worker_death"),
        ):
            pool.apply(die)

    def test_wrong_names_are_refused(self):
        for make in (mp.Pool, mp.ProcessPoolExecutor, Parallel):
            with pytest.raises(ValueError, match="'isolate' or 'break'"):
                make(1, on_worker_death="ignore")
        with mp.Pool(1) as pool, pytest.raises(ValueError, match="'isolate' or 'break'"):
            pool.options(on_worker_death="ignore")


class TestOfACall:
    def test_a_pools_call_can_ask_for_the_end_of_all(self):
        with mp.Pool(2) as pool:
            asleep = pool.apply_async(time.sleep, (600,))
            with pytest.raises(WorkerDiedError, match="on_worker_death"):
                pool.options(on_worker_death="break", retries=3).apply(die)
            with pytest.raises(WorkerDiedError):
                asleep.get(60)
            with pytest.raises(WorkerDiedError):
                pool.apply(targets.square, (2,))

    def test_a_pools_call_can_ask_for_the_others(self):
        with mp.Pool(2, on_worker_death="break") as pool:
            with pytest.raises(WorkerDiedError, match="no other task is affected"):
                pool.options(on_worker_death="isolate").apply(die)
            assert pool.map(targets.square, range(5)) == [0, 1, 4, 9, 16]

    def test_an_executors_call_can_ask_for_either(self):
        executor = mp.ProcessPoolExecutor(2)
        asleep = executor.submit(time.sleep, 600)
        died = executor.options(on_worker_death="break").submit(die)
        for call in (died, asleep):
            assert isinstance(call.exception(60), futures.BrokenProcessPool)
        with pytest.raises(futures.BrokenProcessPool):
            executor.submit(targets.square, 2)
        executor.shutdown()
        with mp.ProcessPoolExecutor(2, on_worker_death="break") as executor:
            spared = executor.options(on_worker_death="isolate")
            assert isinstance(spared.submit(die).exception(60), futures.TaskWorkerDiedError)
            assert executor.submit(targets.square, 2).result(60) == 4

    def test_options_are_kept_by_further_options(self):
        with mp.Pool(1) as pool:
            careful = pool.options(on_worker_death="break", timeout=60)
            assert "on_worker_death='break'" in repr(careful.options(retries=2))
            assert "timeout=60" in repr(careful.options(retries=2))


class TestOfParallel:
    def test_an_idle_workers_death_ends_the_call(self):
        with Parallel(2, on_worker_death="break") as parallel:
            assert parallel(delayed(targets.square)(n) for n in range(4)) == [0, 1, 4, 9]
            kill_an_idle_worker(parallel._crew.core.processes())
            with pytest.raises(WorkerDiedError, match="on_worker_death"):
                parallel(delayed(time.sleep)(0.05) for _ in range(20))
            # The next call has workers of its own.
            assert parallel(delayed(targets.square)(n) for n in range(4)) == [0, 1, 4, 9]

    def test_with_isolate_it_does_not(self):
        with Parallel(2) as parallel:
            parallel(delayed(targets.square)(n) for n in range(4))
            kill_an_idle_worker(parallel._crew.core.processes())
            assert parallel(delayed(targets.square)(n) for n in range(4)) == [0, 1, 4, 9]

    def test_as_an_option_of_its_tasks(self):
        with pytest.raises(WorkerDiedError, match="on_worker_death"):
            Parallel(2).options(on_worker_death="break", retries=5)([delayed(die)()])


class TestCancel:
    def test_a_running_task_when_asked(self):
        with mp.Pool(2) as pool:
            result = pool.options().apply_async(time.sleep, (600,))
            others = pool.map_async(targets.square, range(20))
            wait_until(lambda: not result.cancel(), "it runs")
            assert not result.ready()
            assert result.cancel(running=True)
            assert result.ready() and not result.successful()
            with pytest.raises(concurrent.futures.CancelledError):
                result.get(60)
            assert not result.cancel(running=True)
            assert others.get(60) == [n * n for n in range(20)]
            assert pool.apply(targets.square, (3,)) == 9

    def test_a_task_that_waits_for_its_turn(self):
        with mp.Pool(1) as pool:
            careful = pool.options()
            first = careful.apply_async(time.sleep, (0.2,))
            waiting = [careful.apply_async(targets.square, (n,)) for n in range(50)]
            assert waiting[-1].cancel()
            first.get(60)
            assert [result.get(60) for result in waiting[:-1]] == [n * n for n in range(49)]
            with pytest.raises(concurrent.futures.CancelledError):
                waiting[-1].get(60)

    def test_all_tasks_of_a_map(self):
        errors = []
        with mp.Pool(2) as pool:
            result = pool.options().map_async(time.sleep, [600] * 30, error_callback=errors.append)
            assert result.cancel(running=True)
            with pytest.raises(concurrent.futures.CancelledError):
                result.get(60)
            assert len(errors) == 1 and isinstance(errors[0], concurrent.futures.CancelledError)
            assert pool.map(targets.square, range(5)) == [0, 1, 4, 9, 16]

    def test_what_has_no_options_says_how(self):
        with mp.Pool(1) as pool:
            result = pool.apply_async(targets.square, (2,))
            with pytest.raises(NotImplementedError, match=r"pool\.options\(\)\.apply_async"):
                result.cancel()
            assert result.get(60) == 4
        with mp.pool.ThreadPool(1) as pool, pytest.raises(NotImplementedError):
            pool.apply_async(abs, (1,)).cancel()
