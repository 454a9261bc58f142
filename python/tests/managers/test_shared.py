"""Objects that lie in shared memory: that they do, and what happens where they cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import managers_targets as targets
import pytest
from support import mp, phalanx_only, submodule, wait_until

pytestmark = phalanx_only
managers = submodule("managers")


class Colour(IntEnum):
    RED = 1


@pytest.fixture
def manager(default_ctx):
    with default_ctx.Manager() as manager:
        yield manager


def test_relatives_use_them_while_the_server_stands_still(ctx):
    with ctx.Manager() as manager:
        mapping, sequence, value = manager.dict(a=1), manager.list([1]), manager.Value("i", 0)
        lock, items, space, event = manager.Lock(), manager.Queue(), manager.Namespace(), manager.Event()
        os.kill(manager._process.pid, signal.SIGSTOP)
        try:
            mapping["b"] = mapping["a"] + 1
            sequence.append(2)
            with lock:
                value.value += 1
            items.put(3)
            space.x = 4
            event.set()
            assert (mapping.copy(), sequence[:], value.value) == ({"a": 1, "b": 2}, [1, 2], 1)
            assert (items.get(), space.x, event.wait(60)) == (3, 4, True)
        finally:
            os.kill(manager._process.pid, signal.SIGCONT)


@pytest.mark.parametrize("odd", [Colour.RED, Decimal(1), Fraction(1)], ids=repr)
def test_keys_that_compare_by_methods_of_their_own(manager, odd):
    proxy = manager.dict({1: "one", "a": 2})
    assert proxy[odd] == "one"
    proxy[odd] = "changed"
    assert (proxy[1], proxy[True], proxy[1.0], len(proxy)) == ("changed",) * 3 + (2,)
    assert proxy.keys() == [1, "a"]


def test_a_dict_that_moves_takes_all_its_users_along(ctx):
    with ctx.Manager() as manager:
        proxy = manager.dict(a=1)
        outer = manager.list([proxy])
        process = ctx.Process(target=targets.pick_odd, args=(proxy,))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert proxy._getvalue() == {"a": 1, frozenset([1]): "odd"}
        proxy["b"] = 2
        assert (len(outer[0]), outer[0]["b"], list(outer[0])) == (3, 2, ["a", frozenset([1]), "b"])
        proxy |= {"c": 3}
        assert proxy.get("c") == 3


def test_a_dict_that_cannot_be_shared_from_the_beginning(manager):
    proxy = manager.dict({frozenset(): 1, "a": 2})
    assert (proxy[frozenset()], proxy["a"], len(proxy)) == (1, 2, 2)


def test_threads_that_move_a_dict_at_once(manager):
    for _ in range(5):
        proxy = manager.dict({"a": 0, "b": 1, "c": 2})
        again = manager.list([proxy])

        def put(number, again=again):
            mine = again[0]
            mine["x", number] = number
            mine[frozenset([number])] = number
            mine["y", number] = number

        threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(proxy) == 3 + 3 * 4


def test_a_stranger_sees_the_same_object(default_ctx):
    with managers.SyncManager(("127.0.0.1", 0), b"key", ctx=default_ctx) as manager:
        proxy = manager.dict(here=1)
        lock = manager.Lock()
        program = (
            "import sys, ast\n"
            "from multiprocessing.managers import SyncManager, DictProxy, AcquirerProxy, Token\n"
            "address, mapping, lock = ast.literal_eval(sys.argv[1])\n"
            "proxy = DictProxy(Token('dict', address, mapping), 'pickle', authkey=b'key')\n"
            "proxy['there'] = proxy['here'] + 1\n"
            "lock = AcquirerProxy(Token('Lock', address, lock), 'pickle', authkey=b'key')\n"
            "print(lock.acquire(False))\n"
        )
        argument = repr((manager.address, proxy._id, lock._id))
        with lock:
            done = subprocess.run(
                [sys.executable, "-c", program, argument], capture_output=True, text=True, timeout=60
            )
        assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
        assert proxy.copy() == {"here": 1, "there": 2}


def test_a_value_that_cannot_be_pickled_changes_nothing(manager):
    proxy, sequence, value = manager.dict(a=1), manager.list([1]), manager.Value("i", 1)
    unfit = threading.Lock()
    for attempt in (
        lambda: proxy.__setitem__("b", unfit),
        lambda: sequence.append(unfit),
        lambda: value.set(unfit),
    ):
        with pytest.raises((TypeError, mp.MaybeEncodingError)):
            attempt()
    assert (proxy.copy(), sequence[:], value.value) == ({"a": 1}, [1], 1)


def test_objects_outlive_their_server(default_ctx):
    manager = default_ctx.Manager()
    proxy = manager.dict(a=1)
    os.kill(manager._process.pid, signal.SIGKILL)
    manager._process.join()
    assert proxy["a"] == 1
    manager.shutdown()


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"])
def test_a_holder_that_dies(ctx, kind):
    with ctx.Manager() as manager:
        lock, ready = getattr(manager, kind)(), manager.Event()
        process = ctx.Process(target=targets.hold_and_die, args=(lock, ready))
        process.start()
        process.join()
        with pytest.raises(mp.OwnerDiedError, match=str(process.pid)):
            lock.acquire()
        lock.release()
        assert lock.acquire(True, 60) is True
        lock.release()


def test_a_forked_child_of_the_system(manager):
    proxy, counted = manager.dict(a=1), manager.Array("i", [1])
    pid = os.fork()
    if pid == 0:
        try:
            proxy["child"] = counted[0]
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert proxy.copy() == {"a": 1, "child": 1}


def test_what_is_given_up_is_freed(manager):
    proxy = manager.dict()
    number = manager._number_of_objects()
    for _ in range(50):
        manager.dict(a=1)
    wait_until(lambda: manager._number_of_objects() == number, "the dictionaries have gone")
    proxy["a"] = 1
