"""Listeners and clients, among themselves and with the standard library's."""

import array
import os
import socket
import threading
import uuid

import pytest
from support import IS_PHALANX, phalanx_only, submodule

ours = submodule("connection")
standard = pytest.importorskip("multiprocessing.connection", reason="not in every build of Python")
KEY = b"the key"


def addresses():
    yield "default", None, None
    yield "path", "PATH", "AF_UNIX"
    yield "abstract text", f"\0phalanx-{uuid.uuid4()}", None
    yield "abstract bytes", f"\0phalanx-{uuid.uuid4()}".encode(), None
    yield "host", ("localhost", 0), None
    yield "any host", ("", 0), "AF_INET"


def in_thread(function, *args):
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*args)), daemon=True)
    thread.start()

    def finish():
        thread.join(60)
        return result[0]

    return finish


@pytest.mark.parametrize(
    "sides", [(ours, ours), (ours, standard), (standard, ours)], ids=["own", "we listen", "we call"]
)
@pytest.mark.parametrize("authkey", [None, KEY], ids=["open", "key"])
@pytest.mark.parametrize("kind", [k for k, _, _ in addresses()])
def test_who_connects_is_heard(kind, authkey, sides, tmp_path):
    there, here = sides
    address, family = next((a, f) for k, a, f in addresses() if k == kind)
    if address == "PATH":
        address = str(tmp_path / "socket")
    with there.Listener(address, family, authkey=authkey) as listener:
        target = listener.address
        if kind == "any host":
            target = ("localhost", target[1])
        call = in_thread(lambda: here.Client(target, authkey=authkey))
        with listener.accept() as server, call() as client:
            for one, other in ((server, client), (client, server)):
                for item in ({"a": [1, 2.5, None]}, b"x" * 70_000, "text"):
                    send = in_thread(one.send, item)
                    assert other.recv() == item
                    send()
            peer = listener.last_accepted
            assert (peer[0] == "127.0.0.1") if isinstance(listener.address, tuple) else not peer
    if address and isinstance(address, str) and not address.startswith("\0"):
        assert not os.path.exists(address)


@phalanx_only  # multiprocessing's Client knows no IPv6
def test_ipv6():
    try:
        listener = ours.Listener(("::1", 0), "AF_INET6", authkey=KEY)
    except OSError as e:
        pytest.skip(f"this machine has no IPv6: {e}")
    with listener:
        assert listener.address[0] == "::1"
        call = in_thread(lambda: ours.Client(listener.address, "AF_INET6", authkey=KEY))
        listener.accept().close()
        call().close()
        call = in_thread(lambda: ours.Client(listener.address[:2], authkey=KEY))
        listener.accept().close()
        call().close()


def test_addresses_and_their_types():
    assert ours.address_type(("host", 1)) == "AF_INET"
    assert ours.address_type("/tmp/x") == "AF_UNIX"
    assert ours.address_type(b"\0x") == "AF_UNIX"
    assert ours.address_type("\\\\.\\pipe\\x") == "AF_PIPE"
    with pytest.raises(ValueError):
        ours.address_type(b"a path")
    with pytest.raises(TypeError):
        ours.address_type(5)
    with pytest.raises(ValueError):
        ours.arbitrary_address("AF_NONE")
    with pytest.raises(ValueError):
        ours.Client("\\\\.\\pipe\\x")
    with pytest.raises(ValueError):
        ours.Listener(family="AF_PIPE")
    assert ours.arbitrary_address("AF_INET") == ("localhost", 0)
    assert ours.arbitrary_address("AF_UNIX") != ours.arbitrary_address("AF_UNIX")


@phalanx_only  # the standard library opens the socket first, and leaves it open
def test_a_key_that_is_no_bytes():
    with pytest.raises(TypeError):
        ours.Listener(authkey="text")


def test_misuse():
    with ours.Listener() as listener:
        with pytest.raises(TypeError):
            ours.Client(listener.address, authkey="text")
        with pytest.raises(OSError), ours.Listener(listener.address):
            pass
    with pytest.raises(OSError):
        listener.accept()
    with pytest.raises(FileNotFoundError):
        ours.Client("/nowhere/at/all")
    with pytest.raises(socket.gaierror):
        ours.Client(("host.invalid", 1))


def test_the_same_port_again_at_once():
    with ours.Listener(("localhost", 0)) as listener:
        address = listener.address
        call = in_thread(ours.Client, address)
        listener.accept().close()
        call().close()
    with ours.Listener(address) as listener:
        assert listener.address == address


def test_bytes_and_buffers():
    with ours.Listener() as listener:
        call = in_thread(ours.Client, listener.address)
        with listener.accept() as server, call() as client:
            assert server._handle == server.fileno()
            client.send_bytes(array.array("i", range(10)))
            numbers = array.array("i", [0] * 20)
            assert server.recv_bytes_into(numbers, 8) == 40
            assert list(numbers[2:12]) == list(range(10))
            client.send_bytes(b"0123456789", 2, 5)
            assert server.recv_bytes() == b"23456"
            client.send_bytes(b"too long")
            with pytest.raises(ours.BufferTooShort) as short:
                server.recv_bytes_into(bytearray(3))
            assert short.value.args == (b"too long",)
            client.send_bytes(b"")
            assert server.poll(60)
            assert server.recv_bytes() == b""
            assert not server.poll()
            client.close()
            assert client.closed
            assert client._handle is None
            with pytest.raises(EOFError):
                server.recv()


def test_a_timeout_on_the_socket_holds_for_accept():
    with ours.Listener() as listener:
        listener._listener._socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener._listener._socket.settimeout(None)
        call = in_thread(ours.Client, listener.address)
        listener.accept().close()
        call().close()


def test_listener_and_client_in_another_process(ctx):
    with ours.Listener(authkey=KEY) as listener:
        child = ctx.Process(target=_greet, args=(listener.address,))
        child.start()
        with listener.accept() as connection:
            assert connection.recv() == ("hello", child.pid)
            connection.send("bye")
            assert connection.recv() == "bye"
        child.join()
        assert child.exitcode == 0


def _greet(address):
    with ours.Client(address, authkey=KEY) as connection:
        connection.send(("hello", os.getpid()))
        connection.send(connection.recv())


def test_a_connection_over_a_connection(ctx):
    with ours.Listener() as listener:
        call = in_thread(ours.Client, listener.address)
        with listener.accept() as server, call() as client:
            here, there = ctx.Pipe()
            child = ctx.Process(target=_pass_on, args=(there,))
            child.start()
            there.close()
            here.send(client)
            assert server.recv() == "through three processes"
            here.send("done")
            child.join()
            assert child.exitcode == 0


def _pass_on(pipe):
    with pipe.recv() as connection:
        connection.send("through three processes")
        assert pipe.recv() == "done"


def test_xml():
    with ours.XmlListener(authkey=KEY) as listener:
        call = in_thread(lambda: ours.XmlClient(listener.address, authkey=KEY))
        server, client = listener.accept(), call()
        client.send([1, "two", {"three": 3.5}])
        assert server.poll(60)
        assert server.recv() == [1, "two", {"three": 3.5}]
        server.close()
        client.close()


@pytest.mark.skipif(not hasattr(standard, "_create_response"), reason="the standard library of 3.12")
@pytest.mark.parametrize("digest", ["md5", "sha256", "sha384", "sha3_256", "sha3_384"])
def test_every_digest(digest):
    for challenger, answerer in ((ours, standard), (standard, ours)):
        left, right = socket.socketpair()
        one, other = challenger.Connection(left.detach()), answerer.Connection(right.detach())
        done = in_thread(challenger.deliver_challenge, one, KEY, digest)
        answerer.answer_challenge(other, KEY)
        assert done() is None
        one.close()
        other.close()


def test_challenges_over_anything_with_the_two_methods():
    class Wrong:
        def recv_bytes(self, size):
            return b"something bogus"

        def send_bytes(self, data):
            pass

    with pytest.raises(ours.AuthenticationError):
        ours.deliver_challenge(Wrong(), b"abc")
    with pytest.raises((ours.AuthenticationError, AssertionError)):
        ours.answer_challenge(Wrong(), b"abc")
    with pytest.raises(ValueError):
        ours.deliver_challenge(Wrong(), "abc")


if IS_PHALANX:

    def test_both_kinds_of_connection_are_of_one_class():
        here, there = submodule("context").BaseContext().Pipe()
        assert type(here) is ours.Connection
        with ours.Listener() as listener:
            call = in_thread(ours.Client, listener.address)
            with listener.accept() as server, call() as client:
                assert type(server) is type(client) is ours.Connection
        here.close()
        there.close()
