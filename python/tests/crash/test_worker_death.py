"""A worker of a pool dies: it costs its running task, and nothing else."""

from __future__ import annotations

import os
import re
import signal

import pytest
import targets
from support import mp, phalanx_only, wait_until

pytestmark = phalanx_only

WAYS = {"kill": r"SIGKILL|signal 9", "segfault": r"SIGSEGV|signal 11", "exit": r"code 3|status 3"}


@pytest.fixture
def pool(default_ctx):
    with default_ctx.Pool(2) as pool:
        yield pool
    pool.join()


def drained(iterator):
    """All results of an iterator, and all errors, in the order they came."""
    values, errors = [], []
    while True:
        try:
            values.append(next(iterator))
        except StopIteration:
            return values, errors
        except mp.WorkerDiedError as error:
            errors.append(error)


def still_works(pool):
    assert pool.map(targets.square, range(100), 1) == [n * n for n in range(100)]
    assert pool.apply(targets.add, (1, 2)) == 3
    assert list(pool.imap(targets.square, range(20))) == [n * n for n in range(20)]


@pytest.mark.parametrize("how", WAYS)
def test_in_apply_async(ctx, how):
    with ctx.Pool(2) as pool:
        pids = {pool.apply(targets.own_pid) for _ in range(50)}
        results = [pool.apply_async(targets.die_at, (n, 5, how)) for n in range(20)]
        with pytest.raises(mp.WorkerDiedError) as caught:
            results.pop(5).get(60)
        assert [result.get(60) for result in results] == [n * 10 for n in range(20) if n != 5]
        message = str(caught.value)
        assert re.search(WAYS[how], message), message  # how it ended
        (pid,) = {int(found) for found in re.findall(r"\b\d+\b", message)} & (pids | seen_pids(message))
        assert str(pid) in message  # which worker
        assert re.search(r"die_at|task", message), message  # which task
        still_works(pool)
    pool.join()


def seen_pids(message):
    """The number that follows the word pid: the dead worker may be one that never answered."""
    found = re.search(r"pid[ =:]*(\d+)", message)
    return {int(found.group(1))} if found else set()


@pytest.mark.parametrize("how", WAYS)
def test_in_apply(pool, how):
    for _ in range(3):
        with pytest.raises(mp.WorkerDiedError):
            pool.apply(targets.die_by, (how,))
        still_works(pool)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("chunksize", [None, 1, 5])
def test_in_map(ctx, how, chunksize):
    with ctx.Pool(2) as pool:
        with pytest.raises(mp.WorkerDiedError):
            pool.starmap(targets.die_at, [(n, 7, how) for n in range(50)], chunksize)
        still_works(pool)
    pool.join()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_in_imap(pool, how, name):
    function = {"kill": die_seven_kill, "segfault": die_seven_segfault, "exit": die_seven_exit}[how]
    values, errors = drained(getattr(pool, name)(function, range(200)))
    assert len(errors) == 1
    assert sorted(values) == [n * 10 for n in range(200) if n != 7]
    if name == "imap":
        assert values == sorted(values)
    still_works(pool)


def die_seven_kill(value):
    return targets.die_at(value, 7, "kill")


def die_seven_segfault(value):
    return targets.die_at(value, 7, "segfault")


def die_seven_exit(value):
    return targets.die_at(value, 7, "exit")


def test_the_error_comes_at_its_place_in_imap(pool):
    results = pool.imap(die_seven_kill, range(10))
    assert [next(results) for _ in range(7)] == [0, 10, 20, 30, 40, 50, 60]
    with pytest.raises(mp.WorkerDiedError):
        next(results)
    assert list(results) == [80, 90]


def test_callbacks_are_told(pool):
    import threading

    told, done = [], threading.Event()

    def keep(error):
        told.append(error)
        done.set()

    pool.apply_async(targets.die_by, ("kill",), error_callback=keep)
    assert done.wait(60)
    assert isinstance(told[0], mp.WorkerDiedError)
    done.clear()
    pool.map_async(targets.die_by, ["exit"], error_callback=keep)
    assert done.wait(60)
    assert isinstance(told[1], mp.WorkerDiedError)


def test_many_deaths(pool):
    """Ten kills cost ten tasks."""
    values, errors = drained(pool.imap_unordered(die_on_every_tenth, range(100)))
    assert len(errors) == 10
    assert sorted(values) == [n for n in range(100) if n % 10]
    still_works(pool)


def die_on_every_tenth(value):
    if value % 10 == 0:
        targets.die("kill")
    return value


def test_every_task_dies(pool):
    values, errors = drained(pool.imap(targets.die_by, ["kill"] * 20))
    assert (values, len(errors)) == ([], 20)
    still_works(pool)


def test_an_idle_worker_dies(ctx):
    with ctx.Pool(2) as pool:
        workers = mp.active_children()
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        still_works(pool)
        old = {worker.pid for worker in workers}

        def is_whole():
            # A death is noticed at the latest when the pool is used.
            still_works(pool)
            return len({w.pid for w in mp.active_children()} - old) == 2

        wait_until(is_whole, "two new workers")
    pool.join()


def test_a_worker_dies_while_its_results_are_on_the_way(pool):
    """Results that were published before the death arrive."""
    results = [pool.apply_async(large_then_next_dies, (n,)) for n in range(30)]
    lost = 0
    for number, result in enumerate(results):
        try:
            assert result.get(60) == bytes([number]) * 500_000
        except mp.WorkerDiedError:
            assert number % 10 == 9
            lost += 1
    assert lost == 3
    still_works(pool)


def large_then_next_dies(value):
    if value % 10 == 9:
        targets.die("kill")
    return bytes([value]) * 500_000


def test_killed_from_outside_in_the_middle_of_a_task(default_ctx):
    reader, writer = default_ctx.Pipe(duplex=False)
    with default_ctx.Pool(2, targets.store, (writer,)) as pool:
        result = pool.apply_async(tell_and_sleep)
        os.kill(reader.recv(), signal.SIGKILL)
        with pytest.raises(mp.WorkerDiedError, match=r"SIGKILL|signal 9"):
            result.get(60)
        still_works(pool)
    pool.join()
    reader.close()
    writer.close()


def tell_and_sleep():
    targets.stored[0].send(os.getpid())
    targets.sleep_forever()


def test_terminated_from_outside(default_ctx):
    reader, writer = default_ctx.Pipe(duplex=False)
    with default_ctx.Pool(1, targets.store, (writer,)) as pool:
        result = pool.apply_async(tell_and_sleep)
        os.kill(reader.recv(), signal.SIGTERM)
        with pytest.raises(mp.WorkerDiedError, match=r"SIGTERM|signal 15"):
            result.get(60)
        assert pool.apply(targets.add, (1, 2)) == 3
    pool.join()
    reader.close()
    writer.close()


def test_a_new_worker_is_initialised_again(default_ctx):
    with default_ctx.Pool(1, targets.store, ("kept",)) as pool:
        with pytest.raises(mp.WorkerDiedError):
            pool.apply(targets.die_by, ("kill",))
        assert pool.apply(targets.stored_plus, (1,)) == (("kept",), 1)
    pool.join()


def test_an_argument_that_kills_on_arrival(pool):
    result = pool.apply_async(targets.identity, (targets.DiesOnLoad(),))
    with pytest.raises(mp.WorkerDiedError):
        result.get(60)
    still_works(pool)


def test_with_maxtasksperchild(default_ctx):
    with default_ctx.Pool(2, maxtasksperchild=3) as pool:
        values, errors = drained(pool.imap_unordered(die_on_every_tenth, range(100)))
        assert (len(values), len(errors)) == (90, 10)
    pool.join()


def test_close_and_join_after_a_death(default_ctx):
    pool = default_ctx.Pool(2)
    results = [pool.apply_async(targets.die_at, (n, 3, "kill")) for n in range(50)]
    pool.close()
    pool.join()
    outcomes = [result.successful() for result in results]
    assert outcomes == [n != 3 for n in range(50)]


def test_a_stopped_worker_does_not_stop_timeouts(default_ctx):
    reader, writer = default_ctx.Pipe(duplex=False)
    with default_ctx.Pool(1, targets.store, (writer,)) as pool:
        result = pool.apply_async(tell_and_sleep)
        pid = reader.recv()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(mp.TimeoutError):
            result.get(0.05)
        pool.terminate()  # also of a stopped worker
    pool.join()
    reader.close()
    writer.close()


def test_error_survives_pickling(pool):
    import pickle

    with pytest.raises(mp.WorkerDiedError) as caught:
        pool.apply(targets.die_by, ("kill",))
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (type(twin), str(twin)) == (type(caught.value), str(caught.value))
