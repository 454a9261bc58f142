"""What one is told of the shared memory, and that nothing keeps itself alive."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest
import targets
from support import dump_state, mp, phalanx_only

pytestmark = phalanx_only


def test_the_state_of_shared_memory_in_words(default_ctx):
    lock, rlock, semaphore = default_ctx.Lock(), default_ctx.RLock(), default_ctx.Semaphore(3)
    event, barrier, queue = default_ctx.Event(), default_ctx.Barrier(2), default_ctx.Queue(7)
    said = dump_state()
    assert f"pid {os.getpid()}, alive" in said
    assert "Lock, 0 bytes, of 1: free" in said and "3 of 3 free" in said and "not set" in said
    lock.acquire()
    rlock.acquire()
    rlock.acquire()
    semaphore.acquire()
    event.set()
    queue.put(1)
    queue.put(2)
    waiting = threading.Thread(target=break_at, args=(barrier,))
    waiting.start()
    while "1 wait" not in (said := dump_state()):
        time.sleep(0.01)
    assert "Lock, 0 bytes, of 1: held by process 1" in said
    assert "held by process 1, depth 2" in said
    assert "2 of 3 free, 1 held by process 1" in said
    assert "2 items (limit 7)" in said and ": set" in said
    barrier.abort()
    waiting.join()
    queue.close()


def break_at(barrier):
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        pass


def test_the_state_of_a_process_that_stands_still(default_ctx):
    """Asked from outside: it need not do anything for it."""
    reader, writer = default_ctx.Pipe(duplex=False)
    with default_ctx.Pool(1, targets.store, (writer,)) as pool:
        later = pool.apply_async(tell_and_sleep)
        reader.recv()
        ask = f"from phalanx._core import dump_state; print(dump_state({os.getpid()}))"
        said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60)
        assert "seat 0 has tasks 0 to 0 of job 1, begun 1, done 0" in said.stdout, said.stderr
        del later
    pool.join()
    reader.close()
    writer.close()
    nothing = "import os; from phalanx._core import dump_state; dump_state(os.getpid())"
    said = subprocess.run([sys.executable, "-c", nothing], capture_output=True, text=True, timeout=60)
    assert "has no memory of this version of phalanx" in said.stderr


def tell_and_sleep():
    targets.stored[0].send("begun")
    time.sleep(600)


class Marker:
    """Something to hold a weak reference to."""


def fail_with_everything_in_reach(pool):
    marker = Marker()
    results = [
        pool.apply_async(targets.raise_value_error, (1,)),
        pool.map_async(targets.raise_value_error, [1]),
        pool.apply_async(targets.square, (2,), callback=lambda _: marker),
    ]
    results[2].get(60)
    for result in results[:2]:
        with pytest.raises(ValueError):
            result.get(60)
    return weakref.ref(marker)


@pytest.mark.parametrize("kind", ["Pool", "ThreadPool"])
def test_a_result_that_leads_to_itself_is_collected(default_ctx, kind):
    """An exception leads to the frames it went through, and they to the result that keeps it."""
    pool = default_ctx.Pool(1) if kind == "Pool" else mp.pool.ThreadPool(1)
    with pool:
        marker = fail_with_everything_in_reach(pool)
    pool.join()
    gc.collect()
    assert marker() is None


def use_a_broken_pool(context):
    marker = Marker()
    with pytest.raises(RuntimeError), context.Pool(1, targets.failing_initializer) as pool:
        result = pool.apply_async(targets.square, (2,))
        result.get(60)
    pool.join()
    return weakref.ref(marker)


def test_a_broken_pool_is_collected(default_ctx, capfd):
    """Each call raises an error like the one that is kept, not that one itself."""
    marker = use_a_broken_pool(default_ctx)
    gc.collect()
    assert marker() is None
