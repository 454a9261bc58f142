"""Managers at addresses, with clients and servers of either library."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import managers_targets as targets
import pytest
from support import IS_PHALANX, LIBRARY, mp, submodule

managers = submodule("managers")
KEY = b"a key of the test"
EXPECTED = {
    "list": [1, 2],
    "items": ["a", "inner"],
    "iter": ["a", "inner"],
    "value": 5,
    "space": (1, 2),
    "queue": "item",
    "event": True,
    "lock": (True, False),
    "array": [1, 2],
    "map": [1, 2],
    "later": 3,
    "lazy": [4],
    "str": ("Value('i', 5)", "Namespace(x=1, y=2)", "[1, 2]"),
    "copies": (5, 1, [1, 2]),
    "errors": ["KeyError", "Full", "RuntimeError", "AttributeError", "AttributeError"],
}


def interpreter(function, library, address):
    command = [sys.executable, targets.__file__, function, library, repr(address), KEY.hex()]
    environment = {**os.environ, "PHALANX_TEST_LIBRARY": library}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


@contextmanager
def server(library, address):
    process = interpreter("remote_server", library, address)
    try:
        yield ast.literal_eval(process.stdout.readline().decode())
    finally:
        process.kill()
        process.communicate()


ADDRESSES = {"tcp": ("127.0.0.1", 0), "unix": "file", "abstract": "\0manager-of-a-test"}
PAIRS = [(LIBRARY, LIBRARY)]
if IS_PHALANX:
    PAIRS += [("phalanx", "multiprocessing"), ("multiprocessing", "phalanx")]


@pytest.mark.parametrize("kind", ADDRESSES)
@pytest.mark.parametrize(("of_server", "of_client"), PAIRS)
def test_clients_and_servers_of_both_libraries(of_server, of_client, kind, tmp_path):
    address = str(tmp_path / "socket") if kind == "unix" else ADDRESSES[kind]
    if kind == "abstract":
        address += str(os.getpid())
    with server(of_server, address) as found:
        client = interpreter("remote_work", of_client, found)
        out, errors = client.communicate(timeout=60)
        assert client.returncode == 0, errors.decode()
        assert ast.literal_eval(out.decode()) == EXPECTED


def test_a_server_of_this_process_for_others(default_ctx):
    class Manager(managers.BaseManager):
        pass

    shared = targets.Counter(3)
    Manager.register("counter", lambda: shared)
    serving = Manager(("127.0.0.1", 0), KEY).get_server()
    pid = os.fork()
    if pid == 0:
        try:
            serving.serve_forever()
        finally:
            os._exit(0)
    try:
        one, two = (Manager(serving.address, KEY) for _ in range(2))
        one.connect()
        two.connect()
        assert (one.counter().add(), two.counter().add()) == (4, 5)
        proxy = one.counter()
        assert (proxy.get(), two._number_of_objects()) == (5, 1)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_the_wrong_key_is_refused():
    with server(LIBRARY, ("127.0.0.1", 0)) as address:
        manager = managers.BaseManager(address, b"another key")
        with pytest.raises(mp.AuthenticationError):
            manager.connect()
        right = managers.SyncManager(address, KEY)
        right.connect()
        assert right.list([1])._getvalue() == [1]


def test_nobody_there(tmp_path):
    for address in (str(tmp_path / "nothing"), "\0nobody-listens-here"):
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            managers.BaseManager(address, KEY).connect()


def test_a_given_address_is_used_and_removed(default_ctx, tmp_path):
    address = str(tmp_path / "socket")
    with managers.SyncManager(address, KEY, ctx=default_ctx) as manager:
        assert manager.address == address
        assert Path(address).is_socket()
        assert manager.dict(a=1)["a"] == 1
    assert not Path(address).exists()


def test_shared_memory_manager(default_ctx):
    shared_memory = submodule("shared_memory")
    with managers.SharedMemoryManager(ctx=default_ctx) as manager:
        block = manager.SharedMemory(size=100)
        numbers = manager.ShareableList([1, 2, 3])
        again = shared_memory.SharedMemory(block.name)
        again.buf[0] = 7
        assert (block.buf[0], sum(numbers)) == (7, 6)
        names = [block.name, numbers.shm.name]
        again.close()
        block.close()
        numbers.shm.close()
    for name in names:
        with pytest.raises(FileNotFoundError):
            shared_memory.SharedMemory(name)
