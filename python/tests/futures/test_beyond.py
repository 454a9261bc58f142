"""`ProcessPoolExecutor`: what the standard library's cannot do."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import targets
from phalanx import ProcessPoolExecutor, WorkerDiedError, errors, futures
from support import runs, wait_until


@pytest.fixture
def executor():
    with ProcessPoolExecutor(2) as executor:
        yield executor


def die(number=0):
    os.kill(os.getpid(), signal.SIGKILL)


def note(path, text):
    """Leave a trace of each attempt."""
    with open(path, "a") as file:
        file.write(f"{text}\n")


def die_noted(path):
    note(path, "attempt")
    die()


def succeed_at_last(path, attempts):
    note(path, "attempt")
    if len(path.read_text().splitlines()) < attempts:
        raise OSError("not yet")
    return attempts


def sleep_noted(path):
    note(path, os.getpid())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def wait_for(path):
    while not path.exists():
        time.sleep(0.005)


class TestDeath:
    def test_it_costs_the_call_that_ran(self, executor):
        calls = [executor.submit(die if n == 50 else targets.square, n) for n in range(100)]
        error = calls.pop(50).exception(60)
        assert isinstance(error, WorkerDiedError) and isinstance(error, futures.BrokenProcessPool)
        assert error.signal == signal.SIGKILL and "die(50)" in str(error)
        assert [call.result(60) for call in calls] == [n * n for n in range(100) if n != 50]
        assert executor.submit(targets.square, 5).result(60) == 25

    def test_many_deaths_under_load_lose_no_other_call(self, executor):
        """Each call has an outcome, and no more calls are lost than workers were killed."""
        end, lost, answered = time.monotonic() + 2, [], []

        def submit():
            while time.monotonic() < end:
                for n, call in enumerate([executor.submit(targets.square, n) for n in range(50)]):
                    error = call.exception(60)
                    assert error is None or isinstance(error, WorkerDiedError)
                    (answered if error is None else lost).append(n)
                    assert error is not None or call.result() == n * n

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        kills = 0
        while time.monotonic() < end:
            time.sleep(0.1)
            for process in list(executor._processes.values())[:1]:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert len(lost) <= kills and len(answered) > kills

    def test_in_a_map(self, executor):
        results = executor.map(die, range(3))
        with pytest.raises(errors.WorkerDiedError):
            next(results)
        assert list(executor.map(targets.square, range(9))) == [n * n for n in range(9)]

    def test_break_ends_everything(self):
        executor = ProcessPoolExecutor(2, on_worker_death="break")
        calls = [executor.submit(time.sleep, 600), executor.submit(die)]
        calls += [executor.submit(targets.square, n) for n in range(20)]
        for call in calls:
            assert isinstance(call.exception(60), futures.BrokenProcessPool)
        with pytest.raises(futures.BrokenProcessPool):
            executor.submit(targets.square, 1)
        executor.shutdown()


class TestTimeout:
    def test_it_ends_the_call_only(self, executor):
        late = executor.options(timeout=0.2).submit(time.sleep, 600)
        others = [executor.options(timeout=600).submit(targets.square, n) for n in range(50)]
        with pytest.raises(futures.TimeoutError, match=r"sleep ran longer than its time limit of 0\.2 s"):
            late.result(60)
        assert [call.result(60) for call in others] == [n * n for n in range(50)]

    def test_a_worker_that_will_not_end_is_killed(self, executor, tmp_path):
        path = tmp_path / "pid"
        call = executor.options(timeout=0.2).submit(sleep_noted, path)
        assert isinstance(call.exception(60), futures.TaskTimeoutError)
        pid = int(path.read_text())
        wait_until(lambda: not runs(pid), "the worker has been killed")
        assert executor.submit(targets.square, 5).result(60) == 25

    def test_break_does_not_mean_workers_that_were_ended_on_purpose(self):
        with ProcessPoolExecutor(1, on_worker_death="break") as executor:
            assert executor.options(timeout=0.1).submit(time.sleep, 600).exception(60)
            assert executor.submit(targets.square, 5).result(60) == 25


class TestRetries:
    def test_until_it_succeeds(self, executor, tmp_path):
        path = tmp_path / "attempts"
        call = executor.options(retries=5).submit(succeed_at_last, path, 3)
        assert call.result(60) == 3
        assert len(path.read_text().splitlines()) == 3

    def test_not_more_often_than_asked(self, executor, tmp_path):
        path = tmp_path / "attempts"
        call = executor.options(retries=2).submit(succeed_at_last, path, 9)
        assert isinstance(call.exception(60), OSError)
        assert len(path.read_text().splitlines()) == 3

    def test_what_has_cost_two_workers_is_given_up(self, executor, tmp_path):
        path = tmp_path / "attempts"
        call = executor.options(retries=9).submit(die_noted, path)
        assert isinstance(call.exception(60), WorkerDiedError)
        assert len(path.read_text().splitlines()) == 2


def test_priority_decides_what_is_begun_first(tmp_path):
    path, gate = tmp_path / "order", tmp_path / "gate"
    with ProcessPoolExecutor(1) as executor:
        # Enough of them that what comes later has to wait in line.
        first = [executor.submit(wait_for, gate) for _ in range(4)]
        low = [executor.options(priority=-1).submit(note, path, "low") for _ in range(3)]
        high = [executor.options(priority=1).submit(note, path, "high") for _ in range(3)]
        gate.touch()
        futures.wait([*first, *low, *high], 60)
    assert path.read_text().split() == ["high"] * 3 + ["low"] * 3


class TestCancelRunning:
    def test_it_ends_the_call_only(self, executor, tmp_path):
        path = tmp_path / "pid"
        call = executor.submit(sleep_noted, path)
        told = []
        call.add_done_callback(told.append)
        pid = int(wait_until(lambda: path.exists() and path.read_text().strip(), "it runs"))
        assert not call.cancel() and call.running()
        assert call.cancel(running=True) and call.cancelled()
        assert told == [call]
        assert futures.wait([call], 60).done == {call}
        with pytest.raises(futures.CancelledError):
            call.result(60)
        wait_until(lambda: not runs(pid), "its worker has ended")
        assert executor.submit(targets.square, 5).result(60) == 25

    def test_a_call_that_lies_ready_is_passed_over(self, tmp_path):
        path, gate = tmp_path / "trace", tmp_path / "gate"
        with ProcessPoolExecutor(1) as executor:
            first = executor.submit(wait_for, gate)
            ready = executor.submit(note, path, "it ran")
            assert ready.cancel(running=True) and ready.cancelled()
            gate.touch()
            first.result(60)
            assert executor.submit(targets.square, 5).result(60) == 25
        assert not path.exists()

    def test_one_that_is_done_is_not_cancelled(self, executor):
        call = executor.submit(targets.square, 5)
        assert call.result(60) == 25
        assert not call.cancel(running=True) and call.result() == 25


def test_options_add_up(executor):
    assert executor.options(retries=1).options(timeout=60).submit(targets.square, 3).result(60) == 9
    assert list(executor.options(timeout=60).map(targets.square, range(5))) == [0, 1, 4, 9, 16]
    for wrong in ({"timeout": 0}, {"retries": -1}):
        with pytest.raises(ValueError, match="must"):
            executor.options(**wrong)
