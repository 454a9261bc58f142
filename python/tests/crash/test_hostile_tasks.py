"""Tasks, callbacks, initializers and inputs that misbehave harm nobody but themselves."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
import targets
from doors import through
from support import mp, phalanx_only, run_script, wait_until

pytestmark = phalanx_only

# --- tasks ----------------------------------------------------------------------------------------


def close_everything():
    os.closerange(0, 1024)
    return "closed"


def close_all_but_standard():
    os.closerange(3, 1024)
    return "closed"


def ignore_all_signals():
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                continue
    return "ignored"


def block_all_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return "blocked"


def start_threads():
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return "started"


def start_lasting_thread():
    threading.Thread(target=time.sleep, args=(1,)).start()  # a process ends after its last thread
    return "started"


def fork_and_return():
    """Both return: the child must not answer in its parent's name."""
    return "parent" if os.fork() else "child"


def fork_and_exit():
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)
    return "parent"


def set_alarm():
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    time.sleep(0.1)
    return "alarmed"


def change_directory():
    os.chdir("/proc/self")
    return "changed"


def detach_from_everything():
    os.setsid()
    return "detached"


def replace_streams():
    sys.stdout = sys.stderr = sys.stdin = None
    return "replaced"


def raise_recursion_limit():
    sys.setrecursionlimit(70)
    return "limited"


def fill_a_disk():
    sys.stdout = open("/dev/full", "w")  # noqa: SIM115
    for _ in range(100):
        print("x" * 1000)
    return "written"


def collect_with_cycles():
    import gc

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            raise RuntimeError("in __del__")

    for _ in range(100):
        Cycle()
    gc.collect()
    return "collected"


TASKS = [
    close_everything,
    close_all_but_standard,
    ignore_all_signals,
    block_all_signals,
    start_threads,
    start_lasting_thread,
    fork_and_return,
    fork_and_exit,
    set_alarm,
    change_directory,
    detach_from_everything,
    replace_streams,
    raise_recursion_limit,
    fill_a_disk,
    collect_with_cycles,
]


@through()
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_of_a_task(default_ctx, door, task):
    with door(default_ctx, 2) as team:
        for _ in range(2):
            try:
                said = team.call(task)
                assert said != "child"
            except (mp.WorkerDiedError, OSError):
                pass
            assert team.works()


@pytest.mark.parametrize("how", ["close", "terminate"])
@pytest.mark.parametrize("task", [ignore_all_signals, block_all_signals, start_lasting_thread])
def test_the_pool_ends_nevertheless(default_ctx, task, how):
    pool = default_ctx.Pool(2)
    pool.map(call, [task] * 4, 1)
    getattr(pool, how)()
    pool.join()


def call(task):
    return task()


# --- callbacks ------------------------------------------------------------------------------------


def raising(error):
    def callback(_):
        raise error("made to fail in a callback")

    return callback


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, BaseException])
def test_callbacks_that_raise(default_ctx, error):
    with default_ctx.Pool(2) as pool:
        for _ in range(3):
            assert pool.apply_async(targets.square, (3,), callback=raising(error)).get(60) == 9
            assert pool.map_async(targets.square, [3], callback=raising(error)).get(60) == [9]
            failed = pool.apply_async(targets.raise_value_error, (1,), error_callback=raising(error))
            with pytest.raises(ValueError):
                failed.get(60)
        assert pool.map(targets.square, range(10)) == [n * n for n in range(10)]
    pool.join()


def test_callbacks_that_use_the_pool(default_ctx):
    """A callback runs in a thread of the pool: what it asks for must not need that thread."""
    done = []
    with default_ctx.Pool(2) as pool:

        def again(value):
            done.append(value)
            done.append(pool.apply(targets.square, (value,)))
            done.append(pool.map(targets.square, [value]))
            done.append(next(pool.imap(targets.square, [value])))

        pool.apply_async(targets.square, (3,), callback=again).get(60)
        assert done == [9, 81, [81], 81]
    pool.join()


@pytest.mark.parametrize("end", ["terminate", "close"])
def test_callbacks_that_end_the_pool(default_ctx, end):
    pool = default_ctx.Pool(2)
    ended = threading.Event()

    def finish(_):
        getattr(pool, end)()
        ended.set()

    pool.apply_async(targets.square, (3,), callback=finish)
    assert ended.wait(60)
    pool.join()


def test_callbacks_of_futures_that_raise_or_shut_down(default_ctx, caplog):
    executor = mp.ProcessPoolExecutor(2, default_ctx)
    future = executor.submit(targets.square, 3)
    future.add_done_callback(raising(ValueError))
    future.add_done_callback(lambda _: executor.shutdown(wait=False))
    assert future.result(60) == 9
    executor.shutdown()
    caplog.clear()  # it keeps the tracebacks that were logged


# --- inputs ---------------------------------------------------------------------------------------


def failing_after(count, error):
    yield from range(count)
    raise error("made to fail in the input")


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_inputs_that_raise(default_ctx, count, error):
    with default_ctx.Pool(2) as pool:
        for name in ("imap", "imap_unordered"):
            values, results = [], getattr(pool, name)(targets.identity, failing_after(count, error))
            with pytest.raises(error, match="made to fail in the input"):
                for value in results:
                    values.append(value)
            if name == "imap":
                assert values == list(range(count))
        with pytest.raises(error):
            pool.map(targets.identity, failing_after(count, error))
        assert pool.map(targets.square, range(10)) == [n * n for n in range(10)]
    pool.join()
    with mp.ProcessPoolExecutor(2, default_ctx) as executor:
        with pytest.raises(error):
            list(executor.map(targets.identity, failing_after(count, error)))
        assert executor.submit(targets.square, 3).result(60) == 9


def test_an_input_that_never_comes_can_be_left(default_ctx):
    """A generator that blocks holds up whoever reads it, but not the end of the pool."""
    gate = threading.Event()

    def waits():
        yield 1
        gate.wait()
        yield 2

    pool = default_ctx.Pool(2)
    results, got = [], threading.Event()

    def use():
        for value in pool.imap(targets.square, waits()):
            results.append(value)
            got.set()

    thread = threading.Thread(target=use)
    thread.start()
    assert pool.apply(targets.square, (3,)) == 9
    gate.set()
    thread.join()
    assert results == [1, 4]
    pool.terminate()
    pool.join()


# --- initializers and output ----------------------------------------------------------------------


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "BaseException"])
def test_initializers_that_end_in_odd_ways(ctx, error):
    with pytest.raises(BaseException) as caught, ctx.Pool(2, targets.raise_by_name, (error,)) as pool:
        pool.map(targets.square, range(10))
    assert not isinstance(caught.value, mp.TimeoutError)


def test_output_to_a_full_disk(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os, sys
        import LIBRARY as mp

        def shout(number):
            try:
                print("x" * 100_000, flush=True)
            except OSError as error:
                return error.errno
            return 0

        if __name__ == "__main__":
            real = os.dup(1)
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, 1)
            with mp.Pool(2) as pool:
                codes = pool.map(shout, range(20))
            with mp.ProcessPoolExecutor(2) as executor:
                codes += executor.map(shout, range(20))
            process = mp.Process(target=shout, args=(1,))
            process.start()
            process.join()
            os.dup2(real, 1)
            print(set(codes), flush=True)
        """,
    )
    assert done.stdout == "{28}\n"


def test_a_task_that_never_ends_can_be_ended(default_ctx):
    with mp.ProcessPoolExecutor(1, default_ctx) as executor:
        future = executor.submit(spin)
        wait_until(future.running, "it runs")
        assert future.cancel(running=True)
        assert executor.submit(targets.square, 3).result(60) == 9


def spin():
    while True:
        pass
