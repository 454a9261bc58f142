"""Hostile peers at every socket, while honest ones go on: no call fails, and none waits for a stranger."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time

import pytest
from support import phalanx_only, submodule

managers = submodule("managers")
connection = submodule("connection")
KEY = b"the key"
pytestmark = [phalanx_only, pytest.mark.watchdog(180)]


def connect(address):
    if isinstance(address, tuple):
        return socket.create_connection(address, 60)
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(60)
    try:
        line.connect(address)
    except OSError:
        line.close()
        raise
    return line


def abuse(address, seed, count):
    """All that somebody without the key can do, again and again."""
    choose, open_lines = random.Random(seed), []
    while True:
        try:
            line = connect(address)
        except OSError:
            time.sleep(0.001)  # too many of them at once
            continue
        count.value += 1
        said = choose.choice(
            [
                b"",
                b"\0\0",
                b"GET / HTTP/1.1\r\n\r\n",
                struct.pack("!i", 1 << 30) + b"x" * 1000,
                struct.pack("!i", 40) + choose.randbytes(40),
                choose.randbytes(choose.randrange(1, 3000)),
            ]
        )
        try:
            line.sendall(said)
        except OSError:
            pass
        if choose.random() < 0.5:
            open_lines.append(line)
        else:
            line.close()
        if len(open_lines) > 20:
            open_lines.pop(0).close()


@pytest.fixture
def crowd(default_ctx, seed):
    """Starts strangers that beset an address, and ends them; gives a function that counts their visits."""
    processes, counts = [], [default_ctx.RawValue("q", 0) for _ in range(3)]

    def beset(address):
        for number, count in enumerate(counts):
            process = default_ctx.Process(target=abuse, args=(address, seed + number, count))
            process.start()
            processes.append(process)
        return lambda: sum(count.value for count in counts)

    yield beset
    for process in processes:
        process.kill()
        process.join()
        process.close()


@pytest.fixture(params=["tcp", "unix"])
def address(request, tmp_path):
    return ("localhost", 0) if request.param == "tcp" else str(tmp_path / "door")


def test_a_manager(default_ctx, crowd, address):
    with managers.SyncManager(address, KEY, ctx=default_ctx) as manager:
        visits = crowd(manager.address)
        client = managers.SyncManager(manager.address, KEY)
        client.connect()
        shared, namespace = client.dict(), client.Namespace()
        number = 0
        # As many strangers have been there as honest calls, at least.
        while number < 300 or visits() < 300:
            shared[number % 50] = number
            namespace.value = number
            assert namespace.value == number
            if number % 20 == 0:
                newcomer = managers.SyncManager(manager.address, KEY)
                newcomer.connect()
                assert newcomer.list([number])[0] == number
            number += 1
        assert len(shared) == 50


def test_a_listener(crowd, address):
    with connection.Listener(address, authkey=KEY, backlog=64) as listener:
        visits = crowd(listener.address)
        served = 0

        def visit():
            with connection.Client(listener.address, authkey=KEY) as client:
                for number in range(100):
                    client.send(number)
                    assert client.recv() == number

        while served < 30 or visits() < 300:
            visitor = threading.Thread(target=visit)
            visitor.start()
            guest = accept(listener)
            with guest:
                for _ in range(100):
                    guest.send(guest.recv())
            visitor.join()
            served += 1


def accept(listener):
    """The next honest visitor; strangers that were turned away are reported before."""
    while True:
        try:
            return listener.accept()
        except connection.AuthenticationError:
            continue
