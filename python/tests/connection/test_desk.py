"""The socket at which descriptors wait that are sent to processes which run already, and strangers."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading

import pytest
import support
from support import phalanx_only, submodule

pytestmark = phalanx_only  # the standard library's is another
NAME, SECRET = 16, 16


@pytest.fixture
def laid_out():
    """A descriptor that is laid out, with what it reads from, and its ticket."""
    read, write = os.pipe()
    dup = submodule("resource_sharer").DupFd(write)
    os.close(write)
    yield read, dup, bytes(dup._ticket)
    os.close(read)
    submodule("resource_sharer").stop()


def visit(ticket):
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.settimeout(support.PATIENCE)
    line.connect(b"\0" + ticket[:NAME])
    return line


def is_turned_away(line):
    """Whether the other side closes without a word, or a descriptor."""
    try:
        data, descriptors, _, _ = socket.recv_fds(line, 100, 4)
    except ConnectionResetError:
        return True
    return data == b"" and descriptors == []


def is_still_there(read, dup):
    """The rightful visitor gets the descriptor."""
    fd = pickle.loads(pickle.dumps(dup)).detach()
    os.write(fd, b"here")
    os.close(fd)
    return os.read(read, 10) == b"here"


def shown(ticket, slot=1):
    return ticket[NAME:] + struct.pack("<H", slot)


@pytest.mark.parametrize(
    "change",
    [
        lambda ticket: bytes(SECRET) + ticket[NAME + SECRET :] + b"\1\0",
        lambda ticket: shown(ticket)[:-1],
        lambda ticket: shown(ticket)[:5],
        lambda ticket: shown(ticket) + b"more",
        lambda ticket: b"GET / HTTP/1.1\r\n\r\n",
        lambda ticket: b"\xff" * 100_000,
        lambda ticket: ticket[NAME : NAME + SECRET] + struct.pack("<QH", 1 << 60, 1),
        lambda ticket: shown(ticket, slot=0),
    ],
    ids=["wrong key", "short", "half", "long", "garbage", "oversized", "no such number", "no such process"],
)
def test_who_shows_something_else_gets_nothing(laid_out, change):
    read, dup, ticket = laid_out
    with visit(ticket) as line:
        line.send(change(ticket))
        assert is_turned_away(line)
    assert is_still_there(read, dup)


def test_a_ticket_is_good_once(laid_out):
    read, dup, ticket = laid_out
    assert is_still_there(read, dup)
    with visit(ticket) as line:
        line.send(shown(ticket))
        assert is_turned_away(line)
    with pytest.raises(FileNotFoundError, match="collected already"):
        dup.detach()


def test_those_who_say_nothing_keep_nobody_waiting(laid_out):
    read, dup, ticket = laid_out
    lines = [visit(ticket) for _ in range(50)]
    found = []
    friend = threading.Thread(target=lambda: found.append(is_still_there(read, dup)))
    friend.start()
    friend.join(8)  # Those who are silent are waited for longer.
    assert found == [True]
    for line in lines:
        line.close()
    friend.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become another user")
def test_another_user_gets_nothing_for_the_right_ticket(laid_out):
    read, dup, ticket = laid_out
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            with visit(ticket) as line:
                try:
                    line.send(shown(ticket))
                except BrokenPipeError:
                    code = 7
                else:
                    code = 7 if is_turned_away(line) else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert is_still_there(read, dup)
