"""Processes die in the middle of queues and pipes: what was published arrives, nobody waits for ever."""

from __future__ import annotations

import queue as standard_queue
import random
import signal
import threading

import pytest
import targets
from support import phalanx_only, wait_until

pytestmark = phalanx_only

KINDS = ["Queue", "SimpleQueue", "JoinableQueue"]


def put_for_ever(queue, tag, size):
    number = 0
    while True:
        queue.put((tag, number, b"x" * size))
        number += 1


def get_for_ever(queue):
    while True:
        queue.get()


def get_and_tell_for_ever(queue, counter):
    while True:
        queue.get()
        counter.value += 1


def available(queue):
    """Take all that is there, without waiting for more."""
    taken = []
    while not queue.empty():
        taken.append(queue.get())
    return taken


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1000, 200_000])
def test_killed_inside_put(default_ctx, kind, size):
    """Every item comes whole, in order, at most once; and the queue works on."""
    queue, random_ = getattr(default_ctx, kind)(), random.Random(size)
    for round_ in range(8):
        process = default_ctx.Process(target=put_for_ever, args=(queue, round_, size))
        process.start()
        got = []
        while len(got) < random_.randrange(1, 30):
            got.append(queue.get())
        process.kill()
        process.join()
        got += available(queue)
        assert [(tag, number) for tag, number, _ in got] == [(round_, n) for n in range(len(got))]
        assert all(payload == b"x" * size for _, _, payload in got)
    queue.put("still works")
    assert queue.get() == "still works"
    queue.close()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_inside_get(default_ctx, kind):
    """A killed consumer costs at most the one item it was taking."""
    queue = getattr(default_ctx, kind)()
    for _ in range(8):
        counter = default_ctx.RawValue("q", 0)
        process = default_ctx.Process(target=get_and_tell_for_ever, args=(queue, counter))
        process.start()
        for number in range(500):
            queue.put(number)
        while counter.value < 20:
            process.join(0.001)
        process.kill()
        process.join()
        left = available(queue)
        assert left == list(range(500 - len(left), 500))
        assert 0 <= 500 - len(left) - counter.value <= 1
    queue.put("still works")
    assert queue.get() == "still works"
    queue.close()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_waiting_in_get(default_ctx, kind):
    """A dead waiter does not swallow the wake-up of those who live."""
    queue, results = getattr(default_ctx, kind)(), default_ctx.SimpleQueue()
    waiting = [default_ctx.Process(target=get_for_ever, args=(queue,)) for _ in range(3)]
    for process in waiting:
        process.start()
    survivor = default_ctx.Process(target=targets.drain, args=(queue, results))
    survivor.start()
    for process in waiting:
        process.kill()
        process.join()
    for number in range(100):
        queue.put(number)
    queue.put(None)
    assert results.get() == list(range(100))
    survivor.join()
    queue.close()
    results.close()


def test_killed_while_waiting_in_put_of_a_full_queue(default_ctx):
    queue = default_ctx.Queue(2)
    for _ in range(4):
        process = default_ctx.Process(target=put_for_ever, args=(queue, 0, 10))
        process.start()
        while not queue.full():
            process.join(0.001)
        process.kill()
        process.join()
        assert [item[1] for item in available(queue)][:2] == [0, 1]
    for number in (1, 2):
        queue.put(number, timeout=60)
    with pytest.raises(standard_queue.Full):
        queue.put(3, timeout=0.01)
    assert [queue.get(), queue.get()] == [1, 2]
    queue.close()


def test_timeouts_are_kept_beside_the_dead(default_ctx):
    queue = default_ctx.Queue()
    process = default_ctx.Process(target=get_for_ever, args=(queue,))
    process.start()
    queue.put(1)
    process.kill()
    process.join()
    available(queue)
    with pytest.raises(standard_queue.Empty):
        queue.get(timeout=0.02)
    queue.close()


@pytest.mark.parametrize("kind", KINDS)
def test_many_killed_among_many(default_ctx, kind):
    """Producers and consumers are killed at random; the rest loses nothing of what lives."""
    queue, results = getattr(default_ctx, kind)(), default_ctx.SimpleQueue()
    doomed = [default_ctx.Process(target=put_for_ever, args=(queue, "doomed", 50)) for _ in range(2)]
    sound = [default_ctx.Process(target=targets.put_tagged, args=(queue, tag, 300)) for tag in range(2)]
    taker = default_ctx.Process(target=targets.drain, args=(queue, results))
    for process in [*doomed, *sound, taker]:
        process.start()
    for process in sound:
        process.join()
    for process in doomed:
        process.kill()
        process.join()
    queue.put(None)
    taken = results.get()
    taker.join()
    for tag in range(2):
        assert [item[1] for item in taken if item[0] == tag] == list(range(300))
    queue.close()
    results.close()


def test_join_of_a_joinable_queue_whose_worker_died(default_ctx):
    """An item that died with its worker is not done: `join` waits, but another one can finish it."""
    tasks = default_ctx.JoinableQueue()
    tasks.put("fatal")
    process = default_ctx.Process(target=get_and_die, args=(tasks,))
    process.start()
    process.join()
    joined = threading.Event()
    thread = threading.Thread(target=lambda: (tasks.join(), joined.set()))
    thread.start()
    assert not joined.wait(0.02)
    tasks.task_done()
    assert joined.wait(60)
    thread.join()
    tasks.close()


def get_and_die(tasks):
    tasks.get()
    targets.die("kill")


# --- pipes ----------------------------------------------------------------------------------------


def send_for_ever(connection, size):
    number = 0
    while True:
        connection.send((number, b"x" * size))
        number += 1


@pytest.mark.parametrize("size", [0, 1000, 200_000, 5_000_000])
def test_killed_inside_a_send(default_ctx, size):
    """Whole messages, in order, then the end: never half a message, never a hang."""
    random_ = random.Random(size)
    for _ in range(6):
        reader, writer = default_ctx.Pipe(duplex=False)
        process = default_ctx.Process(target=send_for_ever, args=(writer, size))
        process.start()
        writer.close()
        expected = random_.randrange(0, 8)
        for number in range(expected):
            assert reader.recv() == (number, b"x" * size)
        process.kill()
        number = expected
        try:
            while True:
                assert reader.recv() == (number, b"x" * size)
                number += 1
        except (EOFError, OSError):
            pass  # the end, or a torn last message: an error, but no wrong data
        process.join()
        reader.close()


def test_killed_reader_frees_a_blocked_sender(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.sleep_forever, args=(there,))
    process.start()
    there.close()
    errors = []

    def send():
        try:
            while True:
                here.send_bytes(b"x" * 1_000_000)
        except OSError as error:
            errors.append(type(error))

    thread = threading.Thread(target=send)
    thread.start()
    process.kill()
    thread.join()
    process.join()
    assert errors[0] in (BrokenPipeError, ConnectionResetError)
    here.close()


def test_shared_memory_comes_back_after_deaths(default_ctx):
    """Items that nobody will ever take are given back with their queue."""
    for _ in range(30):
        queue = default_ctx.SimpleQueue()
        process = default_ctx.Process(target=targets.put_blob, args=(queue, 30_000_000))
        process.start()
        process.join()
        assert process.exitcode == 0
        queue.close()
        del queue
    with open("/proc/self/status") as status:
        shared = next(int(line.split()[1]) for line in status if line.startswith("RssShmem"))
    assert shared * 1024 < 30 * 30_000_000 / 2


# --- sizes and numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_many_items_put_and_the_producer_joined_at_once(default_ctx, count):
    """Nothing is lost with a producer that ends, however much lies in the queue."""
    queue = default_ctx.Queue()
    process = default_ctx.Process(target=targets.put_many, args=(queue, range(count)))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert [queue.get() for _ in range(count)] == list(range(count))
    queue.close()


SIZES = [1, 100, 9000, 1 << 20, 20 << 20]


@pytest.mark.parametrize("largest", [20 << 20, pytest.param(200 << 20, marks=pytest.mark.slow)])
def test_killed_writers_among_items_of_all_sizes(default_ctx, largest):
    """Every item that was put arrives once, whole, in its producer's order."""
    queue, put = default_ctx.Queue(), default_ctx.RawArray("q", 3)
    sizes = [*SIZES, largest]
    writers = [default_ctx.Process(target=put_and_count, args=(queue, put, tag, sizes)) for tag in range(3)]
    for process in writers:
        process.start()
    seen = [0] * 3
    while seen[0] < 4:
        tag, number, item = queue.get()
        assert number == seen[tag] and item == bytes([number % 7]) * sizes[number % len(sizes)]
        seen[tag] += 1
    for process in writers:
        process.kill()
        process.join()
    while True:
        try:
            tag, number, item = queue.get(timeout=0.2)
        except standard_queue.Empty:
            break
        assert number == seen[tag] and item == bytes([number % 7]) * sizes[number % len(sizes)]
        seen[tag] += 1
    assert all(put[tag] <= seen[tag] <= put[tag] + 1 for tag in range(3))
    queue.close()


def put_and_count(queue, put, tag, sizes):
    number = 0
    while True:
        queue.put((tag, number, bytes([number % 7]) * sizes[number % len(sizes)]))
        put[tag] = number + 1
        number += 1


@pytest.mark.parametrize("largest", [20 << 20, pytest.param(200 << 20, marks=pytest.mark.slow)])
def test_killed_readers_among_items_of_all_sizes(default_ctx, largest):
    """While two write, one reader after another dies: each takes one item with it at most, the rest
    arrives once, whole, in order for each producer."""
    queue, rounds = default_ctx.Queue(10), 6
    sizes = [*SIZES, largest]
    put = default_ctx.RawArray("q", 2)
    over = default_ctx.Event()
    writers = [default_ctx.Process(target=put_until, args=(queue, put, tag, sizes, over)) for tag in range(2)]
    for process in writers:
        process.start()
    logs = [default_ctx.RawArray("q", 2 * 100_000) for _ in range(rounds)]
    for log in logs:
        reader = default_ctx.Process(target=take_and_log, args=(queue, log, sizes))
        reader.start()
        wait_until(lambda log=log: log[0] >= 12, "it has taken some")
        reader.kill()
        reader.join()
        assert reader.exitcode == -signal.SIGKILL
    over.set()
    mine = default_ctx.RawArray("q", 2 * 100_000)
    thread = threading.Thread(target=take_and_log, args=(queue, mine, sizes, 2))
    thread.start()
    for process in writers:
        process.join()
        assert process.exitcode == 0
    thread.join()
    taken = [entries(log) for log in [*logs, mine]]
    for tag in range(2):
        numbers = [number for log in taken for of, number in log if of == tag]
        assert numbers == sorted(set(numbers))
        assert set(numbers) <= set(range(put[tag]))
    assert sum(put) - sum(map(len, taken)) <= rounds
    queue.close()


def put_until(queue, put, tag, sizes, over):
    number = 0
    while not over.is_set():
        queue.put((tag, number, bytes([number % 7]) * sizes[number % len(sizes)]))
        number += 1
        put[tag] = number
    queue.put(None)


def take_and_log(queue, log, sizes, ends=1):
    """Takes until so many producers have ended; `log` is a count, and then what was taken."""
    while ends:
        item = queue.get()
        if item is None:
            ends -= 1
            continue
        tag, number, body = item
        if body != bytes([number % 7]) * sizes[number % len(sizes)]:
            raise AssertionError(f"item {number} of {tag} is damaged")
        log[1 + log[0]] = 2 * number + tag
        log[0] += 1


def entries(log):
    """Pairs of a producer and a number."""
    return [(entry % 2, entry // 2) for entry in log[1 : 1 + log[0]]]
