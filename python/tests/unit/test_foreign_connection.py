"""Connections over descriptors that somebody else made, and the standard library at the other end."""

import os
import socket
import threading

import phalanx
import pytest
from phalanx.connection import Connection

standard = pytest.importorskip("multiprocessing.connection", reason="not in every build of Python")


@pytest.fixture
def ends():
    left, right = socket.socketpair()
    ours, theirs = Connection(left.detach()), standard.Connection(right.detach())
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("item", [None, "text", {"a": [1, 2]}, b"x" * 100_000, list(range(50_000))])
def test_objects_both_ways(ends, item):
    ours, theirs = ends
    for one, other in ((ours, theirs), (theirs, ours)):
        thread = threading.Thread(target=one.send, args=(item,))
        thread.start()
        assert other.recv() == item
        thread.join()


def test_bytes_and_the_end(ends):
    ours, theirs = ends
    theirs.send_bytes(b"abc")
    assert ours.poll(60)
    assert ours.recv_bytes() == b"abc"
    assert not ours.poll()
    ours.send_bytes(b"0123456789", 2, 3)
    assert theirs.recv_bytes() == b"234"
    theirs.send_bytes(b"long")
    with pytest.raises(OSError):
        ours.recv_bytes(2)
    theirs.close()


def test_end_of_file(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(EOFError):
        ours.recv()
    with pytest.raises(OSError):
        ours.send(1)


def test_wait_for_both_kinds(ends):
    ours, theirs = ends
    reader, writer = phalanx.Pipe(duplex=False)
    assert phalanx.connection.wait([ours, reader], 0.01) == []
    theirs.send(1)
    assert phalanx.connection.wait([ours, reader], 60) == [ours]
    writer.send(2)
    assert phalanx.connection.wait([ours, reader], 60) == [ours, reader]
    assert (ours.recv(), reader.recv()) == (1, 2)
    reader.close()
    writer.close()


def test_kernel_pipes():
    read, write = os.pipe()
    with Connection(read, writable=False) as reader, Connection(write, readable=False) as writer:
        writer.send(["through", "the", "kernel"])
        assert reader.recv() == ["through", "the", "kernel"]
        with pytest.raises(OSError, match="read-only"):
            reader.send(1)
        with pytest.raises(OSError, match="write-only"):
            writer.recv()


def test_refused_handles():
    with pytest.raises(ValueError):
        Connection(-1)
    read, write = os.pipe()
    with pytest.raises(ValueError):
        Connection(read, readable=False, writable=False)
    os.close(read)
    os.close(write)
