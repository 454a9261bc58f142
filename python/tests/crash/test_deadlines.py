"""Every wait keeps its deadline and ends with what it waits for, beside peers that are dead or stopped."""

from __future__ import annotations

import os
import queue as standard_queue
import signal
import threading
import time

import pytest
import targets
from doors import TIMEOUTS, through
from support import mp, phalanx_only, wait_until

pytestmark = phalanx_only


def hold_and_wait(things, ready):
    """Get hold of all that can be held, begin to use the rest, and go no further."""
    for thing in things:
        if hasattr(thing, "acquire"):
            thing.acquire()
    ready.set()
    time.sleep(600)


def use_for_ever(queue, ready):
    ready.set()
    while True:
        queue.put(b"x" * 50_000)
        queue.get()


@pytest.fixture(params=["stopped", "killed"])
def fate(request):
    """What happens to the peer: it is stopped while it has everything, or killed."""

    def meet(process):
        os.kill(process.pid, signal.SIGSTOP if request.param == "stopped" else signal.SIGKILL)
        if request.param == "killed":
            process.join()

    meet.name = request.param
    return meet


def end(process):
    process.kill()
    process.join()
    process.close()


def test_locks_that_a_peer_holds(default_ctx, fate):
    locks = [
        default_ctx.Lock(),
        default_ctx.RLock(),
        default_ctx.Semaphore(1),
        default_ctx.BoundedSemaphore(1),
    ]
    value = default_ctx.Value("i", 0)
    condition = default_ctx.Condition()
    things, ready = [*locks, value.get_lock(), condition], default_ctx.Event()
    process = default_ctx.Process(target=hold_and_wait, args=(things, ready))
    process.start()
    ready.wait()
    fate(process)
    for lock in things:
        if fate.name == "stopped":
            assert not lock.acquire(timeout=0.05)
            assert not lock.acquire(block=False)
        else:
            with pytest.raises(mp.OwnerDiedError):
                lock.acquire(timeout=60)
            lock.release()
            assert lock.acquire(timeout=60)
            lock.release()
    end(process)


def wait_at(what, ready):
    ready.set()
    if hasattr(what, "__enter__"):
        with what:
            what.wait()
    else:
        what.wait()


def test_waking_peers_that_do_not_wake(default_ctx, fate):
    """`set`, `notify_all` and `put` are done at once, whoever it is that waits."""
    event, condition, barrier = default_ctx.Event(), default_ctx.Condition(), default_ctx.Barrier(3)
    peers = []
    for what in (event, condition, barrier):
        ready = default_ctx.Event()
        process = default_ctx.Process(target=wait_at, args=(what, ready))
        process.start()
        ready.wait()
        wait_until(lambda process=process: asleep(process.pid), "it waits")
        fate(process)
        peers.append(process)
    event.set()
    assert event.wait(60)
    event.clear()
    assert not event.wait(0.02)
    with condition:
        condition.notify_all()
        condition.notify()
        assert not condition.wait(0.02)
        assert not condition.wait_for(lambda: False, 0.02)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.05)
    barrier.reset()
    barrier.abort()
    for process in peers:
        end(process)


def asleep(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue", "JoinableQueue"])
def test_queues_with_a_peer_in_the_middle(default_ctx, fate, kind):
    """A peer that is stopped in the middle of `put` or `get` can hold others up, but no deadline."""
    queue, ready = getattr(default_ctx, kind)(), default_ctx.Event()
    process = default_ctx.Process(target=use_for_ever, args=(queue, ready))
    process.start()
    ready.wait()
    for _ in range(5):
        time.sleep(0.003)
        fate(process)
        if kind != "SimpleQueue":
            began = time.monotonic()
            try:
                queue.put("mine", timeout=0.1)
                queue.put_nowait("mine")
            except standard_queue.Full:
                pass
            try:
                while True:
                    queue.get(timeout=0.1)
            except standard_queue.Empty:
                pass
            with pytest.raises(standard_queue.Empty):
                queue.get_nowait()
            assert time.monotonic() - began < 60
        if fate.name == "stopped":
            os.kill(process.pid, signal.SIGCONT)
        else:
            break
    end(process)
    queue.put("after")
    while queue.get() != "after":
        pass
    queue.close()


def test_pipes_to_a_peer_that_does_nothing(default_ctx, fate):
    here, there = default_ctx.Pipe()
    ready = default_ctx.Event()
    process = default_ctx.Process(target=hold_and_wait, args=([there], ready))
    process.start()
    there.close()
    ready.wait()
    fate(process)
    began = time.monotonic()
    if fate.name == "stopped":
        assert not here.poll(0.05)
        assert mp.connection.wait([here], 0.05) == []
    else:
        assert here.poll(60)
        with pytest.raises((EOFError, OSError)):
            here.recv()
        with pytest.raises(OSError):
            while time.monotonic() - began < 60:
                here.send_bytes(b"x" * 1_000_000)
    end(process)
    here.close()


def test_joins_with_a_deadline(default_ctx, fate):
    process = default_ctx.Process(target=targets.sleep_forever)
    process.start()
    fate(process)
    process.join(0.05)
    assert process.is_alive() is (fate.name == "stopped")
    if fate.name == "stopped":
        process.terminate()
        process.join(0.05)
        assert process.is_alive()  # a stopped process takes SIGTERM when it goes on
    end(process)


@through()
def test_results_of_a_worker_that_stands_still(default_ctx, door):
    reader, writer = default_ctx.Pipe(duplex=False)
    with door(default_ctx, 1, initializer=targets.store, initargs=(writer,)) as team:
        later = team.submit(tell_and_sleep)
        worker = reader.recv()
        os.kill(worker, signal.SIGSTOP)
        with pytest.raises(TIMEOUTS):
            later.get(0.05)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(mp.WorkerDiedError):
            later.get(60)
        assert team.works()
    reader.close()
    writer.close()


def tell_and_sleep():
    targets.stored[0].send(os.getpid())
    time.sleep(600)


@pytest.mark.parametrize("stopped", [0, 4])
def test_what_is_outstanding_fails_when_the_pool_is_terminated(default_ctx, stopped):
    """Also if workers are stopped: they are killed, all after the same second."""
    pool = default_ctx.Pool(4)
    single = pool.apply_async(targets.sleep_forever)
    many = pool.map_async(targets.sleep_forever, range(20), 1)
    stream = pool.imap(targets.sleep_forever, range(20))
    for worker in mp.active_children()[:stopped]:
        os.kill(worker.pid, signal.SIGSTOP)
    pool.terminate()
    for get in (single.get, many.get, stream.next):
        with pytest.raises(Exception) as caught:
            get(60)
        assert not isinstance(caught.value, mp.TimeoutError)
    with pytest.raises(StopIteration):
        stream.next(60)
    pool.join()


def test_a_manager_that_is_stopped(default_ctx):
    """Its shared containers do not need it; a call to it can be interrupted, and ends with its death."""
    with default_ctx.Manager() as manager:
        numbers = manager.list([1, 2])
        count = manager._number_of_objects()
        server = manager._process.pid
        os.kill(server, signal.SIGSTOP)
        numbers.append(3)
        assert list(numbers) == [1, 2, 3]
        ended = []

        def call():
            try:
                ended.append(manager._number_of_objects())
            except Exception as error:
                ended.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive() and not ended
        os.kill(server, signal.SIGCONT)
        thread.join()
        assert ended == [count]
        os.kill(server, signal.SIGKILL)
        with pytest.raises((EOFError, OSError)):
            manager._number_of_objects()
        del numbers


def test_a_stopped_manager_is_ended(default_ctx):
    for calls in (0, 50):
        manager = default_ctx.Manager()
        for _ in range(calls):
            manager._number_of_objects()
        os.kill(manager._process.pid, signal.SIGSTOP)
        manager.shutdown()
        assert not manager._process.is_alive()


def test_the_service_process_is_stopped():
    """A process started by the forkserver comes when that goes on; a wait for it can be left."""
    context = mp.get_context("forkserver")
    from phalanx import forkserver

    forkserver.ensure_running()
    process = context.Process(target=targets.nothing)
    process.start()
    process.join()
    server = forkserver._forkserver._forkserver_pid
    process = context.Process(target=targets.nothing)
    os.kill(server, signal.SIGSTOP)
    try:
        thread = threading.Thread(target=process.start)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    finally:
        os.kill(server, signal.SIGCONT)
    thread.join()
    process._popen.wait()
    mp.active_children()
