"""The connections that proxies use: one for each thread and server, over which calls go.

The messages are those of `multiprocessing`, so either side may be of that library. Between two of phalanx,
requests to the server itself go over the same connection, and giving up an object needs no answer.
"""

import sys

from .. import process, util
from .._core import ManagerChannel, _own_place

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

#: What a server of phalanx says to who wants to stay connected.
HELLO = "phalanx 1"

#: For each server's address: each thread's connection, and the ids of the objects that this process holds.
_servers: "dict[Any, Any]" = {}
_mutex = util.ForkAwareThreadLock()


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
    from .. import managers

    return managers.listener_client[serializer]


class _Foreign:
    """A connection to another library's server, which has other names for the classes."""

    is_ours = is_relative = False

    def __init__(self, channel):
        self._channel = channel
        self.close = channel.close

    def call(self, request):
        from .foreign import dumps, loads

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
        from ..connection import Pipe

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
    with _mutex:
        kept = _servers.get(address)
        if kept is None:
            kept = util.ForkAwareLocal(), ProcessLocalSet()
            _servers[address] = kept
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


class unless_in_time:
    """Calls a function if the body of the `with` statement takes longer than so many seconds."""

    def __init__(self, seconds, function):
        from threading import Timer

        self._timer = Timer(seconds, function)
        self._timer.daemon = True

    def __enter__(self):
        self._timer.start()

    def __exit__(self, *_):
        self._timer.cancel()
