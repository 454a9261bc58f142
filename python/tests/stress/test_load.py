"""Many workers, many tasks, many users at once."""

from __future__ import annotations

import random
import threading

import pytest
import targets
from support import mp, phalanx_only, slow

pytestmark = pytest.mark.watchdog(300)


def test_more_workers_than_processors(default_ctx):
    with default_ctx.Pool(32) as pool:
        assert list(pool.imap(targets.square, range(5000))) == [n * n for n in range(5000)]
        assert sorted(pool.imap_unordered(targets.square, range(5000))) == [n * n for n in range(5000)]
        assert pool.map(targets.square, range(5000), 1) == [n * n for n in range(5000)]
    pool.join()


@slow
def test_a_million_tasks(default_ctx):
    with default_ctx.Pool(2) as pool:
        assert pool.map(targets.identity, range(1_000_000)) == list(range(1_000_000))
        assert sum(pool.imap_unordered(targets.identity, range(100_000))) == sum(range(100_000))
    pool.join()


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore"])
def test_lock_under_contention_of_processes_and_threads(default_ctx, kind):
    lock, value = getattr(default_ctx, kind)(), default_ctx.RawValue("q", 0)
    processes = [
        default_ctx.Process(target=increment_in_threads, args=(value, lock, 4, 500)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert value.value == 4 * 4 * 500


def increment_in_threads(value, lock, threads, count):
    running = [threading.Thread(target=targets.increment, args=(value, lock, count)) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def test_items_of_mixed_sizes_through_one_queue(default_ctx):
    queue, results = default_ctx.Queue(), default_ctx.Queue()
    takers = [default_ctx.Process(target=check_items, args=(queue, results)) for _ in range(2)]
    makers = [default_ctx.Process(target=put_random_items, args=(queue, seed, 200)) for seed in range(3)]
    for process in takers + makers:
        process.start()
    for process in makers:
        process.join()
    for _ in takers:
        queue.put(None)
    taken = sorted(item for _ in takers for item in results.get())
    assert taken == [(seed, n) for seed in range(3) for n in range(200)]
    for process in takers:
        process.join()
    for each in (queue, results):
        each.close()
        each.join_thread()


def put_random_items(queue, seed, count):
    sizes = random.Random(seed)
    for number in range(count):
        size = sizes.choice([0, 1, 100, 5000, 70_000, 300_000])
        queue.put((seed, number, size, bytes([seed]) * size))


def check_items(queue, results):
    seen = []
    while (item := queue.get()) is not None:
        seed, number, size, payload = item
        if payload != bytes([seed]) * size:
            raise AssertionError("the payload is damaged")
        seen.append((seed, number))
    results.put(seen)


@phalanx_only
@pytest.mark.parametrize("seed", range(3))
def test_random_kills_while_a_pool_works(default_ctx, seed):
    """Whoever dies when: every task gives its result or says that its worker died."""
    import os
    import signal

    choose = random.Random(seed)
    with default_ctx.Pool(3) as pool:
        results = [pool.apply_async(targets.square, (n,)) for n in range(600)]
        killed = 0
        for number in range(len(results)):
            if number % 60 == 59:
                workers = mp.active_children()
                if workers:
                    os.kill(choose.choice(workers).pid, signal.SIGKILL)
                    killed += 1
        lost = 0
        for number, result in enumerate(results):
            try:
                assert result.get(60) == number * number
            except mp.WorkerDiedError:
                lost += 1
        assert lost <= killed
        assert pool.map(targets.square, range(100)) == [n * n for n in range(100)]
    pool.join()


@phalanx_only
def test_pools_in_many_threads(default_ctx):
    failures = []

    def use():
        try:
            for _ in range(3):
                with default_ctx.Pool(2) as pool:
                    assert pool.map(targets.square, range(20)) == [n * n for n in range(20)]
                pool.join()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
