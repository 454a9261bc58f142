"""What all proxies are: objects that stand for those of a manager.

A proxy of an object in shared memory works on that directly; see `managed`. Everything else goes to
the manager's server; see `links`.
"""

from _thread import _local

from .. import process, util
from ..context import get_spawning_popen
from . import links as _links
from .links import Token, _control, _link, _listener_client, _thread_local, _unlink, convert_to_error

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Whether this thread is putting something into an object of a manager in shared memory.
_storing = _local()


def store(operation, *args, **kwds):
    """Call what puts values into shared memory: of proxies among them, the objects are kept."""
    _storing.is_on = True
    try:
        return operation(*args, **kwds)
    finally:
        _storing.is_on = False


class BaseProxy:
    """An object that stands for one in a manager's server.

    What it is asked to do is done there. The object lives as long as some process has a proxy of it.
    If the server ends, calls raise `EOFError`, or an `OSError` that says that it cannot be reached.
    """

    _address_to_local = _links._servers
    _mutex = _links._mutex
    #: Objects that a request in this process made the server hold for it: what came with the reply.
    _prepaid: "dict[Any, Any]" = {}  # noqa: RUF012

    _exposed_: "tuple[str, ...] | None"
    _isauto = False
    #: Whether the class can work on an object in shared memory, and that object.
    _takes_local = False
    _local: "Any" = None
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
        from .. import managers

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
        from .managed import unpack

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
