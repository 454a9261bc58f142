"""Sockets and descriptors that are sent to processes which run already."""

import os
import socket

import pytest
from support import submodule

reduction = submodule("reduction")
resource_sharer = submodule("resource_sharer")


@pytest.fixture
def child(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=_serve, args=(there,))
    process.start()
    there.close()
    yield here, process
    here.send(None)
    process.join()
    assert process.exitcode == 0
    here.close()


def _serve(pipe):
    """Write to whatever comes."""
    while (order := pipe.recv()) is not None:
        if order == "handle":
            fd = reduction.recv_handle(pipe)
        elif isinstance(order, socket.socket):
            order.sendall(b"by a socket")
            order.close()
            continue
        else:
            fd = order.detach()
        os.write(fd, b"by a descriptor")
        os.close(fd)


def test_a_socket(child):
    pipe, _ = child
    left, right = socket.socketpair()
    with left:
        pipe.send(right)
        assert left.recv(100) == b"by a socket"
        right.close()
        assert left.recv(100) == b""


def test_a_handle(child):
    pipe, process = child
    read, write = os.pipe()
    pipe.send("handle")
    reduction.send_handle(pipe, write, process.pid)
    os.close(write)
    assert os.read(read, 100) == b"by a descriptor"
    assert os.read(read, 100) == b""
    os.close(read)


@pytest.mark.parametrize("make", [reduction.DupFd, resource_sharer.DupFd], ids=["reduction", "sharer"])
def test_a_stand_in(child, make):
    pipe, _ = child
    read, write = os.pipe()
    pipe.send(make(write))
    os.close(write)
    assert os.read(read, 100) == b"by a descriptor"
    assert os.read(read, 100) == b""
    os.close(read)


def test_what_is_laid_out_is_closed_by_stop():
    read, write = os.pipe()
    resource_sharer.DupFd(write)
    os.close(write)
    resource_sharer.stop()
    assert os.read(read, 1) == b""
    os.close(read)


def test_descriptors_over_a_socket():
    left, right = socket.socketpair(socket.AF_UNIX)
    read, write = os.pipe()
    with left, right:
        reduction.sendfds(left, [read, write])
        got = reduction.recvfds(right, 2)
        os.write(got[1], b"hello")
        assert os.read(got[0], 5) == b"hello"
        left.sendall(b"x")
        with pytest.raises(RuntimeError):
            reduction.recvfds(right, 1)
        left.close()
        with pytest.raises(EOFError):
            reduction.recvfds(right, 1)
    for fd in (read, write, *got):
        os.close(fd)


def test_handles_over_a_connection_that_is_a_socket():
    left, right = socket.socketpair(socket.AF_UNIX)
    connection = submodule("connection")
    one, other = connection.Connection(left.detach()), connection.Connection(right.detach())
    read, write = os.pipe()
    reduction.send_handle(one, write, os.getpid())
    os.close(write)
    fd = reduction.recv_handle(other)
    os.write(fd, b"x")
    os.close(fd)
    assert os.read(read, 2) == b"x"
    os.close(read)
    one.close()
    other.close()
    with pytest.raises(OSError):
        reduction.send_handle(one, 0, None)


def test_the_pickler_of_what_travels():
    class Odd:
        pass

    reduction.register(Odd, lambda odd: (str, ("reduced",)))
    assert reduction.ForkingPickler.loads(reduction.ForkingPickler.dumps(Odd())) == "reduced"
    reducer = reduction.AbstractReducer()
    assert reducer.ForkingPickler is reduction.ForkingPickler
    assert reduction.HAVE_SEND_HANDLE
