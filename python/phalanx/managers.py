"""Managers: objects in a process of their own that any number of others can use, by proxies.

The server is an event loop of the engine with a thread for each client; see `_managers.server`. Objects of the
ordinary kinds lie in shared memory and are used there by relatives of the server, which are then a
hundred times as fast; see `_managers.managed`. The messages of server and clients are those of
`multiprocessing`, so either side may be of that library.
"""

from array import array

from . import process, util
from ._managers.containers import (
    BaseListProxy as BaseListProxy,
    DictProxy as DictProxy,
    ListProxy as ListProxy,
    NamespaceProxy as NamespaceProxy,
    SetProxy as SetProxy,
    ValueProxy as ValueProxy,
)
from ._managers.contents import (
    Array as Array,
    ManagedDict,
    ManagedList,
    ManagedNamespace,
    ManagedValue,
    Namespace as Namespace,
    Value as Value,
)
from ._managers.links import (
    ProcessLocalSet as ProcessLocalSet,
    RemoteError as RemoteError,
    Token as Token,
    _control,
    _thread_local,
    _unlink,
    convert_to_error as convert_to_error,
    dispatch as dispatch,
    unless_in_time,
)
from ._managers.managed import (
    ManagedBoundedSemaphore,
    ManagedEvent,
    ManagedLock,
    ManagedQueue,
    ManagedRLock,
    ManagedSemaphore,
    make_barrier,
    make_condition,
)
from ._managers.proxies import (
    AcquirerProxy as AcquirerProxy,
    ArrayProxy as ArrayProxy,
    BarrierProxy as BarrierProxy,
    BasePoolProxy as BasePoolProxy,
    ConditionProxy as ConditionProxy,
    EventProxy as EventProxy,
    IteratorProxy as IteratorProxy,
    PoolProxy as PoolProxy,
)
from ._managers.proxy import (
    AutoProxy as AutoProxy,
    BaseProxy as BaseProxy,
    MakeProxyType as MakeProxyType,
    RebuildProxy as RebuildProxy,
    _link_is_ours,
    _paid_proxy,
)
from ._managers.segments import (
    SharedMemoryServer as SharedMemoryServer,
    _SharedMemoryTracker as _SharedMemoryTracker,
)
from ._managers.server import (
    Server as Server,
    all_methods as all_methods,
    public_methods as public_methods,
)
from .context import _default_context
from .errors import ProcessError

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import Self

    from . import shared_memory
    from .context import BaseContext

__all__ = ["BaseManager", "BaseProxy", "SharedMemoryManager", "SyncManager", "Token"]


class _Serializers(dict):
    """The classes of listeners and clients for each serializer, made when they are asked for."""

    def __missing__(self, serializer):
        from . import connection

        self["pickle"] = (connection.Listener, connection.Client)
        self["xmlrpclib"] = (connection.XmlListener, connection.XmlClient)
        return dict.__getitem__(self, serializer) if serializer in self.keys() else _unknown(serializer)


def _unknown(serializer):
    raise KeyError(serializer)


listener_client: "dict[str, Any]" = _Serializers()


def reduce_array(a: "array[Any]") -> "Any":
    """Reduce an array."""
    return array, (a.typecode, a.tobytes())


def rebuild_as_list(obj: "Any") -> "Any":
    """Reduce an iterable as a list."""
    return list, (list(obj),)


class State:
    """What a manager is doing."""

    __slots__ = ("value",)
    value: int
    INITIAL = 0
    STARTED = 1
    SHUTDOWN = 2


class BaseManager:
    """The way to a server with objects: starts one, or connects to one.

    >>> class Manager(mp.managers.BaseManager): pass
    >>> Manager.register("Counter", collections.Counter)
    >>> with Manager() as manager:
    ...     counter = manager.Counter("abracadabra")
    ...     counter.most_common(1)
    [('a', 5)]
    """

    _registry: "dict[str, Any]" = {}  # noqa: RUF012
    _Server = Server
    _process: "Any"

    def __init__(
        self,
        address: "Any" = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: "BaseContext | None" = None,
        *,
        shutdown_timeout: float = 1.0,
    ) -> None:
        if authkey is None:
            authkey = process.current_process().authkey
        self._address = address
        self._authkey = process.AuthenticationString(authkey)
        self._state = State()
        self._state.value = State.INITIAL
        self._serializer = serializer
        self._Listener, self._Client = listener_client[serializer]
        self._ctx = ctx or _default_context.get_context()
        self._shutdown_timeout = shutdown_timeout

    def _check_initial(self):
        if self._state.value == State.STARTED:
            raise ProcessError("Already started server")
        if self._state.value == State.SHUTDOWN:
            raise ProcessError("Manager has shut down")

    def get_server(self) -> Server:
        """Return the server, for this process to run."""
        self._check_initial()
        return self._Server(self._registry, self._address, self._authkey, self._serializer)

    def connect(self) -> None:
        """Connect to a server that somebody else runs."""
        conn = self._Client(self._address, authkey=self._authkey)
        try:
            dispatch(conn, None, "dummy")
        finally:
            conn.close()
        self._state.value = State.STARTED

    def start(self, initializer: "Callable[..., Any] | None" = None, initargs: "Any" = ()) -> None:
        """Start a process with a server; it calls `initializer(*initargs)` first."""
        self._check_initial()
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        reader, writer = self._ctx.Pipe(duplex=False)
        self._process = self._ctx.Process(
            target=type(self)._run_server,
            args=(
                self._registry,
                self._address,
                self._authkey,
                self._serializer,
                writer,
                initializer,
                initargs,
            ),
        )
        ident = ":".join(str(i) for i in self._process._identity)
        self._process.name = type(self).__name__ + "-" + ident
        process.start_worker(self._process)
        try:
            writer.close()
            self._address = reader.recv()
            reader.close()
            self._be_started()
        except EOFError:
            self._process.join()
            raise EOFError("the manager's process ended before its server was ready") from None
        except BaseException:
            # Ctrl-C: nobody knows of this server, and it would outlive everybody's patience.
            self._process.kill()
            self._process.join()
            raise
        finally:
            reader.close()

    def _be_started(self):
        self._state.value = State.STARTED
        self.shutdown = util.Finalize(
            self,
            type(self)._finalize_manager,
            args=(
                self._process,
                self._address,
                self._authkey,
                self._state,
                self._Client,
                self._shutdown_timeout,
            ),
            exitpriority=0,
        )

    @classmethod
    def _run_server(cls, registry, address, authkey, serializer, writer, initializer=None, initargs=()):
        """Run a server, after telling its address."""
        from _signal import SIG_IGN, SIGINT, signal  # type: ignore[import-not-found]

        # The program that Ctrl-C ends still needs its objects.
        signal(SIGINT, SIG_IGN)
        if initializer is not None:
            initializer(*initargs)
        server = cls._Server(registry, address, authkey, serializer)
        writer.send(server.address)
        writer.close()
        util.info("manager serving at %r", server.address)
        server.serve_forever()

    def _where(self) -> "tuple[Any, Any, Any, Any]":
        """How this thread reaches the server."""
        return _thread_local(self._address)[0], self._address, self._authkey, self._serializer

    def _ask(self, funcname, args=(), kwds={}):  # noqa: B006
        return _control(*self._where(), funcname, args, kwds, self._Client)

    def _create(self, typeid: str, /, *args: "Any", **kwds: "Any") -> "Any":
        """Have the server make an object; return its token and the names of its methods."""
        assert self._state.value == State.STARTED, "server not yet started"
        id, exposed = self._ask("create", (typeid, *args), kwds)
        return Token(typeid, self._address, id), exposed

    def _make(self, typeid, proxytype, args, kwds):
        """Have the server make an object; return its proxy."""
        assert self._state.value == State.STARTED, "server not yet started"
        where = self._where()
        if _link_is_ours(where):
            id, exposed, shared = self._ask("make", (typeid, *args), kwds)
        else:
            (id, exposed), shared = self._ask("create", (typeid, *args), kwds), None
        token = Token(typeid, self._address, id)
        return _paid_proxy(
            proxytype, token, where, shared, manager=self, authkey=self._authkey, exposed=exposed
        )

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the server's process, if this manager has started one."""
        if self._process is not None:
            self._process.join(timeout)
            if not self._process.is_alive():
                self._process = None

    def _debug_info(self) -> str:
        """Return some information about the server's objects."""
        return self._ask("debug_info")

    def _number_of_objects(self) -> int:
        """Return how many objects the server has."""
        return self._ask("number_of_objects")

    def __enter__(self) -> "Self":
        if self._state.value == State.INITIAL:
            self.start()
        if self._state.value != State.STARTED:
            self._check_initial()
            raise ProcessError("Unable to start server")
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.shutdown()

    @staticmethod
    def _finalize_manager(process, address, authkey, state, _Client, shutdown_timeout):
        """Ask the server's process to end, or else end it."""
        tls, _ = BaseProxy._address_to_local.pop(address, (None, None))
        if process.is_alive():
            util.info("sending shutdown message to manager")
            try:
                link = None if tls is None else tls.__dict__.get("connection")
                if link is not None and link.is_ours:
                    link.shut_down(shutdown_timeout)
                else:
                    # One that is stopped would let us wait for ever: its end is an answer, too.
                    with unless_in_time(shutdown_timeout, process.kill):
                        conn = _Client(address, authkey=authkey)
                        try:
                            dispatch(conn, None, "shutdown")
                        finally:
                            conn.close()
            except Exception:
                pass
            except BaseException:
                process.kill()  # Ctrl-C: nobody is going to ask it again.
                raise
            process.join(timeout=shutdown_timeout)
            if process.is_alive():
                util.info("manager still alive, trying to terminate it")
                process.terminate()
                process.join(timeout=shutdown_timeout)
                if process.is_alive():
                    util.info("manager still alive after terminate")
                    process.kill()
                    process.join()
        if tls is not None:
            _unlink(tls)
        state.value = State.SHUTDOWN

    @property
    def address(self) -> "Any":
        """The server's address."""
        return self._address

    @classmethod
    def register(
        cls,
        typeid: str,
        callable: "Callable[..., Any] | None" = None,
        proxytype: "Any" = None,
        exposed: "Any" = None,
        method_to_typeid: "dict[str, str] | None" = None,
        create_method: bool = True,
    ) -> None:
        """Let managers of this class have objects of a type.

        `callable` makes them, `proxytype` their proxies, which have the methods `exposed`.
        `method_to_typeid` names the methods whose results stay in the server, and their types.
        """
        if "_registry" not in cls.__dict__:
            cls._registry = cls._registry.copy()
        if proxytype is None:
            proxytype = AutoProxy
        exposed = exposed or getattr(proxytype, "_exposed_", None)
        method_to_typeid = method_to_typeid or getattr(proxytype, "_method_to_typeid_", None)
        if method_to_typeid:
            for key, value in method_to_typeid.items():
                assert type(key) is str, f"{key!r} is not a string"
                assert type(value) is str, f"{value!r} is not a string"
        cls._registry[typeid] = (callable, exposed, method_to_typeid, proxytype)
        if not create_method:
            return

        def create(self, /, *args, **kwds):
            util.debug("requesting creation of a shared %r object", typeid)
            return self._make(typeid, proxytype, args, kwds)

        create.__name__ = typeid
        setattr(cls, typeid, create)


class SyncManager(BaseManager):
    """A manager of the ordinary kinds of objects.

    `phalanx.Manager()` returns one whose server runs. Its objects are locks and their like as those of
    `threading`, queues, containers, namespaces, values, arrays and pools.

    >>> with mp.Manager() as manager:
    ...     scores = manager.dict(anna=1)
    ...     scores["bert"] = 2
    ...     print(scores)
    {'anna': 1, 'bert': 2}
    """

    if TYPE_CHECKING:

        def __getattr__(self, typeid: str) -> "Any": ...


def _make_pool(*args, **kwds):
    from .pool import Pool

    return Pool(*args, **kwds)


SyncManager.register("Queue", ManagedQueue)
SyncManager.register("JoinableQueue", ManagedQueue)
SyncManager.register("Event", ManagedEvent, EventProxy)
SyncManager.register("Lock", ManagedLock, AcquirerProxy)
SyncManager.register("RLock", ManagedRLock, AcquirerProxy)
SyncManager.register("Semaphore", ManagedSemaphore, AcquirerProxy)
SyncManager.register("BoundedSemaphore", ManagedBoundedSemaphore, AcquirerProxy)
SyncManager.register("Condition", make_condition, ConditionProxy)
SyncManager.register("Barrier", make_barrier, BarrierProxy)
SyncManager.register("Pool", _make_pool, PoolProxy)
SyncManager.register("list", ManagedList, ListProxy)
SyncManager.register("dict", ManagedDict, DictProxy)
SyncManager.register("set", set, SetProxy)
SyncManager.register("Value", ManagedValue, ValueProxy)
SyncManager.register("Array", Array, ArrayProxy)
SyncManager.register("Namespace", ManagedNamespace, NamespaceProxy)
# Types of results of the others' methods.
SyncManager.register("Iterator", proxytype=IteratorProxy, create_method=False)
SyncManager.register("AsyncResult", create_method=False)


class SharedMemoryManager(BaseManager):
    """A manager of shared memory blocks: when it ends, they are removed.

    >>> with mp.managers.SharedMemoryManager() as manager:
    ...     numbers = manager.ShareableList([1, 2, 3])
    ...     sum(numbers)
    6
    """

    _Server = SharedMemoryServer

    def SharedMemory(self, size: int) -> "shared_memory.SharedMemory":
        """Return a new block of `size` bytes."""
        from .shared_memory import SharedMemory

        return self._tracked(SharedMemory(None, create=True, size=size), lambda block: block)

    def ShareableList(self, sequence: "Any") -> "shared_memory.ShareableList":
        """Return a new list in a block of its own."""
        from .shared_memory import ShareableList

        return self._tracked(ShareableList(sequence), lambda new: new.shm)

    def _tracked(self, new, block_of):
        block = block_of(new)
        try:
            self._ask("track_segment", (block.name,))
        except BaseException:
            block.unlink()
            raise
        return new
