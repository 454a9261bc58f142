"""What somebody without the key can do to a listener or a client: nothing."""

import os
import socket
import struct
import threading

import pytest
from support import phalanx_only, submodule

connection = submodule("connection")
AuthenticationError = connection.AuthenticationError
KEY = b"the key"


@pytest.fixture
def listener():
    with connection.Listener(("localhost", 0), authkey=KEY, backlog=16) as listener:
        yield listener


def stranger(listener):
    line = socket.create_connection(listener.address)
    line.settimeout(60)
    return line


def read(line):
    (length,) = struct.unpack("!i", line.recv(4, socket.MSG_WAITALL))
    return line.recv(length, socket.MSG_WAITALL)


def say(line, message):
    line.sendall(struct.pack("!i", len(message)) + message)


def friend(listener):
    thread = threading.Thread(target=_visit, args=(listener.address,), daemon=True)
    thread.start()
    return thread


def _visit(address):
    with connection.Client(address, authkey=KEY) as client:
        client.send("hello")


def is_served(listener):
    visitor = friend(listener)
    with listener.accept() as guest:
        assert guest.recv() == "hello"
    visitor.join(60)
    return True


@pytest.mark.parametrize("key", [b"another key", b"", KEY + b"x", KEY[:-1]])
def test_a_wrong_key(listener, key):
    errors = []

    def visit():
        try:
            connection.Client(listener.address, authkey=key)
        except AuthenticationError as e:
            errors.append(str(e))

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    with pytest.raises(AuthenticationError) as seen:
        listener.accept()
    visitor.join(60)
    assert errors
    # Neither side says what the key is.
    assert KEY.decode() not in str(seen.value) + errors[0]
    assert is_served(listener)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(256), b"{", b"{sha256}", b"{none}" + bytes(32), b"#WELCOME#"],
)
def test_garbage_in_a_frame(listener, garbage):
    with stranger(listener) as line:
        say(line, garbage)
        with pytest.raises(AuthenticationError):
            listener.accept()
        assert is_served(listener)


@phalanx_only  # OSError there
@pytest.mark.parametrize("header", [b"GET ", b"\x00\x00\x01\x01", b"\x7f\xff\xff\xff", b"\xff" * 12])
def test_a_length_beyond_all_measure(listener, header):
    with stranger(listener) as line:
        line.sendall(header)
        with pytest.raises(AuthenticationError):
            listener.accept()
        assert is_served(listener)


@phalanx_only  # multiprocessing waits for whoever came first
@pytest.mark.parametrize("part", [b"", b"\0", b"\0\0\0\x28", b"\0\0\0\x28{sha256}", b"\xff\xff\xff\xff\0"])
def test_half_a_message_and_a_stall(listener, part):
    lines = [stranger(listener) for _ in range(5)]
    for line in lines:
        line.sendall(part)
    assert is_served(listener)
    for line in lines:
        line.close()


@phalanx_only
def test_one_who_goes_away_is_forgotten(listener):
    for _ in range(5):
        line = stranger(listener)
        line.sendall(b"\0\0")
        line.close()
    assert is_served(listener)


@phalanx_only
def test_a_crowd_of_silent_strangers(listener):
    lines = []

    def crowd():
        for _ in range(150):
            lines.append(stranger(listener))

    thread = threading.Thread(target=crowd, daemon=True)
    thread.start()
    assert is_served(listener)
    # Accepts the rest of them.
    while thread.is_alive():
        is_served(listener)
    for line in lines:
        line.close()


def test_a_recorded_conversation_is_of_no_use(listener):
    """Somebody on the way hears all that a friend says, and says the same again."""
    heard = []
    with socket.create_server(("localhost", 0)) as relay:
        visitor = threading.Thread(target=_visit, args=(relay.getsockname(),), daemon=True)
        visitor.start()
        front, _ = relay.accept()
        with front, stranger(listener) as back:
            for thread in _relays(front, back, heard):
                thread.start()
            with listener.accept() as guest:
                assert guest.recv() == "hello"
            visitor.join(60)
    with stranger(listener) as line:
        line.sendall(b"".join(heard))
        with pytest.raises(AuthenticationError):
            listener.accept()
    assert is_served(listener)


def _relays(front, back, heard):
    def forth():
        while data := _receive(front):
            heard.append(data)
            back.sendall(data)

    def come():
        while data := _receive(back):
            front.sendall(data)

    return [threading.Thread(target=f, daemon=True) for f in (forth, come)]


def _receive(line):
    try:
        return line.recv(65536)
    except OSError:
        return b""


def test_nothing_is_unpickled_before_the_key_is_proved(listener):
    import pickle

    class Bomb:
        def __reduce__(self):
            return os._exit, (3,)

    with stranger(listener) as line:
        say(line, pickle.dumps(Bomb()))
        with pytest.raises(AuthenticationError):
            listener.accept()
    assert is_served(listener)


def test_a_listener_that_does_not_know_the_key():
    """A client believes nobody either."""
    with socket.create_server(("localhost", 0)) as false:
        errors = []

        def visit():
            try:
                connection.Client(false.getsockname(), authkey=KEY)
            except AuthenticationError as e:
                errors.append(e)

        visitor = threading.Thread(target=visit, daemon=True)
        visitor.start()
        line, _ = false.accept()
        with line:
            say(line, b"#CHALLENGE#{sha256}" + bytes(40))
            read(line)
            say(line, b"#WELCOME#")
            assert read(line).startswith(b"#CHALLENGE#")
            say(line, b"{sha256}" + bytes(32))
            assert read(line) == b"#FAILURE#"
        visitor.join(60)
        assert errors


@phalanx_only
@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become another user")
def test_another_user_of_the_machine_is_not_let_in_by_a_key():
    with connection.Listener(f"\0phalanx-user-{os.getpid()}", authkey=KEY) as listener:
        pid = os.fork()
        if not pid:
            os.setgid(65534)
            os.setuid(65534)
            try:
                connection.Client(listener.address, authkey=KEY, any_user=True)
            except (AuthenticationError, EOFError, OSError):
                os._exit(7)
            os._exit(1)
        with pytest.raises(AuthenticationError, match="65534"):
            listener.accept()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    with connection.Listener(f"\0phalanx-user-{os.getpid()}", authkey=KEY, any_user=True) as listener:
        pid = os.fork()
        if not pid:
            os.setgid(65534)
            os.setuid(65534)
            # The superuser is let in, and is believed.
            with connection.Client(listener.address, authkey=KEY) as client:
                client.send("hello")
            os._exit(7)
        with listener.accept() as guest:
            assert guest.recv() == "hello"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@phalanx_only
def test_the_address_that_is_chosen_is_in_a_folder_of_ones_own():
    with connection.Listener() as listener:
        folder = os.stat(os.path.dirname(listener.address))
        assert folder.st_uid == os.geteuid()
        assert folder.st_mode & 0o077 == 0
