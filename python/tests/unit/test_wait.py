"""`connection.wait`: one wait for connections, sentinels, queues and sockets."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest
import targets
from support import mp, submodule

wait = submodule("connection").wait


def test_nothing_is_ready():
    reader, writer = mp.Pipe(duplex=False)
    with reader, writer:
        assert wait([reader], 0) == []
        assert wait([reader], 0.01) == []
        assert wait([reader], -1) == []
        writer.send(1)
        assert wait([reader]) == [reader]
        assert wait([reader], None) == [reader]


def test_no_objects():
    assert wait([], 0) == []
    assert wait([], 0.01) == []


def test_everything_that_is_ready_is_told():
    pipes = [mp.Pipe(duplex=False) for _ in range(5)]
    readers = [reader for reader, _ in pipes]
    for index in (1, 3, 4):
        pipes[index][1].send(index)
    assert set(wait(readers, 60)) == {readers[1], readers[3], readers[4]}
    assert sorted(reader.recv() for reader in wait(readers, 0)) == [1, 3, 4]
    assert wait(readers, 0) == []
    for ends in pipes:
        for end in ends:
            end.close()


def test_an_end_of_file_is_ready():
    reader, writer = mp.Pipe(duplex=False)
    writer.close()
    assert wait([reader], 60) == [reader]
    reader.close()


def test_mixed_objects(ctx):
    reader, writer = ctx.Pipe(duplex=False)
    queue, go = ctx.Queue(), ctx.Event()
    left, right = socket.socketpair()
    process = ctx.Process(target=targets.wait_for_event, args=(go,))
    process.start()
    everything = [reader, process.sentinel, queue._reader, left]
    assert wait(everything, 0) == []

    writer.send("pipe")
    assert wait(everything, 60) == [reader]
    assert reader.recv() == "pipe"
    queue.put("queue")
    assert wait(everything, 60) == [queue._reader]
    assert queue.get() == "queue"
    right.send(b"socket")
    assert wait(everything, 60) == [left]
    assert left.recv(100) == b"socket"
    assert wait(everything, 0) == []
    go.set()
    assert wait(everything, 60) == [process.sentinel]
    process.join()

    reader.close()
    writer.close()
    left.close()
    right.close()
    queue.close()
    queue.join_thread()


def test_raw_descriptors():
    reading, writing = os.pipe()
    assert wait([reading], 0) == []
    os.write(writing, b"x")
    assert wait([reading], 60) == [reading]
    os.close(reading)
    os.close(writing)


def test_many_sentinels(default_ctx):
    processes = [default_ctx.Process(target=targets.nothing) for _ in range(10)]
    for process in processes:
        process.start()
    left = {process.sentinel: process for process in processes}
    while left:
        for sentinel in wait(list(left), 60):
            process = left.pop(sentinel)
            process.join()
            assert process.exitcode == 0


def test_sentinel_of_a_killed_process(ctx):
    process = ctx.Process(target=targets.sleep_forever)
    process.start()
    assert wait([process.sentinel], 0.01) == []
    process.kill()
    assert wait([process.sentinel], 60) == [process.sentinel]
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_woken_by_another_thread():
    reader, writer = mp.Pipe(duplex=False)
    thread = threading.Thread(target=writer.send, args=("woken",))
    thread.start()
    assert wait([reader]) == [reader]
    thread.join()
    assert reader.recv() == "woken"
    reader.close()
    writer.close()


def test_a_signal_handler_runs_while_waiting():
    """A handler that returns does not end the wait, and one that raises does."""
    reader, writer = mp.Pipe(duplex=False)
    previous = signal.signal(signal.SIGALRM, lambda *_: writer.send("from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert wait([reader], 60) == [reader]
        assert reader.recv() == "from the handler"

        def fail(*_):
            raise LookupError("by the handler")

        signal.signal(signal.SIGALRM, fail)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(LookupError, match="by the handler"):
            wait([reader])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    reader.close()
    writer.close()


def test_closed_connection_is_refused():
    reader, writer = mp.Pipe(duplex=False)
    reader.close()
    writer.close()
    with pytest.raises((OSError, ValueError)):
        wait([reader], 0)
