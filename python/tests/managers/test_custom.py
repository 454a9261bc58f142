"""Classes of the user's own, and the manager itself."""

from __future__ import annotations

import os
import pickle
import signal
import threading

import managers_targets as targets
import pytest
from support import mp, phalanx_only, submodule, wait_until

managers = submodule("managers")


@pytest.fixture
def manager(default_ctx):
    with targets.OwnManager(ctx=default_ctx) as manager:
        yield manager


def test_methods_run_in_the_server(ctx):
    with targets.OwnManager(ctx=ctx) as manager:
        counter = manager.Counter(5)
        assert (counter.add(), counter.add(number=2), counter.get()) == (6, 8, 8)
        assert counter.pid() == manager._process.pid != os.getpid()
        process = ctx.Process(target=targets.add_through, args=(counter, 30))
        process.start()
        process.join()
        assert counter.get() == 38


def test_many_calls_and_large_values(manager):
    counter = manager.Counter()
    for number in range(1, 200):
        assert counter.add() == number
    large = b"x" * 3_000_000
    with pytest.raises(ValueError) as caught:
        counter.fail(ValueError(large))
    assert caught.value.args == (large,)


def test_exceptions_arrive(manager):
    counter = manager.Counter()
    for _ in range(2 * 16):
        with pytest.raises(KeyError, match="what"):
            counter.fail(KeyError("what"))
    with pytest.raises(TypeError):
        counter.add(1, 2, 3)
    with pytest.raises(managers.RemoteError, match="Unserializable"):
        counter.unpicklable()
    assert counter.get() == 0
    assert counter.keys() == [1]
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        counter.add(threading.Lock())
    assert counter.add() == 1


def test_exposed_methods(manager):
    counter = manager.Counter()
    assert not hasattr(counter, "_private")
    with pytest.raises(managers.RemoteError, match="_private"):
        counter._callmethod("_private")
    exposed = manager.Exposed(3)
    assert (exposed.get(), exposed._private()) == (3, "hidden")
    assert not hasattr(exposed, "add")
    special = manager.Special(4)
    assert isinstance(special, targets.CounterProxy)
    assert (special.add(), special.doubled()) == (5, 10)
    assert "Counter object" in str(special)
    assert not hasattr(manager, "Hidden")


def test_results_that_stay_in_the_server(manager):
    parent = manager.Parent()
    child = parent.first()
    assert isinstance(child, managers.BaseProxy)
    assert (child.add(), parent.value()) == (11, 11)
    assert list(manager.squares(4)) == [0, 1, 4, 9]


def test_getvalue_is_a_copy(manager):
    counter = manager.Counter(7)
    copied = counter._getvalue()
    assert type(copied) is targets.Counter
    copied.add()
    assert (copied.value, counter.get()) == (8, 7)


def test_threads_have_connections_of_their_own(manager):
    counter = manager.Counter()
    threads = [threading.Thread(target=targets.add_through, args=(counter, 40)) for _ in range(5)]
    for thread in threads:
        thread.start()
    slow = threading.Thread(target=counter.wait, args=(1,))
    slow.start()
    for thread in threads:
        thread.join()
    assert counter.get() == 200
    slow.join()


def test_make_proxy_type_and_auto_proxy(manager):
    kind = managers.MakeProxyType("Adder", ("add", "get"))
    assert kind is managers.MakeProxyType("Adder", ("add", "get"))
    assert kind._exposed_ == ("add", "get")
    token, exposed = manager._create("Counter", 2)
    assert set(exposed) >= {"add", "get"}
    proxy = managers.AutoProxy(token, "pickle", manager=manager, authkey=manager._authkey)
    assert proxy.add() == 3
    assert repr(token).startswith("Token(typeid='Counter', address=")
    assert managers.public_methods(targets.Counter()) == sorted(
        ["add", "get", "fail", "unpicklable", "keys", "pid", "exit", "wait"]
    )


def test_states(default_ctx):
    manager = targets.OwnManager(ctx=default_ctx)
    with pytest.raises(AssertionError, match="not yet started"):
        manager.Counter()
    manager.start()
    for attempt in (manager.start, manager.get_server):
        with pytest.raises(mp.ProcessError, match="Already started"):
            attempt()
    manager.shutdown()
    manager.shutdown()
    for attempt in (manager.start, manager.get_server, manager.__enter__):
        with pytest.raises(mp.ProcessError, match="shut down"):
            attempt()


def test_initializer(default_ctx, tmp_path):
    manager = targets.OwnManager(ctx=default_ctx)
    with pytest.raises(TypeError, match="callable"):
        manager.start(initializer=1)
    manager.start(targets.mark_start, (str(tmp_path / "mark"),))
    pid = manager._process.pid
    manager.shutdown()
    assert int((tmp_path / "mark").read_text()) == pid


def test_shutdown_ends_the_process(ctx):
    manager = targets.OwnManager(ctx=ctx)
    manager.start()
    process = manager._process
    counter = manager.Counter()
    counter.add()
    manager.shutdown()
    assert process.exitcode == 0
    with pytest.raises((OSError, EOFError)):
        counter.add()
    manager.join()


def test_a_manager_that_is_forgotten_ends(default_ctx):
    manager = default_ctx.Manager()
    process = manager._process
    del manager
    wait_until(lambda: not process.is_alive(), "the manager's process has ended")


def test_ctrl_c_does_not_end_the_server(manager):
    os.kill(manager._process.pid, signal.SIGINT)
    assert manager.Counter(3).get() == 3


def test_a_method_that_exits_costs_its_connection_only(manager):
    counter = manager.Counter()
    with pytest.raises((EOFError, OSError)):
        counter.exit()
    found = []
    thread = threading.Thread(target=lambda: found.append(counter.get()))
    thread.start()
    thread.join()
    assert found == [0]


@phalanx_only
def test_a_proxy_connects_anew(manager):
    counter = manager.Counter()
    for _ in range(3):
        with pytest.raises((EOFError, OSError)):
            counter.exit()
        assert counter.add(0) == 0


def test_subclassed_server(default_ctx):
    class Server(managers.Server):
        public = (*managers.Server.public, "greet")

        def greet(self, c, name):
            return f"hello {name}"

    class Manager(managers.BaseManager):
        _Server = Server

        def greet(self, name):
            conn = self._Client(self._address, authkey=self._authkey)
            try:
                return managers.dispatch(conn, None, "greet", (name,))
            finally:
                conn.close()

    with Manager(ctx=mp.get_context("fork")) as manager:
        assert manager.greet("you") == "hello you"
        with pytest.raises(managers.RemoteError, match="unrecognized"):
            conn = manager._Client(manager.address, authkey=manager._authkey)
            with conn:
                managers.dispatch(conn, None, "unknown")


def test_subclasses_do_not_share_registrations():
    class One(managers.BaseManager):
        pass

    One.register("only_here", dict)
    assert hasattr(One, "only_here")
    assert not hasattr(managers.BaseManager, "only_here")
    assert "only_here" not in managers.BaseManager._registry


def test_another_serializer(default_ctx):
    with targets.OwnManager(serializer="xmlrpclib", ctx=default_ctx) as manager:
        counter = manager.Counter(1)
        assert [counter.add() for _ in range(20)][-1] == 21
