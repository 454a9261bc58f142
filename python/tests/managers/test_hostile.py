"""Whoever reaches a manager's address without its key: nothing is unpickled, and nobody waits."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import mp, phalanx_only, run_script, submodule

managers = submodule("managers")
connection = submodule("connection")
KEY = b"the key"


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def manager(default_ctx):
    with managers.SyncManager(("127.0.0.1", 0), KEY, ctx=default_ctx) as manager:
        yield manager


@pytest.fixture
def stranger(manager):
    """Connects somebody who does not know the key."""
    with ExitStack() as lines:

        def connect():
            line = lines.enter_context(socket.create_connection(manager.address))
            line.settimeout(60)
            return line

        yield connect


def read(line):
    (length,) = struct.unpack("!i", line.recv(4, socket.MSG_WAITALL))
    return line.recv(length, socket.MSG_WAITALL)


def is_served(manager):
    client = managers.SyncManager(manager.address, KEY)
    client.connect()
    proxy = client.list([1])
    proxy.append(2)
    return proxy._getvalue() == [1, 2] and manager.Value("i", 3).value == 3


def closes(line):
    """Whether the other side says no more than a refusal and closes."""
    try:
        while line.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff" + b"\x7f" * 8,
        struct.pack("!i", 20) + b"x" * 20,
        struct.pack("!i", 0),
        struct.pack("!i", 11) + b"#WELCOME#xx",
    ],
)
@phalanx_only
def test_garbage(manager, stranger, said):
    line = stranger()
    assert read(line).startswith(b"#CHALLENGE#")
    line.sendall(said)
    if len(said) != 8:
        assert closes(line)
    assert is_served(manager)


@phalanx_only
def test_those_who_say_nothing_or_half_delay_nobody(manager, stranger):
    lines = [stranger() for _ in range(20)]
    for line in lines[::2]:
        line.sendall(b"\0\0")
    for _ in range(5):
        assert is_served(manager)


@pytest.mark.parametrize("key", [b"another", b"", KEY + b"x", KEY[:-1]])
def test_a_wrong_key(manager, key):
    client = managers.SyncManager(manager.address, key)
    with pytest.raises(mp.AuthenticationError) as caught:
        client.connect()
    assert KEY.decode() not in str(caught.value)
    assert is_served(manager)


@phalanx_only
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_keys_are_in_no_command_line_log_or_environment(tmp_path, method):
    key = "a-key-that-is-looked-for"
    done = run_script(
        tmp_path,
        f"""
        import glob
        import logging
        import LIBRARY as mp
        from LIBRARY.managers import SyncManager

        def seen():
            places = glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ")
            for place in places:
                try:
                    with open(place, "rb") as file:
                        if KEY in file.read():
                            yield place
                except OSError:
                    pass

        KEY = b"{key[:5]}" + b"{key[5:]}"

        if __name__ == "__main__":
            logger = mp.log_to_stderr(1)
            mp.current_process().authkey = KEY
            ctx = mp.get_context("{method}")
            with SyncManager(authkey=KEY, ctx=ctx) as manager:
                child = ctx.Process(target=print, args=("child",))
                child.start()
                proxy = manager.list([1])
                print(list(seen()), repr(manager), repr(proxy), repr(child), repr(mp.current_process()))
                child.join()
                try:
                    SyncManager(manager.address, b"wrong").connect()
                except mp.AuthenticationError as error:
                    print(error)
                try:
                    manager.nothing()
                except Exception as error:
                    print(error)
        """,
    )
    assert "[] " in done.stdout and "child" in done.stdout
    assert key not in done.stdout + done.stderr


def test_a_pickle_without_the_key_is_not_opened(manager, stranger, tmp_path):
    line = stranger()
    read(line)
    trap = pickle.dumps((None, "dummy", (Trap(str(tmp_path / "mark")),), {}))
    line.sendall(struct.pack("!i", len(trap)) + trap)
    assert closes(line)
    assert is_served(manager)
    assert not (tmp_path / "mark").exists()


def test_a_recorded_proof_is_of_no_use(manager, stranger):
    line = stranger()
    read(line)
    recorded = b"{sha256}" + b"r" * 32
    line.sendall(struct.pack("!i", len(recorded)) + recorded)
    assert closes(line)
    assert is_served(manager)


@phalanx_only
def test_a_client_with_the_key_that_stalls_delays_nobody(manager):
    for said in (b"", b"\0\0", struct.pack("!i", 1 << 30), struct.pack("!i", 100) + b"x" * 50):
        friend = connection.Client(manager.address, authkey=KEY)
        os.write(friend.fileno(), said)
        assert is_served(manager)
        friend.close()


@phalanx_only
@pytest.mark.parametrize("said", [b"garbage", pickle.dumps(1), pickle.dumps((1, 2)), b""])
def test_nonsense_of_a_client_with_the_key_is_answered(manager, said):
    with connection.Client(manager.address, authkey=KEY) as friend:
        friend.send_bytes(said)
        kind, text = friend.recv()
        assert (kind, "Traceback" in text) == ("#TRACEBACK", True)
    with connection.Client(manager.address, authkey=KEY) as friend:
        managers.dispatch(friend, None, "accept_connection", ("a test",))
        friend.send_bytes(said)
        kind, text = friend.recv()
        assert (kind, "Traceback" in text) == ("#TRACEBACK", True)
        with pytest.raises(managers.RemoteError, match="KeyError"):
            managers.dispatch(friend, "no such id", "append", (1,))
        with pytest.raises(managers.RemoteError, match="unrecognized"):
            managers.dispatch(friend, None, "_stop")
    assert is_served(manager)


@phalanx_only
@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become somebody else")
def test_another_user_of_this_machine_is_turned_away(default_ctx):
    address = f"\0other-user-{os.getpid()}"
    with managers.SyncManager(address, KEY, ctx=default_ctx) as manager:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setuid(65534)
                line = socket.socket(socket.AF_UNIX)
                line.settimeout(60)
                line.connect(address)
                os.write(writer, line.recv(1) or b"-")
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(reader, 1) == b"-"
        os.close(reader)
        os.close(writer)
        assert manager.Value("i", 1).value == 1


def test_the_key_shows_up_nowhere(manager):
    shown = repr(manager) + repr(manager.dict()) + manager._debug_info()
    command = Path(f"/proc/{manager._process.pid}/cmdline").read_text()
    assert KEY.decode() not in shown + command
