"""`ProcessPoolExecutor`: what is asked of `concurrent.futures` too."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import threading
import time
from concurrent import futures as standard

import pytest
import targets
from phalanx import ProcessPoolExecutor, futures, get_context
from phalanx.process import BaseProcess
from support import START_METHODS, wait_until


@pytest.fixture(params=START_METHODS)
def context(request):
    return get_context(request.param)


@pytest.fixture
def executor():
    with ProcessPoolExecutor(2) as executor:
        yield executor


def raise_it(text):
    raise ValueError(text)


def late_square(number):
    time.sleep(0.02)
    return number * number


def nested(number):
    with ProcessPoolExecutor(1) as inner:
        return inner.submit(targets.square, number).result(60)


def keywords(*args, **kwargs):
    return args, kwargs


def touch(path):
    path.touch()


def test_submit_by_each_start_method(context):
    with ProcessPoolExecutor(2, context) as executor:
        calls = [executor.submit(targets.square, n) for n in range(200)]
        assert all(isinstance(call, standard.Future) for call in calls)
        assert [call.result(60) for call in calls] == [n * n for n in range(200)]
        assert list(executor.map(targets.square, range(50))) == [n * n for n in range(50)]


def test_keywords_reach_the_function(executor):
    call = executor.submit(keywords, 1, fn=2, self=3, timeout=4)
    assert call.result(60) == ((1,), {"fn": 2, "self": 3, "timeout": 4})


def test_an_exception_carries_the_remote_traceback(executor):
    error = executor.submit(raise_it, "text").exception(60)
    assert type(error) is ValueError and error.args == ("text",)
    assert "raise ValueError(text)" in str(error.__cause__)


def test_what_cannot_be_sent_fails_that_call_only(executor):
    call = executor.submit(targets.square, threading.Lock())
    with pytest.raises(TypeError, match="lock"):
        call.result(60)
    with pytest.raises(TypeError, match="lock"):
        executor.submit(threading.Lock).result(60)
    assert executor.submit(targets.square, 3).result(60) == 9


def test_waiting_for_many(executor):
    calls = {executor.submit(targets.square, n) for n in range(300)}
    assert {call.result() for call in futures.as_completed(calls, 60)} == {n * n for n in range(300)}
    done, pending = futures.wait(calls, 60)
    assert done == calls and not pending


def test_asyncio(executor):
    async def main():
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, targets.square, n) for n in range(50)]
        wrapped = asyncio.wrap_future(executor.submit(targets.square, 7))
        with pytest.raises(ValueError, match="text"):
            await loop.run_in_executor(executor, raise_it, "text")
        return await asyncio.gather(*calls), await wrapped

    results, one = asyncio.run(asyncio.wait_for(main(), 60))
    assert results == [n * n for n in range(50)] and one == 49


def test_callbacks_may_submit(executor):
    done = threading.Event()
    results = []

    def on(call):
        results.append(call.result())
        if len(results) < 20:
            executor.submit(targets.square, len(results)).add_done_callback(on)
        else:
            done.set()

    executor.submit(targets.square, 0).add_done_callback(on)
    assert done.wait(60)
    assert results == [n * n for n in range(20)]


def test_several_threads_submit(executor):
    results = {}

    def submit(thread):
        calls = [executor.submit(targets.square, n) for n in range(200)]
        results[thread] = [call.result(60) for call in calls]

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {n: [k * k for k in range(200)] for n in range(4)}


def test_executors_in_workers(executor):
    assert [call.result(60) for call in [executor.submit(nested, n) for n in range(3)]] == [0, 1, 4]


def test_an_initializer_that_raises_breaks_the_executor(context):
    executor = ProcessPoolExecutor(1, context, raise_it, ("no",))
    with pytest.raises(futures.BrokenProcessPool, match="no"):
        executor.submit(targets.square, 1).result(60)
    with pytest.raises(futures.BrokenProcessPool):
        wait_until(lambda: executor.submit(targets.square, 1).result(60), "it is broken")
    executor.shutdown()


def test_max_tasks_per_child():
    with ProcessPoolExecutor(1, max_tasks_per_child=2) as executor:
        pids = [executor.submit(os.getpid).result(60) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_workers_that_cannot_be_started(monkeypatch):
    def start(self, bench):
        raise OSError("no processes left")

    monkeypatch.setattr(futures.Starter, "__call__", start)
    executor = ProcessPoolExecutor(2)
    with pytest.raises(OSError, match="no processes left"):
        executor.submit(targets.square, 1)
    with pytest.raises(futures.BrokenProcessPool, match="no processes left"):
        executor.submit(targets.square, 1)
    executor.shutdown()


@pytest.mark.parametrize("step", ["made", "started"])
def test_with_one_worker_it_goes_on(monkeypatch, step):
    kind, name = {"made": (futures.Starter, "__call__"), "started": (BaseProcess, "start")}[step]
    done, calls = getattr(kind, name), itertools.count()

    def once(self, *args):
        if next(calls):
            raise OSError("no processes left")
        return done(self, *args)

    with monkeypatch.context() as patched, ProcessPoolExecutor(3) as executor:
        patched.setattr(kind, name, once)
        assert list(executor.map(targets.square, range(20))) == [n * n for n in range(20)]
        assert len(executor._processes) == 1


@pytest.mark.phalanx_only
def test_workers_start_as_calls_come(default_ctx):
    with ProcessPoolExecutor(3, default_ctx) as executor:
        assert not executor._processes
        assert executor.submit(targets.square, 3).result() == 9
        assert len(executor._processes) == 1
        assert sorted(executor.map(targets.square, range(20))) == [n * n for n in range(20)]
        assert len(executor._processes) == 3


def test_a_thread_that_cannot_be_started(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    executor = ProcessPoolExecutor(2)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            executor.submit(targets.square, 1)
    with pytest.raises(futures.BrokenProcessPool):
        executor.submit(targets.square, 1)
    executor.shutdown()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"initializer": 5}, TypeError),
        ({"max_tasks_per_child": 0}, ValueError),
        ({"max_tasks_per_child": "many"}, TypeError),
        ({"max_tasks_per_child": 3, "mp_context": get_context("fork")}, ValueError),
        ({"on_worker_death": "weep"}, ValueError),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, error):
    with pytest.raises(error):
        ProcessPoolExecutor(**arguments)


class TestMap:
    def test_several_iterables_and_chunks(self, executor):
        for chunksize in (1, 3, 100):
            results = executor.map(pow, range(40), range(50), chunksize=chunksize)
            assert list(results) == [n**n for n in range(40)]
        assert list(executor.map(abs, [])) == []
        with pytest.raises(ValueError, match="chunksize"):
            executor.map(abs, [1], chunksize=0)

    def test_an_error_is_the_end(self, executor):
        results = executor.map(divmod, [1, 1, 1, 1], [2, 1, 0, 5])
        assert [next(results), next(results)] == [(0, 1), (1, 0)]
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []

    def test_a_timeout(self, executor):
        results = executor.map(time.sleep, [0, 60], timeout=1)
        assert next(results) is None
        with pytest.raises(futures.TimeoutError):
            next(results)
        executor.kill_workers()

    def test_everything_runs_though_nobody_fetches(self, tmp_path):
        with ProcessPoolExecutor(2) as executor:
            executor.map(touch, [tmp_path / str(n) for n in range(500)])
        assert len(list(tmp_path.iterdir())) == 500

    def test_the_input_is_read_at_once(self, executor):
        source = iter(range(1000))
        results = executor.map(targets.square, source)
        assert next(source, None) is None
        assert list(results) == [n * n for n in range(1000)]

    def test_a_buffersize_holds_the_input_back(self, executor):
        read = []

        def numbers():
            for n in range(10_000):
                read.append(n)
                yield n

        results = executor.map(targets.square, numbers(), buffersize=10)
        assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
        assert len(read) <= 25
        assert list(results) == [n * n for n in range(5, 10_000)]
        for wrong, error in ((0, ValueError), ("1", TypeError)):
            with pytest.raises(error):
                executor.map(abs, [1], buffersize=wrong)

    def test_one_left_unfinished_does_not_hold_the_executor_up(self):
        with ProcessPoolExecutor(2) as executor:
            results = executor.map(late_square, range(10_000))
            assert next(results) == 0
            del results
            gc.collect()


class TestEnd:
    def test_shutdown_does_what_was_submitted(self):
        executor = ProcessPoolExecutor(2)
        calls = [executor.submit(late_square, n) for n in range(20)]
        executor.shutdown(wait=False)
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(targets.square, 1)
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.map(targets.square, [1])
        assert [call.result(60) for call in calls] == [n * n for n in range(20)]
        executor.shutdown()
        assert executor._processes is None

    def test_cancel_futures(self):
        executor = ProcessPoolExecutor(2)
        calls = [executor.submit(time.sleep, 0.05) for _ in range(100)]
        executor.shutdown(cancel_futures=True)
        assert all(call.done() for call in calls)
        cancelled = [call for call in calls if call.cancelled()]
        assert 80 < len(cancelled) < 100
        done, pending = futures.wait(calls, 60)
        assert len(done) == 100 and not pending

    def test_an_executor_that_is_gone_does_what_was_submitted(self):
        executor = ProcessPoolExecutor(2)
        calls = [executor.submit(late_square, n) for n in range(20)]
        thread = executor._executor_manager_thread
        processes = executor._processes
        del executor
        gc.collect()
        assert [call.result(60) for call in calls] == [n * n for n in range(20)]
        thread.join(60)
        assert not thread.is_alive()
        assert all(process.exitcode == 0 for process in processes.values())

    def test_shutdown_from_a_callback(self):
        executor = ProcessPoolExecutor(1)
        ended = threading.Event()

        def end(call):
            executor.shutdown()
            ended.set()

        executor.submit(targets.square, 3).add_done_callback(end)
        assert ended.wait(60)
        executor.shutdown()

    def test_one_that_was_never_used(self):
        ProcessPoolExecutor(2).shutdown()
        executor = ProcessPoolExecutor(2)
        executor.kill_workers()
        with pytest.raises(RuntimeError):
            executor.submit(targets.square, 1)

    @pytest.mark.parametrize("method", ["kill_workers", "terminate_workers"])
    def test_ending_the_workers(self, method):
        executor = ProcessPoolExecutor(2)
        calls = [executor.submit(time.sleep, 600) for _ in range(2)]
        wait_until(lambda: all(call.running() for call in calls), "they run")
        getattr(executor, method)()
        for call in calls:
            assert isinstance(call.exception(60), futures.BrokenProcessPool)
        executor.shutdown()
        with pytest.raises((RuntimeError, futures.BrokenProcessPool)):
            executor.submit(targets.square, 1)

    def test_a_forked_child_cannot_use_it(self, executor):
        assert executor.submit(targets.square, 3).result(60) == 9

        def submit():
            with pytest.raises(RuntimeError, match="parent process"):
                executor.submit(targets.square, 1)

        child = get_context("fork").Process(target=submit)
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert executor.submit(targets.square, 4).result(60) == 16


def deeper(levels):
    if levels == 0:
        return 1
    with ProcessPoolExecutor(2) as inner:
        return 1 + max(inner.map(deeper, [levels - 1] * 2))


def test_executors_in_workers_of_executors_in_workers(executor):
    assert executor.submit(deeper, 2).result(60) == 3


def test_asyncio_with_options(executor):
    async def work():
        loop = asyncio.get_running_loop()
        careful = executor.options(timeout=0.2)
        squares = [loop.run_in_executor(careful, late_square, number) for number in range(10)]
        late = loop.run_in_executor(careful, time.sleep, 1000)
        assert await asyncio.gather(*squares) == [n * n for n in range(10)]
        with pytest.raises(futures.TaskTimeoutError):
            await late

    asyncio.run(work())


def test_a_worker_is_replaced_after_so_many_calls():
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=2) as executor:
        pids = [executor.submit(os.getpid).result(60) for _ in range(6)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2]


class TestMapOnTerms:
    def test_a_buffersize_holds_the_input_back(self, executor):
        read = []

        def numbers():
            for number in range(1000):
                read.append(number)
                yield number

        results = executor.options(retries=1).map(targets.square, numbers(), buffersize=3)
        assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
        assert len(read) <= 9

    def test_the_first_error_is_the_end(self, executor):
        results = executor.options(retries=1).map(raise_it, ["a", "b"])
        with pytest.raises(ValueError, match="a"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)

    def test_a_late_call_in_a_map(self, executor):
        results = executor.options(timeout=0.1).map(time.sleep, [0, 1000])
        assert next(results) is None
        with pytest.raises(futures.TaskTimeoutError):
            next(results)

    def test_a_time_limit_of_the_whole(self, executor):
        results = executor.options(retries=1).map(time.sleep, [5], timeout=0.1)
        with pytest.raises(futures.TimeoutError) as late:
            next(results)
        assert not isinstance(late.value, futures.TaskTimeoutError)
        executor.kill_workers()

    def test_a_shutdown_before_everything_was_read(self):
        executor = ProcessPoolExecutor(1)
        results = executor.options(retries=1).map(targets.square, iter(range(10)), buffersize=2)
        assert next(results) == 0
        executor.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            list(results)
