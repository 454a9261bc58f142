"""Proxies: objects that stand for those of a manager, and the connections that they use.

A proxy of an object in shared memory works on that directly; see `_managed`. Everything else goes to
the manager's server, over one connection for each thread and server. The messages are those of
`multiprocessing`, so either side may be of that library. Between two of phalanx, requests to the
server itself go over the same connection, and giving up an object needs no answer.
"""

import sys
from _thread import _local

from . import process, util
from ._core import ManagerChannel, _own_place
from .context import get_spawning_popen

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What a server of phalanx says to who wants to stay connected.
HELLO = "phalanx 1"

#: Whether this thread is putting something into an object of a manager in shared memory.
_storing = _local()


def store(operation, *args, **kwds):
    """Call what puts values into shared memory: of proxies among them, the objects are kept."""
    _storing.is_on = True
    try:
        return operation(*args, **kwds)
    finally:
        _storing.is_on = False


class Token:
    """Names an object: its type, the server's address and its id there."""

    __slots__ = ("address", "id", "typeid")

    def __init__(self, typeid: "Any", address: "Any", id: "Any") -> None:
        (self.typeid, self.address, self.id) = (typeid, address, id)

    def __getstate__(self):
        return (self.typeid, self.address, self.id)

    def __setstate__(self, state):
        (self.typeid, self.address, self.id) = state

    def __repr__(self):
        name = type(self).__name__
        return f"{name}(typeid={self.typeid!r}, address={self.address!r}, id={self.id!r})"


class RemoteError(Exception):
    """What went wrong in a manager's server, as the text of a traceback."""

    def __str__(self):
        return f"\n{'-' * 75}\n{self.args[0]}{'-' * 75}"


def dispatch(c: "Any", id: "Any", methodname: str, args: "Any" = (), kwds: "Any" = {}) -> "Any":  # noqa: B006
    """Send a request over a connection and return its result."""
    c.send((id, methodname, args, kwds))
    return _result(*c.recv())


def _result(kind, result):
    if kind == "#RETURN":
        return result
    try:
        raise convert_to_error(kind, result)
    finally:
        del result  # It would be in a cycle with its own traceback.


def convert_to_error(kind: str, result: "Any") -> BaseException:
    """Return the exception that a reply stands for."""
    if kind == "#ERROR":
        return result
    if kind in ("#TRACEBACK", "#UNSERIALIZABLE"):
        if not isinstance(result, str):
            raise TypeError(f"Result {result!r} (kind '{kind}') type is {type(result)}, not str")
        if kind == "#UNSERIALIZABLE":
            result = f"Unserializable message: {result}\n"
        return RemoteError(result)
    return ValueError(f"Unrecognized message type {kind!r}")


def _listener_client(serializer):
    """The classes for a serializer, by its name."""
    from . import managers

    return managers.listener_client[serializer]


class _Foreign:
    """A connection to another library's server, which has other names for the classes."""

    is_ours = is_relative = False

    def __init__(self, channel):
        self._channel = channel
        self.close = channel.close

    def call(self, request):
        from ._foreign import dumps, loads

        return loads(self._channel.exchange(dumps(request)))


class _Plain:
    """A connection that has its own way of making objects into bytes."""

    is_ours = is_relative = False

    def __init__(self, conn):
        self._conn = conn
        self.close = conn.close

    def call(self, request):
        self._conn.send(request)
        return self._conn.recv()


#: After so many requests a relative exchanges its connection for one in shared memory.
_WARM = 16


class _Link:
    """A connection to a server of phalanx."""

    is_ours = True

    def __init__(self, channel, tls):
        self._channel = channel
        self._tls = tls
        self._calls = 0
        self.call = self._first_calls
        self.post = channel.post
        self.is_open = channel.is_open
        self.close = channel.close
        family = process.current_process()._config.get("family")
        self.is_relative = self.control("hello", family, _own_place() if family else None)

    def _first_calls(self, request):
        """Send a request and return its reply, until many have been sent."""
        self._calls += 1
        if self._calls == _WARM:
            if self.is_relative:
                self._warm_up()
            self.call = self._tls.call = self._channel.call
        return self._channel.call(request)

    def _warm_up(self):
        """Go on over a pipe, which needs no system call while both sides are awake."""
        from .connection import Pipe

        here, there = Pipe()
        kind, _ = self._channel.call((None, "go_on_with", (there,), {}))
        if kind == "#RETURN":
            self._channel.go_on_with(here)

    def shut_down(self, timeout):
        """Ask the server to end; it has so many seconds to say that it will."""
        _result(*self._channel.call((None, "shutdown", (), {}), timeout))

    def control(self, funcname, *args, **kwds):
        """Have the server itself do something."""
        return _result(*self.call((None, funcname, args, kwds)))


def _caller_name():
    name = process.current_process().name
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        name += "|" + threading.current_thread().name
    return name


def _connect(tls, address, authkey, serializer, client=None):
    """Connect this thread to a server, to stay."""
    util.debug("making connection to manager")
    conn = (client or _listener_client(serializer)[1])(address, authkey=authkey)
    if serializer != "pickle":
        dispatch(conn, None, "accept_connection", (_caller_name(),))
        return _Plain(conn)
    channel = ManagerChannel(conn.fileno())
    conn.close()
    said = _result(*channel.call((None, "accept_connection", (_caller_name(),), {})))
    return _Link(channel, tls) if said == HELLO else _Foreign(channel)


def _thread_local(address):
    """What is kept for a server: each thread's connection, and the ids that this process holds."""
    with BaseProxy._mutex:
        kept = BaseProxy._address_to_local.get(address)
        if kept is None:
            kept = util.ForkAwareLocal(), ProcessLocalSet()
            BaseProxy._address_to_local[address] = kept
        return kept


def _link(tls, address, authkey, serializer, client=None):
    """Return this thread's connection to a server."""
    try:
        return tls.connection
    except AttributeError:
        link = tls.connection = _connect(tls, address, authkey, serializer, client)
        tls.call = link.call
        return link


def _unlink(tls):
    """Forget this thread's connection."""
    link = tls.__dict__.pop("connection", None)
    tls.__dict__.pop("call", None)
    if link is not None:
        link.close()


def _control(tls, address, authkey, serializer, funcname, args=(), kwds={}, client=None):  # noqa: B006
    """Have a server do something; return its result."""
    if serializer == "pickle":
        link = _link(tls, address, authkey, serializer, client)
        if link.is_ours:
            try:
                return link.control(funcname, *args, **kwds)
            except BaseException:
                if not link.is_open():
                    _unlink(tls)
                raise
    conn = (client or _listener_client(serializer)[1])(address, authkey=authkey)
    try:
        return dispatch(conn, None, funcname, args, kwds)
    finally:
        conn.close()


class ProcessLocalSet(set):
    """A set that is empty in a forked child."""

    def __init__(self):
        util.register_after_fork(self, lambda obj: obj.clear())

    def __reduce__(self):
        return type(self), ()


class BaseProxy:
    """An object that stands for one in a manager's server.

    What it is asked to do is done there. The object lives as long as some process has a proxy of it.
    If the server ends, calls raise `EOFError`, or an `OSError` that says that it cannot be reached.
    """

    _address_to_local: "dict[Any, Any]" = {}  # noqa: RUF012
    _mutex = util.ForkAwareThreadLock()
    #: Objects that a request in this process made the server hold for it: what came with the reply.
    _prepaid: "dict[Any, Any]" = {}  # noqa: RUF012

    _exposed_: "tuple[str, ...] | None"
    _isauto = False
    #: Whether the class can work on an object in shared memory, and that object.
    _takes_local = False
    _local: "Any"
    _stays = False

    def __init__(
        self,
        token: Token,
        serializer: str,
        manager: "Any" = None,
        authkey: bytes | None = None,
        exposed: "Any" = None,
        incref: bool = True,
        manager_owned: bool = False,
    ) -> None:
        self._tls, self._idset = _thread_local(token.address)
        self._token = token
        self._id = token.id
        self._manager = manager
        self._serializer = serializer
        self._owned_by_manager = manager_owned
        self._authkey: bytes
        if authkey is not None:
            self._authkey = process.AuthenticationString(authkey)
        elif manager is not None:
            self._authkey = manager._authkey
        else:
            self._authkey = process.current_process().authkey
        if incref:
            self._incref()
        util.register_after_fork(self, BaseProxy._after_fork)

    @property
    def _Client(self):
        return _listener_client(self._serializer)[1]

    def _connect(self):
        _link(self._tls, self._token.address, self._authkey, self._serializer)

    def _callmethod(self, methodname: str, args: "Any" = (), kwds: "Any" = {}) -> "Any":  # noqa: B006
        """Call a method of the object; return a copy of its result, or raise what it raised."""
        try:
            call = self._tls.call
        except AttributeError:
            self._connect()
            call = self._tls.call
        try:
            kind, result = call((self._id, methodname, args, kwds))
        except BaseException:
            self._give_up_connection()
            raise
        if kind == "#RETURN":
            return result
        if kind == "#PROXY":
            return self._proxy_of(*result)
        try:
            raise convert_to_error(kind, result)
        finally:
            del result  # It would be in a cycle with its own traceback.

    def _give_up_connection(self):
        """After a failure: the next call makes a new connection, unless this one still works."""
        link = getattr(self._tls, "connection", None)
        if link is not None and not (link.is_ours and link.is_open()):
            _unlink(self._tls)

    def _proxy_of(self, exposed, token):
        """Return the proxy of a result that stays in the server."""
        from . import managers

        registry = self._manager._registry if self._manager is not None else managers.SyncManager._registry
        token = Token(token.typeid, self._token.address, token.id)
        return _paid_proxy(
            registry[token.typeid][-1],
            token,
            (self._tls, token.address, self._authkey, self._serializer),
            None,
            manager=self._manager,
            authkey=self._authkey,
            exposed=exposed,
        )

    def _getvalue(self) -> "Any":
        """Return a copy of the object."""
        return self._callmethod("#GETVALUE")

    def _incref(self):
        if self._owned_by_manager:
            util.debug("owned_by_manager skipped INCREF of %r", self._token.id)
            return
        where = (self._tls, self._token.address, self._authkey, self._serializer)
        paid = BaseProxy._prepaid.pop((self._token.address, self._id), None)
        if paid is not None:
            (shared,) = paid
        elif _link_is_ours(where):
            shared = _control(*where, "attach", (self._id,))
        else:
            shared = _control(*where, "incref", (self._id,))
        if shared is not None:
            self._use(shared)
        util.debug("INCREF %r", self._token.id)
        self._idset.add(self._id)
        state = self._manager and self._manager._state
        self._close = util.Finalize(
            self,
            BaseProxy._decref,
            args=(self._token, self._authkey, state, self._tls, self._idset, self._serializer),
            exitpriority=10,
        )

    def _use(self, shared):
        """Take what the server has handed out; give up again what is of no use here."""
        from ._managed import unpack

        try:
            local = unpack(shared)
        except RuntimeError:
            # Another thread has just given up this process's last handle: the server goes on.
            return
        if self._takes_local and self._local is None:
            self._take(local)

    def _take(self, local):
        """Work on the object in shared memory from now on."""
        self._local = local

    @staticmethod
    def _decref(token, authkey, state, tls, idset, serializer):
        idset.discard(token.id)
        if state is None or state.value == 1:
            try:
                util.debug("DECREF %r", token.id)
                link = tls.__dict__.get("connection")
                if link is not None and link.is_ours:
                    link.post((False, "decref", (token.id,), {}))
                else:
                    _control(tls, token.address, authkey, serializer, "decref", (token.id,))
            except Exception as e:
                util.debug("... decref failed %s", e)
        else:
            util.debug("DECREF %r -- manager already shutdown", token.id)
        if not idset and state is None:
            util.debug("this thread has no more proxies so closing conn")
            _unlink(tls)

    def _after_fork(self):
        self._manager = None
        try:
            self._incref()
        except Exception as e:
            # The manager may have been shut down.
            util.info("incref failed: %s", e)

    def _stay(self):
        """Have the server keep the object for good: what refers to it is not a process."""
        if self._owned_by_manager:
            return
        where = (self._tls, self._token.address, self._authkey, self._serializer)
        if not self._stays and _link_is_ours(where):
            _control(*where, "keep", (self._id,))
        self._stays = True

    def __reduce__(self):
        kwds: dict[str, Any] = {}
        if get_spawning_popen() is not None:
            kwds["authkey"] = self._authkey
            if self._local is not None:
                kwds["shared"] = self._local
        elif getattr(_storing, "is_on", False):
            self._stay()
        if self._isauto:
            kwds["exposed"] = self._exposed_
            return RebuildProxy, (AutoProxy, self._token, self._serializer, kwds)
        return RebuildProxy, (type(self), self._token, self._serializer, kwds)

    def __deepcopy__(self, memo):
        return self._getvalue()

    def __repr__(self):
        return f"<{type(self).__name__} object, typeid {self._token.typeid!r} at {id(self):#x}>"

    def __str__(self):
        """Return what the object's `repr` is, or else the proxy's own."""
        try:
            return self._callmethod("__repr__")
        except Exception:
            return repr(self)[:-1] + "; '__str__()' failed>"


def _link_is_ours(where):
    tls, address, authkey, serializer = where
    return serializer == "pickle" and _link(tls, address, authkey, serializer).is_ours


def _paid_proxy(
    proxytype: "Any", token: Token, where: "tuple[Any, Any, Any, Any]", shared: "Any", **kwds: "Any"
) -> "Any":
    """Make the proxy of an object that the server holds for this process already."""
    key = (token.address, token.id)
    BaseProxy._prepaid[key] = (shared,)
    try:
        return proxytype(token, where[3], **kwds)
    finally:
        if BaseProxy._prepaid.pop(key, None) is not None:
            # A class of its own that counts for itself.
            _control(*where, "decref", (token.id,))


def RebuildProxy(func: "Callable[..., Any]", token: Token, serializer: str, kwds: "Any") -> "Any":
    """Make the proxy that a process has sent to this one."""
    current = process.current_process()
    server = getattr(current, "_manager_server", None)
    if server and server.address == token.address:
        util.debug("Rebuild a proxy owned by manager, token=%r", token)
        kwds["manager_owned"] = True
        kwds.setdefault("authkey", server.authkey)
        server._keep(token.id)
    shared = kwds.pop("shared", None)
    incref = kwds.pop("incref", True) and not getattr(current, "_inheriting", False)
    proxy = func(token, serializer, incref=incref, **kwds)
    if kwds.get("manager_owned"):
        shared = server._shared_part(token.id)  # type: ignore[union-attr]
    if shared is not None and proxy._takes_local and proxy._local is None:
        proxy._take(shared)
    return proxy


def _caller(name):
    """The method of a proxy that calls the one of that name."""

    def method(self, /, *args, **kwds):
        return self._callmethod(name, args, kwds)

    method.__name__ = name
    method.__qualname__ = name
    return method


def MakeProxyType(name: str, exposed: "Any", _cache: "dict[Any, Any]" = {}) -> "Any":  # noqa: B006
    """Return a class of proxies with the given methods."""
    exposed = tuple(exposed)
    try:
        return _cache[(name, exposed)]
    except KeyError:
        pass
    members: dict[str, Any] = {method: _caller(method) for method in exposed}
    ProxyType = type(name, (BaseProxy,), members)
    ProxyType._exposed_ = exposed  # type: ignore[attr-defined]
    _cache[(name, exposed)] = ProxyType
    return ProxyType


def AutoProxy(
    token: Token,
    serializer: str,
    manager: "Any" = None,
    authkey: bytes | None = None,
    exposed: "Any" = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> "Any":
    """Return a proxy with the methods that the object has."""
    if authkey is None and manager is not None:
        authkey = manager._authkey
    if authkey is None:
        authkey = process.current_process().authkey
    if exposed is None:
        tls, _ = _thread_local(token.address)
        exposed = _control(tls, token.address, authkey, serializer, "get_methods", (token,))
    ProxyType = MakeProxyType(f"AutoProxy[{token.typeid}]", exposed)
    ProxyType._isauto = True
    ProxyType._takes_local = True
    ProxyType._take = _take_methods
    return ProxyType(
        token,
        serializer,
        manager=manager,
        authkey=authkey,
        incref=incref,
        manager_owned=manager_owned,
    )


def _take_methods(proxy, local):
    """Let the exposed methods be those of the object in shared memory."""
    proxy._local = local
    for name in getattr(local, "_direct", ()):
        if name in proxy._exposed_:
            setattr(proxy, name, getattr(local, name))


BaseProxy._local = None


class IteratorProxy(BaseProxy):
    """Stands for an iterator."""

    _exposed_ = ("__next__", "send", "throw", "close")

    def __iter__(self):
        return self

    def __next__(self, *args):
        return self._callmethod("__next__", args)

    def send(self, *args: "Any") -> "Any":
        """Send a value into a generator."""
        return self._callmethod("send", args)

    def throw(self, *args: "Any") -> "Any":
        """Raise an exception in a generator."""
        return self._callmethod("throw", args)

    def close(self, *args: "Any") -> "Any":
        """Close a generator."""
        return self._callmethod("close", args)


class AcquirerProxy(BaseProxy):
    """Stands for a lock or a semaphore."""

    _exposed_: "tuple[str, ...]" = ("acquire", "release", "locked")
    _takes_local = True

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire it; return whether that succeeded in time."""
        local = self._local
        if local is not None:
            if blocking is True and timeout is None:
                return local.acquire()
            return local.acquire_in_time(blocking, timeout)
        args = (blocking,) if timeout is None else (blocking, timeout)
        return self._callmethod("acquire", args)

    def release(self) -> None:
        """Release it."""
        local = self._local
        return local.release() if local is not None else self._callmethod("release")

    def locked(self) -> bool:
        """Return whether it is held, or no permit is left."""
        local = self._local
        return local.locked() if local is not None else self._callmethod("locked")

    def __enter__(self):
        local = self._local
        return local.acquire() if local is not None else self._callmethod("acquire")

    def __exit__(self, exc_type, exc_val, exc_tb):
        local = self._local
        return local.release() if local is not None else self._callmethod("release")


class ConditionProxy(AcquirerProxy):
    """Stands for a condition."""

    _exposed_ = ("acquire", "release", "locked", "wait", "notify", "notify_all")

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait until notified or `timeout` seconds, acquire the lock again."""
        local = self._local
        return local.wait(timeout) if local is not None else self._callmethod("wait", (timeout,))

    def notify(self, n: int = 1) -> None:
        """Wake `n` of those who wait."""
        local = self._local
        return local.notify(n) if local is not None else self._callmethod("notify", (n,))

    def notify_all(self) -> None:
        """Wake all who wait."""
        local = self._local
        return local.notify_all() if local is not None else self._callmethod("notify_all")

    def wait_for(self, predicate: "Callable[[], Any]", timeout: float | None = None) -> "Any":
        """Wait until `predicate()` is true, or `timeout` seconds; return its last value."""
        from time import monotonic

        result = predicate()
        end = None if timeout is None else monotonic() + timeout
        while not result:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result


class EventProxy(BaseProxy):
    """Stands for an event."""

    _exposed_ = ("is_set", "set", "clear", "wait")
    _takes_local = True

    def is_set(self) -> bool:
        """Return whether it is set."""
        local = self._local
        return local.is_set() if local is not None else self._callmethod("is_set")

    def set(self) -> None:
        """Set it, and wake all who wait."""
        local = self._local
        return local.set() if local is not None else self._callmethod("set")

    def clear(self) -> None:
        """Unset it."""
        local = self._local
        return local.clear() if local is not None else self._callmethod("clear")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or `timeout` seconds; return whether it is."""
        local = self._local
        return local.wait(timeout) if local is not None else self._callmethod("wait", (timeout,))


class BarrierProxy(BaseProxy):
    """Stands for a barrier."""

    _exposed_ = ("__getattribute__", "wait", "abort", "reset")
    _takes_local = True

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties do; return this one's number."""
        local = self._local
        return local.wait(timeout) if local is not None else self._callmethod("wait", (timeout,))

    def abort(self) -> None:
        """Break the barrier."""
        local = self._local
        return local.abort() if local is not None else self._callmethod("abort")

    def reset(self) -> None:
        """Make the barrier as new; those who wait get an error."""
        local = self._local
        return local.reset() if local is not None else self._callmethod("reset")

    def _attribute(self, name):
        local = self._local
        if local is not None:
            return getattr(local, name)
        return self._callmethod("__getattribute__", (name,))

    @property
    def parties(self) -> int:
        """How many have to wait."""
        return self._attribute("parties")

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return self._attribute("n_waiting")

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        return self._attribute("broken")


_BaseArrayProxy = MakeProxyType("ArrayProxy", ("__len__", "__getitem__", "__setitem__"))
ArrayProxy = _BaseArrayProxy

BasePoolProxy: "Any" = MakeProxyType(
    "PoolProxy",
    (
        "apply",
        "apply_async",
        "close",
        "imap",
        "imap_unordered",
        "join",
        "map",
        "map_async",
        "starmap",
        "starmap_async",
        "terminate",
    ),
)
BasePoolProxy._method_to_typeid_ = {
    "apply_async": "AsyncResult",
    "map_async": "AsyncResult",
    "starmap_async": "AsyncResult",
    "imap": "Iterator",
    "imap_unordered": "Iterator",
}


class PoolProxy(BasePoolProxy):
    """Stands for a pool."""

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_val, exc_tb):
        self.terminate()
