"""Contexts: the package's interface, bound to one way of starting processes."""

import sys
from _thread import _local

from . import _standard, process
from .errors import AuthenticationError, BufferTooShort, ProcessError, TimeoutError

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from . import (
        connection as _connection,
        managers as _managers,
        pool as _pool,
        queues as _queues,
        synchronize as _sync,
    )
    from ._core import _Policy

__all__ = ()


class BaseContext:
    """What all contexts offer: factories of everything that processes share."""

    _name: str
    Process: "type[process.BaseProcess]"

    ProcessError = ProcessError
    BufferTooShort = BufferTooShort
    TimeoutError = TimeoutError
    AuthenticationError = AuthenticationError

    current_process = staticmethod(process.current_process)
    parent_process = staticmethod(process.parent_process)
    active_children = staticmethod(process.active_children)

    def cpu_count(self, *, physical: bool = False) -> int:
        """Return the number of processors that this process can keep busy.

        That is the smallest of its affinity mask and the quotas of its control groups. The
        environment variable `PHALANX_CPU_COUNT` takes the place of both; without it, the option
        `-X cpu_count` or else the variable `PYTHON_CPU_COUNT` does. With `physical` the two or more
        processors of a core count as one.
        """
        from ._core import cpu_count

        return cpu_count(physical)

    def process_cpu_count(self) -> int:
        """Return the number of processors that this process may use: the same as `cpu_count`."""
        return self.cpu_count()

    def Manager(self) -> "_managers.SyncManager":
        """Return a manager whose server runs in a process of its own."""
        from .managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def Pipe(self, duplex: bool = True) -> "tuple[_connection.Connection, _connection.Connection]":
        """Return two connections that are joined by a pipe."""
        from .connection import Pipe

        return Pipe(duplex)

    def Lock(self, *, on_owner_death: "_Policy" = "raise") -> "_sync.Lock":
        """Return a lock that cannot be taken twice by its owner.

        `on_owner_death` says what the next to acquire it gets if its holder has died: the lock with
        `OwnerDiedError` (`"raise"`), the lock without a word (`"release"`), or nothing (`"wait"`).
        """
        from .synchronize import Lock

        return Lock(ctx=self.get_context(), on_owner_death=on_owner_death)

    def RLock(self, *, on_owner_death: "_Policy" = "raise") -> "_sync.RLock":
        """Return a lock that its owner can take again. For `on_owner_death` see `Lock`."""
        from .synchronize import RLock

        return RLock(ctx=self.get_context(), on_owner_death=on_owner_death)

    def Condition(self, lock: "_sync.Lock | _sync.RLock | None" = None) -> "_sync.Condition":
        """Return a condition variable."""
        from .synchronize import Condition

        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1, *, on_owner_death: "_Policy" = "raise") -> "_sync.Semaphore":
        """Return a semaphore. For `on_owner_death` see `Lock`."""
        from .synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context(), on_owner_death=on_owner_death)

    def BoundedSemaphore(
        self, value: int = 1, *, on_owner_death: "_Policy" = "raise"
    ) -> "_sync.BoundedSemaphore":
        """Return a semaphore that cannot be released more often than it was acquired.

        For `on_owner_death` see `Lock`.
        """
        from .synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context(), on_owner_death=on_owner_death)

    def Event(self) -> "_sync.Event":
        """Return an event."""
        from .synchronize import Event

        return Event(ctx=self.get_context())

    def Barrier(
        self, parties: int, action: "Callable[[], object] | None" = None, timeout: float | None = None
    ) -> "_sync.Barrier":
        """Return a barrier for a number of processes or threads."""
        from .synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize: int = 0) -> "_queues.Queue[Any]":
        """Return a queue between any number of processes."""
        from .queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> "_queues.JoinableQueue[Any]":
        """Return a queue that can be waited for until all its items are done."""
        from .queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> "_queues.SimpleQueue[Any]":
        """Return a queue with nothing but `put`, `get` and `empty`."""
        from .queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pool(
        self,
        processes: int | None = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
        maxtasksperchild: int | None = None,
        *,
        seed: int | None = None,
        logs: bool = False,
        on_worker_death: str = "isolate",
    ) -> "_pool.Pool":
        """Return a pool of worker processes.

        With a `seed` each task has random numbers of its own, the same in every run; with `logs=True`
        what workers log is handled by the handlers of this process; with `on_worker_death="break"` the
        pool does not outlive the first worker that dies.
        """
        from .pool import Pool

        return Pool(
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            context=self.get_context(),
            seed=seed,
            logs=logs,
            on_worker_death=on_worker_death,
        )

    def RawValue(self, typecode_or_type: "Any", *args: "Any") -> "Any":
        """Return a `ctypes` object in shared memory."""
        from .sharedctypes import RawValue

        return RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type: "Any", size_or_initializer: "Any") -> "Any":
        """Return a `ctypes` array in shared memory."""
        from .sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type: "Any", *args: "Any", lock: "Any" = True) -> "Any":
        """Return a `ctypes` object in shared memory, by default with a lock."""
        from .sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type: "Any", size_or_initializer: "Any", *, lock: "Any" = True) -> "Any":
        """Return a `ctypes` array in shared memory, by default with a lock."""
        from .sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def freeze_support(self) -> None:
        """Run a child's work if a frozen program was started as a child; otherwise do nothing."""
        if getattr(sys, "frozen", False):
            from .spawn import freeze_support

            freeze_support()

    def get_logger(self) -> "logging.Logger":
        """Return the package's logger."""
        from .util import get_logger

        return get_logger()

    def log_to_stderr(self, level: int | str | None = None) -> "logging.Logger":
        """Let the package's logger write to standard error; return it."""
        from .util import log_to_stderr

        return log_to_stderr(level)

    def allow_connection_pickling(self) -> None:
        """Make connections and sockets picklable."""
        from . import reduction

        reduction.register_sockets()

    def set_executable(self, executable: str | bytes) -> None:
        """Set the path of the interpreter that `spawn` and `forkserver` start."""
        from .spawn import set_executable

        set_executable(executable)

    def set_forkserver_preload(self, module_names: list[str], *, on_error: str = "ignore") -> None:
        """Set the modules that the forkserver imports before it forks.

        `on_error` says what becomes of one that cannot be imported: nothing (`"ignore"`), a warning on
        standard error (`"warn"`), or the end of the forkserver, so that starting a process fails
        (`"fail"`).
        """
        from .forkserver import set_forkserver_preload

        set_forkserver_preload(module_names, on_error=on_error)

    def get_context(self, method: str | None = None) -> "BaseContext":
        """Return the context of a start method; without one, this context."""
        if method is None:
            return self
        try:
            ctx = _concrete_contexts[method]
        except KeyError:
            raise ValueError(f"cannot find context for {method!r}") from None
        ctx._check_available()
        return ctx

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Return the name of the start method."""
        return self._name

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Refuse: only the default context's start method can be set."""
        raise ValueError("cannot set start method of concrete context")

    @property
    def reducer(self) -> "ModuleType":
        """The module that decides how objects are made ready for another process."""
        return _reduction()

    @reducer.setter
    def reducer(self, reduction: "ModuleType") -> None:
        globals()["reduction"] = reduction

    def _check_available(self):
        pass


def _reduction():
    if "reduction" not in globals():
        from . import reduction

        globals()["reduction"] = reduction
    return globals()["reduction"]


def __getattr__(name):
    if name == "reduction":
        return _reduction()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Process(process.BaseProcess):
    """A process started in the default way."""

    _start_method = None

    @staticmethod
    def _Popen(process_obj):
        return _default_context.get_context().Process._Popen(process_obj)

    @staticmethod
    def _after_fork():
        return _default_context.get_context().Process._after_fork()


class DefaultContext(BaseContext):
    """The context whose start method can be set, at most once."""

    Process = Process

    def __init__(self, context: BaseContext) -> None:
        self._default_context = context
        self._actual_context: BaseContext | None = None

    def get_context(self, method: str | None = None) -> "BaseContext":
        """Return the context of a start method; without one, that of the default, now settled."""
        if method is not None:
            return super().get_context(method)
        if self._actual_context is None:
            self._actual_context = self._default_context
        return self._actual_context

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Set the default start method; `None` with `force` unsets it.

        Raises `RuntimeError` if it has been set or used, unless `force` is true. In a child that is
        importing the main module nothing happens without `force`: the parent has decided.
        """
        if not force and getattr(process.current_process(), "_inheriting", False):
            self.get_context(method)
            return
        if self._actual_context is not None and not force:
            raise RuntimeError("context has already been set")
        if method is None and force:
            self._actual_context = None
        else:
            self._actual_context = self.get_context(method)

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Return the name of the default start method; `None` if allowed and it is not settled."""
        if self._actual_context is None and allow_none:
            return None
        return self.get_context()._name

    def get_all_start_methods(self) -> list[str]:
        """Return the names of the start methods, the interpreter's default first."""
        default = self._default_context._name
        return [default, *(m for m in ("fork", "spawn", "forkserver") if m != default)]


class ForkProcess(process.BaseProcess):
    """A process that is a copy of its parent."""

    _start_method = "fork"

    @staticmethod
    def _Popen(process_obj):
        from .popen_fork import Popen

        return Popen(process_obj)


class SpawnProcess(process.BaseProcess):
    """A process with a fresh interpreter."""

    _start_method = "spawn"

    @staticmethod
    def _Popen(process_obj):
        from .popen_spawn_posix import Popen

        return Popen(process_obj)

    @staticmethod
    def _after_fork():
        pass


class ForkServerProcess(process.BaseProcess):
    """A process that is a copy of a prepared, single-threaded one."""

    _start_method = "forkserver"

    @staticmethod
    def _Popen(process_obj):
        from .popen_forkserver import Popen

        return Popen(process_obj)


class ForkContext(BaseContext):
    """Starts processes by forking."""

    _name = "fork"
    Process = ForkProcess


class SpawnContext(BaseContext):
    """Starts processes with fresh interpreters."""

    _name = "spawn"
    Process = SpawnProcess


class ForkServerContext(BaseContext):
    """Starts processes by letting the forkserver fork."""

    _name = "forkserver"
    Process = ForkServerProcess


_concrete_contexts = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}

# The default of the running interpreter's own library.
_default_context = DefaultContext(_concrete_contexts["forkserver" if sys.version_info >= (3, 14) else "fork"])

get_context = _default_context.get_context


def _force_start_method(method):
    _default_context._actual_context = _concrete_contexts[method]


_tls = _local()


def get_spawning_popen():
    """Return the child that this thread is packing objects for, if it is."""
    return getattr(_tls, "spawning_popen", None)


def set_spawning_popen(popen):
    """Set what `get_spawning_popen` returns, here and for the standard library's own objects."""
    _tls.spawning_popen = popen
    neighbour = _standard.loaded("context")
    if neighbour is not None:
        neighbour.set_spawning_popen(popen)


def assert_spawning(obj):
    """Raise `RuntimeError` unless a child is being started."""
    if get_spawning_popen() is None:
        raise RuntimeError(
            f"{type(obj).__name__} objects should only be shared between processes through inheritance"
        )
