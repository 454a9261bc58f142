"""`Pool`: what it computes, in which order, and its states."""

from __future__ import annotations

import collections
import itertools
import os
import threading

import pytest
import targets
from support import IS_PHALANX, mp, phalanx_only, submodule, wait_until


@pytest.fixture
def pool(default_ctx):
    with default_ctx.Pool(2) as pool:
        yield pool
    pool.join()


# --- every way to call, by every start method -----------------------------------------------------


def test_every_call_by_every_start_method(ctx):
    with ctx.Pool(2) as pool:
        assert pool.apply(targets.add, (1, 2), {"c": 3}) == 6
        assert pool.apply_async(targets.add, (1,), {"b": 5}).get(60) == 6
        assert pool.map(targets.square, range(50)) == [n * n for n in range(50)]
        assert pool.map_async(targets.square, [1, 2]).get(60) == [1, 4]
        assert pool.starmap(targets.add, [(1, 2), (3,), (4, 5)]) == [3, 3, 9]
        assert pool.starmap_async(targets.add, [(1, 2)]).get(60) == [3]
        assert list(pool.imap(targets.square, range(50))) == [n * n for n in range(50)]
        assert sorted(pool.imap_unordered(targets.square, range(50))) == [n * n for n in range(50)]
        with pytest.raises(ValueError, match="no good"):
            pool.apply(targets.raise_value_error, (1,))
        assert pool.apply(targets.own_pid) != os.getpid()
        pool.close()
        pool.join()


# --- map ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [None, 1, 3, 7, 100, 1000])
def test_map_keeps_the_order_for_any_chunksize(pool, chunksize):
    assert pool.map(targets.identity, range(100), chunksize) == list(range(100))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 20000])
def test_map_of_any_length(pool, count):
    assert pool.map(targets.identity, range(count)) == list(range(count))


def test_map_takes_any_iterable(pool):
    assert pool.map(targets.square, (n for n in range(5))) == [0, 1, 4, 9, 16]
    assert pool.map(targets.square, {3: "three"}) == [9]
    assert pool.map(str.upper, "abc") == ["A", "B", "C"]
    assert pool.map(len, zip([1, 2], [3, 4], strict=True)) == [2, 2]


def test_map_gives_each_item_to_one_call(pool, tmp_path):
    results = pool.map(touch_once, [tmp_path / str(n) for n in range(200)], 1)
    assert results == [True] * 200


def touch_once(path):
    path.touch(exist_ok=False)  # fails at a second call with the same item
    return True


def test_map_raises_the_first_error(pool):
    with pytest.raises(ValueError) as caught:
        pool.map(targets.odd_raises, [0, 2, 3, 4], 1)
    assert caught.value.args == (3,)
    assert pool.map(targets.identity, [1]) == [1]


def test_map_of_a_generator_that_raises(pool):
    def items():
        yield 1
        yield 2
        raise LookupError("at item 2")

    with pytest.raises(LookupError, match="at item 2"):
        pool.map(targets.identity, items())
    assert pool.map(targets.identity, [1]) == [1]


def test_map_of_what_cannot_be_iterated(pool):
    with pytest.raises(TypeError):
        pool.map(targets.identity, 3)
    assert pool.map(targets.identity, [1]) == [1]


def test_starmap(pool):
    pairs = list(zip(range(100), range(100, 200), strict=True))
    assert pool.starmap(targets.add, pairs) == [a + b for a, b in pairs]
    assert pool.starmap(targets.add, pairs, chunksize=9) == [a + b for a, b in pairs]
    assert pool.starmap(targets.add, (pair for pair in pairs[:3])) == [100, 102, 104]
    assert pool.starmap(targets.add, []) == []
    with pytest.raises(TypeError):
        pool.starmap(targets.add, [1, 2])
    with pytest.raises(TypeError):
        pool.starmap(targets.add, [()])


def test_both_workers_take_part(default_ctx):
    barrier = default_ctx.Barrier(2)
    with default_ctx.Pool(2, initializer=targets.store, initargs=(barrier,)) as pool:
        # Each call waits for the other: one worker alone could never finish.
        assert len(set(pool.map(meet_at_barrier, range(2), 1))) == 2


def meet_at_barrier(_):
    targets.stored[0].wait(60)
    return os.getpid()


# --- imap -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 4, 64])
def test_imap_keeps_the_order(pool, chunksize):
    assert list(pool.imap(targets.square, range(500), chunksize)) == [n * n for n in range(500)]


@pytest.mark.parametrize("chunksize", [1, 4, 64])
def test_imap_unordered_gives_each_once(pool, chunksize):
    got = list(pool.imap_unordered(targets.square, range(500), chunksize))
    assert sorted(got) == [n * n for n in range(500)]


def test_imap_of_nothing(pool):
    assert list(pool.imap(targets.identity, [])) == []
    assert list(pool.imap_unordered(targets.identity, iter(()))) == []
    with pytest.raises(StopIteration):
        next(pool.imap(targets.identity, []))


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
@pytest.mark.parametrize("chunksize", [0, -1])
def test_imap_refuses_a_chunksize_below_one(pool, name, chunksize):
    with pytest.raises(ValueError):
        getattr(pool, name)(targets.identity, [1], chunksize)


def test_imap_goes_on_after_an_error(pool):
    results = pool.imap(targets.odd_raises, range(6))
    assert next(results) == 0
    with pytest.raises(ValueError):
        next(results)
    assert next(results) == 2
    with pytest.raises(ValueError):
        next(results)
    assert next(results) == 4
    with pytest.raises(ValueError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_imap_unordered_gives_results_and_errors(pool):
    results = pool.imap_unordered(targets.odd_raises, range(20))
    values, errors = collect(results)
    assert sorted(values) == list(range(0, 20, 2))
    assert sorted(error.args[0] for error in errors) == list(range(1, 20, 2))


def collect(iterator):
    values, errors = [], []
    while True:
        try:
            values.append(next(iterator))
        except StopIteration:
            return values, errors
        except Exception as error:
            errors.append(error)


@pytest.mark.parametrize(
    ("name", "chunksize"),
    [
        ("imap", 1),
        ("imap", 3),
        ("imap_unordered", 1),
        # The standard library may give the error first and lose the other chunks.
        pytest.param("imap_unordered", 3, marks=phalanx_only),
    ],
)
def test_imap_of_a_generator_that_raises(pool, name, chunksize):
    def items():
        yield from range(6)
        raise LookupError("at item 6")

    values, errors = collect(getattr(pool, name)(targets.identity, items(), chunksize))
    assert sorted(values) == list(range(6))
    assert [(type(error), error.args) for error in errors] == [(LookupError, ("at item 6",))]
    assert pool.map(targets.identity, [1]) == [1]


def test_imap_next_with_timeout(default_ctx):
    go = default_ctx.Event()
    with default_ctx.Pool(1, initializer=targets.store, initargs=(go,)) as pool:
        results = pool.imap(wait_for_go, ["done"])
        with pytest.raises(mp.TimeoutError):
            results.next(timeout=0.01)
        with pytest.raises(mp.TimeoutError):
            results.next(0)
        go.set()
        assert results.next(timeout=60) == "done"
        with pytest.raises(StopIteration):
            results.next(timeout=60)


def wait_for_go(value):
    targets.stored[0].wait(60)
    return value


def test_imap_is_an_iterator(pool):
    results = pool.imap(targets.identity, [1, 2])
    assert iter(results) is results
    assert list(itertools.chain(results, results)) == [1, 2]
    assert list(results) == []


@phalanx_only
@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
@pytest.mark.parametrize("chunksize", [1, 10])
def test_imap_reads_its_input_as_it_is_consumed(pool, name, chunksize):
    """An endless input works, and what is read ahead is bounded however long nobody asks."""
    taken = itertools.count()
    read = []

    def endless():
        for number in taken:
            read.append(number)
            yield number

    results = getattr(pool, name)(targets.identity, endless(), chunksize)
    first = [next(results) for _ in range(100)]
    assert len(set(first)) == 100
    if name == "imap":
        assert first == list(range(100))
    # Nobody consumes now: the reading has to come to a stop.
    seen = -1

    def stands_still():
        nonlocal seen
        seen, before = len(read), seen
        pool.apply(targets.nothing)
        return seen == before

    wait_until(stands_still, "the look-ahead is full")
    assert len(read) < 100 + 5000 * chunksize
    more = [next(results) for _ in range(1000)]
    assert len(set(first + more)) == 1100
    pool.terminate()


def test_two_imaps_at_once(pool):
    squares = pool.imap(targets.square, range(100))
    numbers = pool.imap(targets.identity, range(100))
    assert [(next(squares), next(numbers)) for _ in range(100)] == [(n * n, n) for n in range(100)]


def test_imap_given_up_half_way(pool):
    results = pool.imap(targets.identity, range(1000))
    assert next(results) == 0
    del results
    assert pool.map(targets.identity, range(10)) == list(range(10))


# --- apply and results ----------------------------------------------------------------------------


def test_async_result_states(default_ctx):
    go = default_ctx.Event()
    with default_ctx.Pool(1, initializer=targets.store, initargs=(go,)) as pool:
        result = pool.apply_async(wait_for_go, ("value",))
        assert isinstance(result, submodule("pool").AsyncResult)
        assert not result.ready()
        with pytest.raises(ValueError):
            result.successful()
        assert result.wait(0.01) is None
        with pytest.raises(mp.TimeoutError):
            result.get(timeout=0.01)
        with pytest.raises(mp.TimeoutError):
            result.get(0)
        go.set()
        result.wait(60)
        assert result.ready()
        assert result.successful()
        assert result.get() == "value"
        assert result.get(timeout=0) == "value"  # as often as one likes


def test_async_result_of_a_failure(pool):
    result = pool.apply_async(targets.raise_value_error, (7,))
    result.wait(60)
    assert result.ready()
    assert not result.successful()
    for _ in range(2):
        with pytest.raises(ValueError, match="no good"):
            result.get()


def test_map_result_states(pool):
    result = pool.map_async(targets.odd_raises, range(10), 1)
    result.wait(60)
    assert result.ready()
    assert not result.successful()
    with pytest.raises(ValueError):
        result.get()
    result = pool.map_async(targets.identity, [])
    assert result.get(60) == []
    assert result.successful()


def test_callbacks(pool):
    arrived = []
    done = threading.Event()

    def keep(value):
        arrived.append((value, threading.current_thread() is threading.main_thread()))
        done.set()

    for submit, expected in (
        (lambda: pool.apply_async(targets.square, (3,), callback=keep), 9),
        (lambda: pool.map_async(targets.square, [1, 2], callback=keep), [1, 4]),
        (lambda: pool.starmap_async(targets.add, [(1, 2)], callback=keep), [3]),
    ):
        done.clear()
        result = submit()
        assert done.wait(60)
        assert arrived.pop()[0] == expected
        assert result.get(60) == expected


def test_error_callbacks(pool):
    arrived = []
    done = threading.Event()

    def keep(error):
        arrived.append(error)
        done.set()

    def never(value):
        arrived.append(("called although it failed", value))

    for submit in (
        lambda: pool.apply_async(targets.odd_raises, (1,), callback=never, error_callback=keep),
        lambda: pool.map_async(targets.odd_raises, [1], callback=never, error_callback=keep),
        lambda: pool.starmap_async(targets.odd_raises, [(1,)], callback=never, error_callback=keep),
    ):
        done.clear()
        result = submit()
        assert done.wait(60)
        (error,) = arrived
        assert (type(error), error.args) == (ValueError, (1,))
        with pytest.raises(ValueError):
            result.get(60)
        arrived.clear()


def test_callback_runs_before_get_returns(pool):
    for _ in range(50):
        arrived = []
        pool.apply_async(targets.identity, (1,), callback=arrived.append).get(60)
        assert arrived == [1]


@phalanx_only
def test_callback_runs_without_anybody_asking_for_the_result(pool):
    done = threading.Event()
    pool.apply_async(targets.identity, (1,), callback=lambda _: done.set())
    assert done.wait(60)


@phalanx_only
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_callback_that_raises_harms_nobody(pool):
    def fail(_):
        raise RuntimeError("the callback failed on purpose")

    pool.apply_async(targets.identity, (1,), callback=fail).wait(60)
    assert pool.map(targets.identity, range(10)) == list(range(10))
    assert pool.apply_async(targets.identity, (2,)).get(60) == 2


def test_many_apply_async(pool):
    results = [pool.apply_async(targets.square, (n,)) for n in range(2000)]
    assert [result.get(60) for result in results] == [n * n for n in range(2000)]


def test_from_many_threads(pool):
    failures = []

    def use(base):
        try:
            for n in range(base, base + 50):
                assert pool.apply(targets.square, (n,)) == n * n
            assert pool.map(targets.square, range(base, base + 100)) == [
                n * n for n in range(base, base + 100)
            ]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(base,)) for base in range(0, 4000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# --- size, initializer, recycling -----------------------------------------------------------------


def test_number_of_processes(default_ctx):
    for count in (0, -1):
        with pytest.raises(ValueError):
            default_ctx.Pool(count)
    barrier = default_ctx.Barrier(3)
    with default_ctx.Pool(3, initializer=targets.store, initargs=(barrier,)) as pool:
        assert len(set(pool.map(meet_at_barrier, range(3), 1))) == 3


def test_default_size_is_the_number_of_processors(tmp_path):
    with mp.Pool() as pool:
        assert pool.map(targets.identity, [1, 2]) == [1, 2]
        if IS_PHALANX:
            assert f"pool_size={mp.cpu_count()}" in repr(pool)


def test_initializer_runs_in_every_worker(ctx):
    with ctx.Pool(2, initializer=targets.store, initargs=("a", 1)) as pool:
        assert pool.map(targets.stored_plus, range(10), 1) == [(("a", 1), n) for n in range(10)]
        pool.close()
        pool.join()


def test_initializer_has_to_be_callable(default_ctx):
    with pytest.raises(TypeError):
        default_ctx.Pool(1, initializer="text")


def test_maxtasksperchild(ctx):
    with ctx.Pool(1, maxtasksperchild=2) as pool:
        pids = [pool.apply(targets.own_pid) for _ in range(6)]
        pool.close()
        pool.join()
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4] == pids[5]
    assert len(set(pids)) == 3


def test_maxtasksperchild_runs_the_initializer_again(default_ctx):
    with default_ctx.Pool(2, targets.store, ("kept",), maxtasksperchild=1) as pool:
        assert pool.map(targets.stored_plus, range(8), 1) == [(("kept",), n) for n in range(8)]


@pytest.mark.parametrize("value", [0, -1, 1.5, "2"])
def test_maxtasksperchild_has_to_be_a_positive_number(default_ctx, value):
    with pytest.raises((ValueError, TypeError)):
        default_ctx.Pool(1, maxtasksperchild=value)


def test_workers_are_daemons_with_names(pool):
    name, daemon = pool.apply(worker_facts)
    assert "PoolWorker-" in name
    assert daemon


def worker_facts():
    process = mp.current_process()
    return process.name, process.daemon


# --- states ---------------------------------------------------------------------------------------


def test_after_close_no_new_work_but_the_old_is_done(default_ctx):
    go = default_ctx.Event()
    pool = default_ctx.Pool(1, targets.store, (go,))
    waiting = pool.apply_async(wait_for_go, ("done",))
    queued = pool.map_async(targets.identity, range(10))
    pool.close()
    for use in use_of_a_pool(pool):
        with pytest.raises(ValueError):
            use()
    go.set()
    pool.join()
    assert waiting.get(0) == "done"
    assert queued.get(0) == list(range(10))
    pool.close()  # again is fine
    pool.join()


def test_after_terminate(default_ctx):
    pool = default_ctx.Pool(2)
    pool.apply_async(targets.sleep_forever)
    pool.terminate()
    for use in use_of_a_pool(pool):
        with pytest.raises(ValueError):
            use()
    pool.join()
    pool.terminate()


def use_of_a_pool(pool):
    yield lambda: pool.apply(targets.identity, (1,))
    yield lambda: pool.apply_async(targets.identity, (1,))
    yield lambda: pool.map(targets.identity, [1])
    yield lambda: pool.map_async(targets.identity, [1])
    yield lambda: pool.starmap(targets.identity, [(1,)])
    yield lambda: pool.starmap_async(targets.identity, [(1,)])
    yield lambda: list(pool.imap(targets.identity, [1]))
    yield lambda: list(pool.imap_unordered(targets.identity, [1]))
    yield lambda: pool.__enter__()


def test_join_before_close(pool):
    with pytest.raises(ValueError):
        pool.join()


def test_leaving_the_block_terminates(ctx):
    with ctx.Pool(2) as pool:
        assert pool.__enter__() is pool
        pool.apply_async(targets.sleep_forever)
    with pytest.raises(ValueError):
        pool.apply(targets.nothing)
    pool.join()
    assert mp.active_children() == []


def test_leaving_the_block_by_an_exception(default_ctx):
    with pytest.raises(LookupError), default_ctx.Pool(2) as pool:
        pool.apply_async(targets.sleep_forever)
        raise LookupError
    pool.join()


@phalanx_only
def test_get_after_terminate_does_not_hang(default_ctx):
    pool = default_ctx.Pool(1)
    result = pool.apply_async(targets.sleep_forever)
    many = pool.map_async(targets.sleep_forever, range(10))
    lazy = pool.imap(targets.sleep_forever, range(10))
    pool.terminate()
    for ask in (result.get, many.get, lazy.__next__):
        with pytest.raises(Exception) as caught:
            ask()
        assert not isinstance(caught.value, (mp.TimeoutError, StopIteration))
    pool.join()


def test_get_started_before_terminate(default_ctx):
    """A `wait` with a timeout comes back whatever happens to the pool."""
    pool = default_ctx.Pool(1)
    result = pool.apply_async(targets.sleep_forever)
    pool.terminate()
    result.wait(0.01)
    pool.join()


def test_close_then_terminate(default_ctx):
    pool = default_ctx.Pool(1)
    pool.apply_async(targets.sleep_forever)
    pool.close()
    pool.terminate()
    pool.join()


def test_repr(default_ctx):
    pool = default_ctx.Pool(2)
    assert "state=RUN" in repr(pool)
    assert "pool_size=2" in repr(pool)
    pool.close()
    assert "state=CLOSE" in repr(pool)
    pool.terminate()
    assert "state=TERMINATE" in repr(pool)
    pool.join()


def test_pool_cannot_be_pickled(pool):
    import pickle

    with pytest.raises(NotImplementedError):
        pickle.dumps(pool)


def test_forgotten_pool_warns(default_ctx):
    import gc

    pool = default_ctx.Pool(1)
    pool.apply(targets.nothing)
    with pytest.warns(ResourceWarning, match="unclosed running"):
        pool.__del__()
    pool.terminate()
    pool.join()
    del pool
    gc.collect()


def test_pools_side_by_side(default_ctx):
    with default_ctx.Pool(1) as one, default_ctx.Pool(1) as other:
        first, second = one.apply_async(targets.own_pid), other.apply_async(targets.own_pid)
        assert first.get(60) != second.get(60)


def test_pool_inside_a_process(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, use_an_inner_pool, 10))
    process.start()
    assert here.recv() == ("ok", [n * n for n in range(10)])
    process.join()


def use_an_inner_pool(count):
    with mp.Pool(2) as pool:
        return pool.map(targets.square, range(count))


@phalanx_only
def test_pool_inside_a_pool(default_ctx):
    with default_ctx.Pool(2) as pool:
        expected = [[n * n for n in range(count)] for count in (3, 5)]
        assert pool.map(use_an_inner_pool, (3, 5)) == expected


def test_pool_after_pool(default_ctx):
    for _ in range(10):
        with default_ctx.Pool(2) as pool:
            assert pool.map(targets.square, range(4)) == [0, 1, 4, 9]


def test_keywords_may_be_any_mapping(pool):
    assert pool.apply(dict, (), collections.UserDict(a=1)) == {"a": 1}


def test_thread_pool_is_there():
    with submodule("pool").ThreadPool(2) as pool:
        assert pool.map(lambda x: x + 1, [1, 2]) == [2, 3]


@phalanx_only
def test_too_many_workers_are_refused():
    with pytest.raises(ValueError, match="the most is 1024"):
        mp.Pool(100_000)
