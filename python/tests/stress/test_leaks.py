"""What is opened and closed a thousand times leaves nothing behind."""

from __future__ import annotations

import signal

import pytest
import targets
from support import Resources, mp, phalanx_only, slow


def counts(few, many):
    """A small number in every run, the full one with --slow."""
    return pytest.mark.parametrize(
        "count", [few, pytest.param(many, marks=[slow, pytest.mark.watchdog(1800)])]
    )


def repeat(count, once):
    """Do it a few times to warm up, take the snapshot, do it `count` times, compare."""
    for _ in range(3):
        once()
    before = Resources.now()
    for _ in range(count):
        once()
    before.settle()


@counts(25, 1000)
def test_pools(default_ctx, count):
    def once():
        with default_ctx.Pool(2) as pool:
            assert pool.map(targets.square, range(4)) == [0, 1, 4, 9]
        pool.join()

    repeat(count, once)


@counts(5, 100)
def test_pools_of_every_start_method(ctx, count):
    def once():
        pool = ctx.Pool(2)
        assert pool.apply(targets.square, (3,)) == 9
        pool.close()
        pool.join()

    repeat(count, once)


@counts(10, 200)
def test_pools_terminated_in_the_middle_of_work(default_ctx, count):
    def once():
        pool = default_ctx.Pool(2)
        pool.map_async(targets.sleep_forever, range(20), 1)
        iterator = pool.imap(targets.identity, range(1000))
        pool.terminate()
        pool.join()
        del iterator

    repeat(count, once)


@counts(60, 2000)
def test_processes(default_ctx, count):
    def once():
        process = default_ctx.Process(target=targets.nothing)
        process.start()
        process.join()
        assert process.exitcode == 0

    repeat(count, once)


@counts(5, 200)
def test_processes_of_every_start_method(ctx, count):
    def once():
        process = ctx.Process(target=targets.nothing)
        process.start()
        process.join()
        assert process.exitcode == 0
        process.close()

    repeat(count, once)


@counts(20, 500)
def test_killed_processes(default_ctx, count):
    def once():
        process = default_ctx.Process(target=targets.exit_with, args=("signal", signal.SIGKILL))
        process.start()
        process.join()

    repeat(count, once)


@counts(20, 500)
def test_processes_that_nobody_joins(default_ctx, count):
    """The next start, or active_children, reaps them."""

    def once():
        default_ctx.Process(target=targets.nothing).start()

    for _ in range(3):
        once()
    before = Resources.now()
    before.children = set()
    for _ in range(count):
        once()
    while mp.active_children():
        pass
    before.settle()


@counts(200, 5000)
def test_pipes_and_queues(default_ctx, count):
    def once():
        left, right = default_ctx.Pipe()
        left.send(b"x" * 10_000)
        assert len(right.recv()) == 10_000
        left.close()
        right.close()
        queue = default_ctx.SimpleQueue()
        queue.put(b"x" * 10_000)
        assert len(queue.get()) == 10_000
        queue.close()

    repeat(count, once)


@counts(30, 1000)
def test_queues_dropped_with_items_in_them(default_ctx, count):
    def once():
        queue = default_ctx.SimpleQueue()
        for _ in range(5):
            queue.put(b"x" * 10_000)
        queue.close()

    repeat(count, once)


@counts(200, 20_000)
def test_locks_and_values(default_ctx, count):
    def once():
        with default_ctx.Lock(), default_ctx.RLock(), default_ctx.Semaphore(2):
            value, array = default_ctx.Value("i", 1), default_ctx.Array("d", 100)
            value.value += 1
            array[3] = 5.0
        default_ctx.Event().set()
        default_ctx.Barrier(1).wait()
        with default_ctx.Condition() as _:
            pass

    repeat(count, once)


@phalanx_only
@counts(20, 1000)
def test_worker_deaths(default_ctx, count):
    with default_ctx.Pool(2) as pool:

        def once():
            with pytest.raises(mp.WorkerDiedError):
                pool.apply(targets.die_by, ("kill",))

        for _ in range(3):
            once()
        before = Resources.now()
        before.children = set()
        for _ in range(count):
            once()
        assert pool.map(targets.square, range(4)) == [0, 1, 4, 9]
        after = Resources.now()
        assert len(after.children) <= 3  # two workers; a third may be on its way out
        assert len(after.descriptors) <= len(before.descriptors) + 6
    pool.join()


@phalanx_only
@counts(30, 1000)
def test_shared_memory_of_arrays_is_given_back(default_ctx, count):
    """Far more goes through than the machine has; what nobody holds is used again."""
    numpy = pytest.importorskip("numpy", reason="numpy is an optional companion")
    with default_ctx.Pool(2) as pool:

        def once():
            sent = numpy.ones(2_000_000)  # 16 MB there and 16 MB back
            assert pool.apply(targets.identity, (sent,)).sum() == 2_000_000

        for _ in range(5):
            once()
        before = shared_kibibytes()
        for _ in range(count):
            once()
        assert shared_kibibytes() - before < 5 * 16_000
    pool.join()


def shared_kibibytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssShmem"))


@counts(300, 10_000)
def test_results_of_a_living_pool(default_ctx, count):
    with default_ctx.Pool(2) as pool:

        def once():
            assert pool.apply_async(targets.square, (3,)).get(60) == 9
            assert pool.map(targets.square, range(10)) == [n * n for n in range(10)]
            assert sum(1 for _ in pool.imap(targets.square, range(10))) == 10

        for _ in range(20):
            once()
        before = Resources.now()
        for _ in range(count):
            once()
        before.settle()
    pool.join()
