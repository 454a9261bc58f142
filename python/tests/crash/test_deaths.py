"""A death costs exactly the task that it interrupts, whichever way tasks are given and workers end."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
import targets
from doors import TIMEOUTS, through
from support import mp, phalanx_only, wait_until

pytestmark = phalanx_only

WAYS = {
    "SIGKILL": -signal.SIGKILL,
    "SIGTERM": -signal.SIGTERM,
    "SIGSEGV": -signal.SIGSEGV,
    "SIGBUS": -signal.SIGBUS,
    "abort": -signal.SIGABRT,
    "os._exit": 3,
}


def end(how):
    """End this process at once."""
    if how == "os._exit":
        os._exit(3)
    number = signal.SIGABRT if how == "abort" else signal.Signals[how]
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    if how == "abort":
        os.abort()
    os.kill(os.getpid(), number)
    time.sleep(600)


def end_at(task):
    number, fatal, how = task
    if number == fatal:
        end(how)
    return number


@through()
@pytest.mark.parametrize("how", WAYS)
def test_a_death_costs_its_own_task(default_ctx, door, how):
    with door(default_ctx, 2) as team:
        outcomes = team.outcomes(end_at, [(number, 11, how) for number in range(40)])
        error = outcomes.pop(11)
        assert isinstance(error, mp.WorkerDiedError)
        assert outcomes == [number for number in range(40) if number != 11]
        assert error.exitcode == WAYS[how]
        assert error.signal == (-WAYS[how] if WAYS[how] < 0 else None)
        assert team.works()


@through()
def test_the_error_says_what_one_wants_to_know(ctx, door):
    with door(ctx, 2) as team:
        ballast = bytes(40 << 20)
        pid = team.call(targets.own_pid)
        (error,) = team.outcomes(allocate_and_die, [("a name", list(range(1000)))])
        text = str(error)
        assert "allocate_and_die" in text and "a name" in text  # which task, and of what
        assert "998, 999" not in text and len(text) < 1000  # in short
        assert re.search(rf"pid {error.pid}\b", text) and error.pid != os.getpid() and pid
        assert "SIGKILL" in text and error.signal == signal.SIGKILL
        assert error.peak_memory is None or error.peak_memory > 60 << 20
        assert error.peak_memory is None or "of memory at most" in text
        assert "out-of-memory" not in text and "want of memory" not in text  # nothing points to it
        assert error.peak_memory is not None or ctx.get_start_method() == "spawn"
        del ballast


def allocate_and_die(task):
    memory = bytearray(os.urandom(1)) * (64 << 20)
    end("SIGKILL" if memory else task)


def counted(task):
    number, counters = task
    counters[number] += 1  # nobody else changes this one
    time.sleep(0.001)
    return number


@through()
def test_ten_kills_at_random_among_three_hundred_tasks(default_ctx, door, seed):
    """Busy or idle: each kill costs one task at most, and nothing is done twice."""
    choose = random.Random(seed)
    counters = default_ctx.RawArray("i", 300)
    stop, killed = threading.Event(), []

    def kill():
        while len(killed) < 10 and not stop.wait(choose.uniform(0.002, 0.03)):
            workers = mp.active_children()
            if workers:
                victim = choose.choice(workers).pid
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    with door(default_ctx, 3, initializer=targets.store, initargs=(counters,)) as team:
        killer = threading.Thread(target=kill)
        killer.start()
        outcomes = team.outcomes(count_stored, range(300))
        stop.set()
        killer.join()
        lost = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, mp.WorkerDiedError)]
        assert [outcome for outcome in outcomes if not isinstance(outcome, mp.WorkerDiedError)] == [
            number for number in range(300) if number not in lost
        ]
        assert {outcomes[number].pid for number in lost} <= set(killed)
        assert len(lost) <= len(set(killed))
        assert all(counters[number] == 1 for number in range(300) if number not in lost)
        assert all(counters[number] <= 1 for number in lost)
        assert team.works()


def count_stored(number):
    return counted((number, targets.stored[0]))


@through()
def test_all_workers_at_once(default_ctx, door):
    with door(default_ctx, 4) as team:
        for _ in range(3):
            assert team.works()
            for worker in mp.active_children():
                os.kill(worker.pid, signal.SIGKILL)
            assert team.works()


@through()
@pytest.mark.parametrize("how", ["subprocess", "fork"])
def test_a_grandchild_with_all_descriptors_hides_nothing(default_ctx, door, how):
    reader, writer = default_ctx.Pipe(duplex=False)
    with door(default_ctx, 2, initializer=targets.store, initargs=(writer,)) as team:
        later = team.submit(die_with_a_grandchild, how)
        grandchild = reader.recv()
        try:
            with pytest.raises(mp.WorkerDiedError):
                later.get(60)
            assert team.works()
        finally:
            os.kill(grandchild, signal.SIGKILL)
    reader.close()
    writer.close()


def die_with_a_grandchild(how):
    if how == "fork":
        if os.fork() == 0:
            # Said by itself: one that dies before it has found its place leaves that reserved for a minute.
            targets.stored[0].send(os.getpid())
            time.sleep(600)
    else:
        fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
        for fd in fds:
            try:
                os.set_inheritable(fd, True)
            except OSError:
                continue
        program = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
        targets.stored[0].send(subprocess.Popen(program, close_fds=False).pid)
    end("SIGKILL")


@through()
def test_a_stopped_worker_is_not_taken_for_dead(default_ctx, door):
    reader, writer = default_ctx.Pipe(duplex=False)
    with door(default_ctx, 1, initializer=targets.store, initargs=(writer,)) as team:
        later = team.submit(tell_and_go_on)
        pid = reader.recv()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TIMEOUTS):
            later.get(0.2)
        os.kill(pid, signal.SIGCONT)
        assert later.get(60) == pid
        assert team.call(targets.own_pid) == pid
    reader.close()
    writer.close()


def tell_and_go_on():
    targets.stored[0].send(os.getpid())
    time.sleep(0.1)
    return os.getpid()


# --- time limits and retries ----------------------------------------------------------------------


@contextlib.contextmanager
def on_terms(kind, context, **terms):
    """Gives a function that runs one call with these options, and fails as the call does."""
    if kind == "executor":
        with mp.ProcessPoolExecutor(2, context) as executor:
            yield lambda function, *args: executor.options(**terms).submit(function, *args).result(60)
    elif kind == "Pool":
        with context.Pool(2) as pool:
            yield lambda function, *args: pool.options(**terms).apply(function, args)
        pool.join()
    else:
        from phalanx import _crews

        def call(function, *args):
            return mp.Parallel(2).options(**terms)([mp.delayed(function)(*args)])[0]

        yield call
        _crews.end_all()


any_kind = pytest.mark.parametrize("kind", ["executor", "Pool", "Parallel"])


@any_kind
def test_a_time_limit_ends_the_task_of_a_stopped_worker(default_ctx, kind):
    with on_terms(kind, default_ctx, timeout=0.5) as call:
        with pytest.raises(mp.futures.TaskTimeoutError):
            call(stop_myself)
        assert call(targets.square, 3) == 9


def stop_myself():
    os.kill(os.getpid(), signal.SIGSTOP)


@any_kind
def test_retried_where_that_was_asked_for(default_ctx, tmp_path, kind):
    with on_terms(kind, default_ctx, retries=1) as call:
        assert call(die_the_first_time, tmp_path / "first") == "done"
    with on_terms(kind, default_ctx) as call, pytest.raises(mp.WorkerDiedError):
        call(die_the_first_time, tmp_path / "second")


def die_the_first_time(path):
    if not path.exists():
        path.touch()
        end("SIGKILL")
    return "done"


@any_kind
def test_what_killed_two_workers_is_not_tried_again(default_ctx, tmp_path, kind):
    with on_terms(kind, default_ctx, retries=100) as call:
        with pytest.raises(mp.WorkerDiedError):
            call(note_and_die, tmp_path / "tries")
        assert (tmp_path / "tries").read_text() == "xx"
        assert call(targets.square, 3) == 9


def note_and_die(path):
    with open(path, "a") as file:
        file.write("x")
    end("SIGKILL")


# --- in the moments between -----------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["close", "terminate", "join", "exit"])
def test_deaths_while_a_pool_ends(default_ctx, moment, seed):
    choose = random.Random(seed)
    for _ in range(8):
        pool = default_ctx.Pool(3)
        results = [pool.apply_async(targets.square, (n,)) for n in range(100)]
        victims = [worker.pid for worker in mp.active_children()]
        killer = threading.Timer(choose.uniform(0, 0.02), kill_all, (victims,))
        killer.start()
        if moment in ("close", "join"):
            pool.close()
            pool.join()
            assert all(result.ready() for result in results)
        elif moment == "terminate":
            pool.terminate()
            pool.join()
        else:
            with pool:
                pass
        killer.join()
        for number, result in enumerate(results):
            try:
                assert result.get(60) == number * number
            except (mp.WorkerDiedError, RuntimeError):
                pass


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def test_the_pool_is_whole_again(default_ctx):
    with default_ctx.Pool(3) as pool:
        with pytest.raises(mp.WorkerDiedError):
            pool.apply(end, ("SIGKILL",))
        wait_until(lambda: pool.apply(targets.nothing) is None and len(mp.active_children()) == 3, "three")
    pool.join()
