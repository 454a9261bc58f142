"""`Queue`, `SimpleQueue` and `JoinableQueue`."""

from __future__ import annotations

import asyncio
import queue as standard_queue
import select
import threading

import pytest
import targets
from support import IS_PHALANX, mp, phalanx_only, run_script, submodule, wait_until

KINDS = ["Queue", "SimpleQueue", "JoinableQueue"]


def let_go(queue):
    """Close a queue and wait for what the standard library still does in the background."""
    queue.close()
    if hasattr(queue, "join_thread"):
        queue.join_thread()


@pytest.fixture(params=KINDS)
def any_queue(request, default_ctx):
    queue = getattr(default_ctx, request.param)()
    yield queue
    let_go(queue)


@pytest.fixture(params=["Queue", "JoinableQueue"])
def queue(request, default_ctx):
    queue = getattr(default_ctx, request.param)()
    yield queue
    let_go(queue)


# --- order and content ----------------------------------------------------------------------------


def test_first_in_first_out(any_queue):
    for number in range(1000):
        any_queue.put(number)
    assert [any_queue.get() for _ in range(1000)] == list(range(1000))


def test_from_a_child_and_to_a_child(ctx):
    for kind in KINDS:
        there, back = getattr(ctx, kind)(), ctx.SimpleQueue()
        process = ctx.Process(target=targets.drain, args=(there, back))
        process.start()
        items = [1, "two", [3.0], {"four": None}, b"5" * 100_000, None]
        for item in items:
            there.put(item)
        assert back.get() == items[:-1]
        process.join()
        let_go(there)
        let_go(back)


@pytest.mark.parametrize("size", [0, 1, 1000, 65_535, 65_536, 1_000_000, 16_000_000])
def test_items_of_any_size(any_queue, size):
    item = bytes(size)
    thread = threading.Thread(target=any_queue.put, args=(item,))  # a pipe holds only 64 KiB
    thread.start()
    assert any_queue.get() == item
    thread.join()


def test_numpy_items_arrive_whole_and_writable(default_ctx):
    numpy = pytest.importorskip("numpy", reason="numpy is an optional companion")
    queue, back = default_ctx.Queue(), default_ctx.Queue()
    process = default_ctx.Process(target=double_one, args=(queue, back))
    process.start()
    source = numpy.arange(300_000.0)
    queue.put(source)
    arrived = back.get()
    process.join()
    assert numpy.array_equal(arrived, source * 2)
    arrived[0] = 5.0
    let_go(queue)
    let_go(back)


def double_one(queue, back):
    item = queue.get()
    item *= 2
    back.put(item)


@phalanx_only
def test_put_takes_the_value_at_the_call(any_queue):
    for _ in range(50):
        item = [1, 2]
        any_queue.put(item)
        item.append("changed later")
        assert any_queue.get() == [1, 2]


@phalanx_only
def test_put_takes_an_array_at_the_call(any_queue):
    numpy = pytest.importorskip("numpy", reason="numpy is an optional companion")
    item = numpy.zeros(100_000)
    any_queue.put(item)
    item[:] = 1
    assert any_queue.get().sum() == 0


@phalanx_only
def test_what_cannot_be_pickled_raises_at_the_call(any_queue):
    with pytest.raises(TypeError, match="generator"):
        any_queue.put(n for n in ())
    any_queue.put("fine")
    assert any_queue.get() == "fine"
    assert any_queue.empty()


@phalanx_only
def test_item_that_breaks_on_arrival_costs_only_itself(any_queue):
    any_queue.put(targets.ValueThatBreaksOnLoad())
    any_queue.put("next")
    with pytest.raises(RuntimeError, match="loading breaks"):
        any_queue.get()
    assert any_queue.get() == "next"


@phalanx_only
def test_lambdas_travel(any_queue):
    any_queue.put(lambda value: value + 1)
    assert any_queue.get()(1) == 2


# --- full and empty -------------------------------------------------------------------------------


def test_empty(queue):
    with pytest.raises(standard_queue.Empty):
        queue.get(block=False)
    with pytest.raises(standard_queue.Empty):
        queue.get_nowait()
    with pytest.raises(standard_queue.Empty):
        queue.get(timeout=0.01)
    with pytest.raises(standard_queue.Empty):
        queue.get(True, 0)
    with pytest.raises(standard_queue.Empty):
        queue.get(timeout=-1)
    assert submodule("queues").Empty is standard_queue.Empty
    assert submodule("queues").Full is standard_queue.Full


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_full(default_ctx, kind):
    queue = getattr(default_ctx, kind)(2)
    queue.put(1)
    assert not queue.full()
    queue.put(2)
    assert queue.full()
    with pytest.raises(standard_queue.Full):
        queue.put(3, block=False)
    with pytest.raises(standard_queue.Full):
        queue.put_nowait(3)
    with pytest.raises(standard_queue.Full):
        queue.put(3, timeout=0.01)
    with pytest.raises(standard_queue.Full):
        queue.put(3, True, -1)
    assert queue.get() == 1
    queue.put(3)
    assert [queue.get(), queue.get()] == [2, 3]
    let_go(queue)


def test_get_makes_room_for_a_waiting_put(default_ctx):
    queue = default_ctx.Queue(maxsize=1)
    process = default_ctx.Process(target=targets.put_many, args=(queue, range(200)))
    process.start()
    assert [queue.get() for _ in range(200)] == list(range(200))
    process.join()
    let_go(queue)


def test_qsize(queue):
    assert queue.qsize() == 0
    for number in range(5):
        queue.put(number)
    assert queue.qsize() == 5
    queue.get()
    assert queue.qsize() == 4


def test_empty_and_full_tell_the_truth(any_queue):
    assert any_queue.empty()
    any_queue.put(1)
    wait_until(lambda: not any_queue.empty(), "the item is there")
    any_queue.get()
    assert any_queue.empty()
    if hasattr(any_queue, "full"):
        assert not any_queue.full()


@phalanx_only
def test_what_was_put_is_there_at_once(any_queue):
    for _ in range(200):
        any_queue.put(1)
        assert not any_queue.empty()
        any_queue.get()


def test_maxsize_zero_is_unbounded(default_ctx):
    for size in (0, -1):
        queue = default_ctx.Queue(size)
        for number in range(3000):
            queue.put(number)
        assert not queue.full()
        assert [queue.get() for _ in range(3000)] == list(range(3000))
        let_go(queue)


def test_get_waits_for_a_put_of_another_process(ctx):
    queue, go = ctx.Queue(), ctx.Event()
    process = ctx.Process(target=put_at_go, args=(queue, go))
    process.start()
    with pytest.raises(standard_queue.Empty):
        queue.get(timeout=0.01)
    go.set()
    assert queue.get(timeout=60) == "at last"
    process.join()
    let_go(queue)


def put_at_go(queue, go):
    go.wait()
    queue.put("at last")


# --- the producer leaves --------------------------------------------------------------------------


def test_producer_may_exit_at_once(ctx):
    queue = ctx.Queue()
    process = ctx.Process(target=targets.put_many, args=(queue, range(100)))
    process.start()
    process.join()
    assert [queue.get() for _ in range(100)] == list(range(100))
    let_go(queue)


@phalanx_only
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1_000_000, 20_000_000])
def test_join_before_get_of_a_large_item(ctx, kind, size):
    """The classical deadlock: the item does not fit into a pipe and nobody reads yet."""
    queue = getattr(ctx, kind)()
    process = ctx.Process(target=targets.put_blob, args=(queue, size))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert len(queue.get()) == size
    let_go(queue)


@phalanx_only
@pytest.mark.parametrize("kind", KINDS)
def test_producer_that_ends_without_cleaning_up_loses_nothing(default_ctx, kind):
    queue = getattr(default_ctx, kind)()
    process = default_ctx.Process(target=put_and_vanish, args=(queue,))
    process.start()
    process.join()
    assert [queue.get() for _ in range(100)] == [(n, "x" * n) for n in range(100)]
    let_go(queue)


def put_and_vanish(queue):
    for number in range(100):
        queue.put((number, "x" * number))
    targets.die("kill")


def test_at_exit_the_main_program_does_not_hang(tmp_path):
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp

        if __name__ == "__main__":
            queue = mp.Queue()
            queue.put(b"x" * 10_000_000)
            queue.cancel_join_thread()
            print("end")
        """,
    )
    assert (done.stdout, done.stderr) == ("end\n", "")


# --- many producers and consumers -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("producers", "consumers"), [(1, 4), (4, 1), (4, 4)])
def test_each_item_once_and_in_the_order_of_its_producer(default_ctx, kind, producers, consumers):
    count = 500
    queue, results = getattr(default_ctx, kind)(), default_ctx.Queue()
    takers = [default_ctx.Process(target=targets.drain, args=(queue, results)) for _ in range(consumers)]
    makers = [
        default_ctx.Process(target=targets.put_tagged, args=(queue, tag, count)) for tag in range(producers)
    ]
    for process in takers + makers:
        process.start()
    for process in makers:
        process.join()
    for _ in takers:
        queue.put(None)
    taken = [results.get() for _ in takers]
    for process in takers:
        process.join()
    everything = sorted(item for part in taken for item in part)
    assert everything == [(tag, index) for tag in range(producers) for index in range(count)]
    for part in taken:
        for tag in range(producers):
            own = [index for its_tag, index in part if its_tag == tag]
            assert own == sorted(own)
    let_go(queue)
    let_go(results)


def test_bounded_with_many(default_ctx):
    queue, results = default_ctx.Queue(3), default_ctx.Queue()
    takers = [default_ctx.Process(target=targets.drain, args=(queue, results)) for _ in range(3)]
    makers = [default_ctx.Process(target=targets.put_tagged, args=(queue, tag, 300)) for tag in range(3)]
    for process in takers + makers:
        process.start()
    for process in makers:
        process.join()
    for _ in takers:
        queue.put(None)
    everything = sorted(item for _ in takers for item in results.get())
    assert everything == [(tag, index) for tag in range(3) for index in range(300)]
    for process in takers:
        process.join()
    let_go(queue)
    let_go(results)


def test_from_many_threads(any_queue):
    threads = [threading.Thread(target=targets.put_tagged, args=(any_queue, tag, 200)) for tag in range(4)]
    for thread in threads:
        thread.start()
    taken = [any_queue.get() for _ in range(800)]
    for thread in threads:
        thread.join()
    assert sorted(taken) == [(tag, index) for tag in range(4) for index in range(200)]
    for tag in range(4):
        own = [index for its_tag, index in taken if its_tag == tag]
        assert own == list(range(200))


def test_get_lets_other_threads_run(any_queue):
    """A waiting get must not hold the interpreter: the put comes from a thread beside it."""
    taken = []
    thread = threading.Thread(target=lambda: taken.append(any_queue.get()))
    thread.start()
    any_queue.put("here")
    thread.join()
    assert taken == ["here"]


# --- JoinableQueue --------------------------------------------------------------------------------


def test_join_waits_for_every_task(ctx):
    tasks, results = ctx.JoinableQueue(), ctx.Queue()
    workers = [ctx.Process(target=targets.answer_squares, args=(tasks, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for number in range(20):
        tasks.put(number)
    for _ in workers:
        tasks.put(None)
    tasks.join()
    for worker in workers:
        worker.join()
    assert sorted(results.get() for _ in range(20)) == [n * n for n in range(20)]
    let_go(tasks)
    let_go(results)


def test_join_of_a_fresh_queue_returns(default_ctx):
    tasks = default_ctx.JoinableQueue()
    tasks.join()
    tasks.put(1)
    tasks.get()
    tasks.task_done()
    tasks.join()
    let_go(tasks)


def test_join_waits_until_the_last_task_done(default_ctx):
    tasks = default_ctx.JoinableQueue()
    tasks.put(1)
    tasks.put(2)
    joined = threading.Event()
    thread = threading.Thread(target=lambda: (tasks.join(), joined.set()))
    thread.start()
    tasks.get()
    tasks.task_done()
    assert not joined.wait(0.02)
    tasks.get()
    assert not joined.wait(0.02)  # taken, but not done
    tasks.task_done()
    assert joined.wait(60)
    thread.join()
    let_go(tasks)


def test_too_many_task_done(default_ctx):
    tasks = default_ctx.JoinableQueue()
    with pytest.raises(ValueError):
        tasks.task_done()
    let_go(tasks)


# --- closing --------------------------------------------------------------------------------------


def test_use_after_close(queue):
    queue.put(1)
    assert queue.get() == 1
    queue.close()
    queue.close()  # twice is fine
    with pytest.raises(ValueError, match="closed"):
        queue.put(2)
    with pytest.raises(ValueError, match="closed"):
        queue.get()


def test_join_thread_before_close(queue):
    queue.put(1)
    with pytest.raises(AssertionError):
        queue.join_thread()
    assert queue.get() == 1


def test_join_thread_and_cancel_join_thread(default_ctx):
    queue = default_ctx.Queue()
    queue.put(1)
    assert queue.get() == 1
    queue.cancel_join_thread()
    queue.close()
    queue.join_thread()


def test_simple_queue_close(default_ctx):
    queue = default_ctx.SimpleQueue()
    queue.put(1)
    queue.close()
    with pytest.raises((OSError, ValueError)):
        queue.get()


def test_close_here_leaves_the_others_working(default_ctx):
    queue, back = default_ctx.Queue(), default_ctx.Queue()
    process = default_ctx.Process(target=targets.drain, args=(queue, back))
    process.start()
    for item in (1, 2, None):
        queue.put(item)
    let_go(queue)
    assert back.get() == [1, 2]
    process.join()
    let_go(back)


# --- waiting for a queue among other things -------------------------------------------------------


def test_select_on_the_reader(any_queue):
    reader = any_queue._reader
    assert select.select([reader], [], [], 0)[0] == []
    any_queue.put(1)
    assert select.select([reader], [], [], 60)[0] == [reader]
    any_queue.get()
    assert select.select([reader], [], [], 0)[0] == []


def test_poll_on_the_reader(any_queue):
    reader = any_queue._reader
    assert not reader.poll()
    assert not reader.poll(0.01)
    any_queue.put(1)
    assert reader.poll(60)
    any_queue.get()
    assert not reader.poll(0)


def test_reader_stays_ready_while_items_are_left(any_queue):
    reader = any_queue._reader
    for number in range(3):
        any_queue.put(number)
    for number in range(3):
        assert select.select([reader], [], [], 60)[0] == [reader]
        assert any_queue.get() == number
    assert select.select([reader], [], [], 0)[0] == []


def test_connection_wait_on_queues(ctx):
    wait = submodule("connection").wait
    one, other = ctx.Queue(), ctx.SimpleQueue()
    readers = {one._reader: one, other._reader: other}
    assert wait(list(readers), 0) == []
    processes = [
        ctx.Process(target=targets.put_many, args=(one, range(50))),
        ctx.Process(target=targets.put_many, args=(other, range(50, 100))),
    ]
    for process in processes:
        process.start()
    taken = []
    while len(taken) < 100:
        for reader in wait(list(readers), 60):
            taken.append(readers[reader].get())
    assert sorted(taken) == list(range(100))
    for process in processes:
        process.join()
    let_go(one)
    let_go(other)


def test_asyncio_reader(default_ctx):
    queue = default_ctx.Queue()

    async def take(count):
        loop, taken = asyncio.get_running_loop(), []
        finished = loop.create_future()

        def ready():
            taken.append(queue.get())
            if len(taken) == count:
                finished.set_result(None)

        loop.add_reader(queue._reader.fileno(), ready)
        await asyncio.wait_for(finished, 60)
        loop.remove_reader(queue._reader.fileno())
        return taken

    process = default_ctx.Process(target=targets.put_many, args=(queue, range(100)))
    process.start()
    assert asyncio.run(take(100)) == list(range(100))
    process.join()
    let_go(queue)


# --- sharing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_only_by_inheritance(default_ctx, kind):
    import pickle

    queue = getattr(default_ctx, kind)()
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(queue)
    let_go(queue)


def test_through_a_pool_initializer(ctx):
    queue = ctx.Queue()
    with ctx.Pool(2, targets.store, (queue,)) as pool:
        pool.map(put_stored, range(20))
        assert sorted(queue.get() for _ in range(20)) == list(range(20))
        pool.close()
        pool.join()
    let_go(queue)


def put_stored(value):
    targets.stored[0].put(value)


def test_names_of_the_classes(default_ctx):
    queues = submodule("queues")
    assert isinstance(default_ctx.Queue(), queues.Queue)
    assert isinstance(default_ctx.SimpleQueue(), queues.SimpleQueue)
    assert isinstance(default_ctx.JoinableQueue(), queues.JoinableQueue)
    assert issubclass(queues.JoinableQueue, queues.Queue)
    assert mp.Queue().__class__ is queues.Queue
    assert (queues.__name__ == "phalanx.queues") == IS_PHALANX


def test_iter_with_sentinel(any_queue):
    for item in (1, 2, "end"):
        any_queue.put(item)
    assert list(iter(any_queue.get, "end")) == [1, 2]
