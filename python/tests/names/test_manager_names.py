"""Names of `managers` and `connection` that are not documented, as programs use them."""

from __future__ import annotations

import os
import pickle

import pytest
from support import mp, submodule

managers = submodule("managers")
connection = submodule("connection")


class Counter:
    def __init__(self, start=0):
        self.count = start

    def up(self, by=1):
        self.count += by
        return self.count

    def _hidden(self):
        return "hidden"


class CounterProxy(managers.BaseProxy):
    _exposed_ = ("up",)

    def up(self, by=1):
        return self._callmethod("up", (by,))


class Own(managers.BaseManager):
    pass


Own.register("Counter", Counter)
Own.register("Proxied", Counter, CounterProxy)


@pytest.fixture
def manager():
    with mp.Manager() as manager:
        yield manager


def test_kinds_of_proxies(manager):
    kinds = {
        managers.DictProxy: manager.dict(),
        managers.ListProxy: manager.list(),
        managers.ValueProxy: manager.Value("i", 1),
        managers.AcquirerProxy: manager.Lock(),
        managers.NamespaceProxy: manager.Namespace(),
        managers.EventProxy: manager.Event(),
        managers.ConditionProxy: manager.Condition(),
        managers.BarrierProxy: manager.Barrier(1),
        managers.ArrayProxy: manager.Array("i", [1]),
        managers.PoolProxy: manager.Pool(1),
    }
    for kind, proxy in kinds.items():
        assert isinstance(proxy, kind), (kind, type(proxy))
        assert isinstance(proxy, managers.BaseProxy)


def test_the_process_of_a_manager(manager):
    process = manager._process
    assert process.is_alive() and process.pid != os.getpid()
    assert process in mp.active_children()
    assert manager._state.value == managers.State.STARTED
    manager.shutdown()
    assert not process.is_alive()
    assert manager._state.value == managers.State.SHUTDOWN


def test_objects_are_counted():
    with Own() as own:
        before = own._number_of_objects()
        counters = [own.Counter(), own.Counter()]
        assert own._number_of_objects() == before + 2
        del counters
        assert own._number_of_objects() == before
        assert "Counter" in own._debug_info() or own._debug_info() == ""


def test_what_is_registered():
    assert {"Counter", "Proxied"} <= set(Own._registry)
    assert "Counter" not in managers.BaseManager._registry
    assert {"dict", "list", "Queue"} <= set(managers.SyncManager._registry)
    callable_, exposed, method_to_typeid, proxytype = Own._registry["Proxied"]
    assert callable_ is Counter and proxytype is CounterProxy and exposed == ("up",)
    assert method_to_typeid in (None, {}) or isinstance(method_to_typeid, dict)


def test_public_methods_and_proxies_made_of_them():
    assert set(managers.public_methods(Counter())) == {"up"}
    made = managers.MakeProxyType("MadeProxy", ["up"])
    assert issubclass(made, managers.BaseProxy)
    assert callable(made.up)


def test_what_a_proxy_knows():
    with Own() as own:
        counter = own.Counter(5)
        assert counter.up(2) == 7
        assert counter._callmethod("up") == 8
        assert counter._getvalue().count == 8
        assert counter._token.typeid == "Counter"
        assert counter._token.address == own.address
        assert counter._token.id in (counter._id, str(counter._id))
        assert "Counter" in str(counter) or "Counter" in repr(counter)
        with pytest.raises((managers.RemoteError, AttributeError)):
            counter._callmethod("_hidden")
        auto = managers.AutoProxy(counter._token, "pickle", manager=own, authkey=own._authkey)
        assert auto.up() == 9


def raise_it():
    raise LookupError("where it was")


class Failing(managers.BaseManager):
    pass


Failing.register("fail", raise_it)


def test_errors_of_the_server():
    with Failing() as failing, pytest.raises(managers.RemoteError, match="where it was"):
        failing.fail()


def test_a_server_in_this_process():
    """As programs run it that serve in their main thread."""
    own = Own(("127.0.0.1", 0), b"key")
    server = own.get_server()
    assert isinstance(server, managers.Server)
    assert server.address[0] == "127.0.0.1"
    server.listener.close()


def use_proxy(proxy, pipe):
    pipe.send(proxy.up(10))


def test_a_proxy_in_a_child(ctx):
    with Own(ctx=ctx) as own:
        for counter in (own.Counter(), own.Proxied()):
            here, there = ctx.Pipe()
            child = ctx.Process(target=use_proxy, args=(counter, there))
            child.start()
            assert here.recv() == 10
            child.join()
            assert counter.up() == 11


# Connections.


def test_a_connection_of_a_descriptor():
    read, write = os.pipe()
    reader = connection.Connection(read, writable=False)
    writer = connection.Connection(write, readable=False)
    assert (reader.readable, reader.writable) == (True, False)
    assert (writer.readable, writer.writable) == (False, True)
    writer.send({"a": 1})
    assert reader.poll(10)
    assert reader.recv() == {"a": 1}
    writer.send_bytes(b"bytes", 1, 3)
    assert reader.recv_bytes() == b"yte"
    with pytest.raises(OSError):
        reader.send(1)
    with pytest.raises(OSError):
        writer.recv()
    assert reader.fileno() == read
    writer.close()
    with pytest.raises(EOFError):
        reader.recv()
    reader.close()
    assert reader.closed
    with pytest.raises(OSError):
        reader.fileno()


def test_the_pickler_of_connections():
    assert connection._ForkingPickler is submodule("reduction").ForkingPickler


class Through:
    """An object that carries a connection, by the functions which packages call for it."""

    def __init__(self, conn):
        self.conn = conn

    def __getstate__(self):
        return connection.reduce_connection(self.conn)

    def __setstate__(self, state):
        rebuild, args = state
        self.conn = rebuild(*args)


def send_through(through):
    through.conn.send("through")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_reducing_a_connection(method):
    ctx = mp.get_context(method)
    here, there = ctx.Pipe()
    child = ctx.Process(target=send_through, args=(Through(there),))
    child.start()
    assert here.recv() == "through"
    child.join()


def test_a_connection_through_a_connection():
    first, second = mp.Pipe()
    here, there = mp.Pipe()
    first.send(there)
    there.close()
    arrived = second.recv()
    arrived.send([1])
    assert here.recv() == [1]
    arrived.close()
    with pytest.raises(EOFError):
        here.recv()


def test_pickles_of_the_forking_pickler():
    reduction = submodule("reduction")
    data = reduction.ForkingPickler.dumps({"a": [1]})
    assert pickle.loads(data) == {"a": [1]}
    assert reduction.ForkingPickler.loads(bytes(data)) == {"a": [1]}
