"""What a manager's server makes: the objects behind the proxies.

Those of the ordinary kinds lie in shared memory. Relatives of the server work on them without it;
strangers, and clients of the standard library, are served by the same objects, which behave as those
of `threading`, `queue` and the built-in containers that they stand for.
"""

import array
from _thread import allocate_lock

from .. import context, queues, synchronize
from .._core import SharedDict, SharedList, Unshareable
from .proxy import store

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


def pack(shared: "Any") -> bytes:
    """Return the pickle of a shared object for the process that is to have it."""
    from .._core import _encode_whole

    before = context.get_spawning_popen()
    context.set_spawning_popen(pack)
    try:
        return _encode_whole(shared)
    finally:
        context.set_spawning_popen(before)


def unpack(data: bytes) -> "Any":
    """Return the shared object of a pickle that `pack` made."""
    from _pickle import loads

    return loads(data)


def _seconds(blocking, timeout):
    """Return the arguments of `acquire` in the form that the engine takes."""
    if timeout is None or timeout == -1:
        return blocking, None
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    return blocking, timeout


class ManagedLock(synchronize.Lock):
    """A lock with the manners of `threading.Lock`."""

    def acquire_in_time(self, blocking: bool = True, timeout: float | None = None) -> bool:
        return super().acquire(*_seconds(blocking, timeout))

    def release(self) -> None:
        try:
            super().release()
        except ValueError:
            raise RuntimeError("release unlocked lock") from None

    def _shared_part(self):
        return self

    def __repr__(self):
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} _thread.lock object at {id(self):#x}>"


class ManagedRLock(synchronize.RLock):
    """A lock with the manners of `threading.RLock`."""

    def acquire_in_time(self, blocking: bool = True, timeout: float | None = None) -> bool:
        return super().acquire(*_seconds(blocking, timeout))

    def release(self) -> None:
        try:
            super().release()
        except (AssertionError, ValueError, RuntimeError):
            raise RuntimeError("cannot release un-acquired lock") from None

    def _shared_part(self):
        return self

    def __repr__(self):
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} _thread.RLock object at {id(self):#x}>"


class ManagedSemaphore(synchronize.Semaphore):
    """A semaphore with the manners of `threading.Semaphore`."""

    def acquire_in_time(self, blocking: bool = True, timeout: float | None = None) -> bool:
        return super().acquire(*_seconds(blocking, timeout))

    def _shared_part(self):
        return self

    def __repr__(self):
        return f"<threading.Semaphore at {id(self):#x}: value={self._get_value()}>"


class ManagedBoundedSemaphore(synchronize.BoundedSemaphore):
    """A semaphore with the manners of `threading.BoundedSemaphore`."""

    def acquire_in_time(self, blocking: bool = True, timeout: float | None = None) -> bool:
        return super().acquire(*_seconds(blocking, timeout))

    def release(self) -> None:
        try:
            super().release()
        except ValueError:
            raise ValueError("Semaphore released too many times") from None

    def _shared_part(self):
        return self

    def __repr__(self):
        value = f"{self._get_value()}/{self.maxvalue}"
        return f"<threading.BoundedSemaphore at {id(self):#x}: value={value}>"


class ManagedCondition(synchronize.Condition):
    """A condition with the manners of `threading.Condition`."""

    def acquire_in_time(self, blocking: bool = True, timeout: float | None = None) -> bool:
        return self._lock.acquire(*_seconds(blocking, timeout))

    def locked(self) -> bool:
        return self._lock.locked()

    def release(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        try:
            return super().wait(timeout)
        except AssertionError:
            raise RuntimeError("cannot wait on un-acquired lock") from None

    def notify(self, n: int = 1) -> None:
        try:
            super().notify(n)
        except AssertionError:
            raise RuntimeError("cannot notify on un-acquired lock") from None

    def notify_all(self) -> None:
        try:
            super().notify_all()
        except AssertionError:
            raise RuntimeError("cannot notify on un-acquired lock") from None

    def _shared_part(self):
        return self

    def __repr__(self):
        return f"<Condition({self._lock!r}, {self._waiting()})>"


def make_condition(lock: "Any" = None) -> "Any":
    """Return a condition; in shared memory if its lock is there."""
    lock = ManagedRLock() if lock is None else getattr(lock, "_local", None) or lock
    if isinstance(lock, (ManagedLock, ManagedRLock)):
        return ManagedCondition(lock)
    from threading import Condition

    return Condition(lock)


class ManagedEvent(synchronize.Event):
    """An event with the manners of `threading.Event`."""

    def _shared_part(self):
        return self

    def __repr__(self):
        return f"<threading.Event at {id(self):#x}: {'set' if self.is_set() else 'unset'}>"


class ManagedBarrier(synchronize.Barrier):
    """A barrier with the manners of `threading.Barrier`."""

    def _shared_part(self):
        return self

    def __repr__(self):
        return super().__repr__().replace(f"{__name__}.ManagedBarrier", "threading.Barrier")


def make_barrier(parties: int, action: "Any" = None, timeout: float | None = None) -> "Any":
    """Return a barrier. One with an action stays in the server, which is to call it."""
    if action is None:
        return ManagedBarrier(parties, None, timeout)
    from threading import Barrier

    return Barrier(parties, action, timeout)


_ATOMS = frozenset({int, str, float, bytes, bool, type(None)})


class ManagedQueue(queues.JoinableQueue["Any"]):
    """A queue with the manners of `queue.Queue`."""

    _direct = (
        "put",
        "get",
        "qsize",
        "empty",
        "full",
        "put_nowait",
        "get_nowait",
        "task_done",
        "join",
        "shutdown",
    )
    _public_methods_ = _direct

    def put(self, item: "Any", block: bool = True, timeout: float | None = None) -> None:
        if timeout is not None and block and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if type(item) in _ATOMS:
            super().put(item, block, timeout)
        else:
            store(super().put, item, block, timeout)

    def put_nowait(self, item: "Any") -> None:
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | None = None) -> "Any":
        if timeout is not None and block and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        return super().get(block, timeout)

    def shutdown(self, immediate: bool = False) -> None:
        """Let `put` raise `ShutDown`, and `get` once the queue is empty, or at once if `immediate`."""
        self._shut_down(immediate)

    def _shared_part(self):
        return self

    def __repr__(self):
        return f"<queue.Queue object at {id(self):#x}>"


class Namespace:
    """An object with attributes."""

    def __init__(self, /, **kwds: "Any") -> None:
        self.__dict__.update(kwds)

    def __repr__(self):
        return _namespace_repr(self.__dict__)


def _namespace_repr(attributes):
    shown = sorted(f"{name}={value!r}" for name, value in attributes.items() if not name.startswith("_"))
    return f"Namespace({', '.join(shown)})"


class Value:
    """An object with one value."""

    def __init__(self, typecode: "Any", value: "Any", lock: bool = True) -> None:
        self._typecode = typecode
        self._value = value

    def get(self) -> "Any":
        return self._value

    def set(self, value: "Any") -> None:
        self._value = value

    def __repr__(self):
        return f"{type(self).__name__}({self._typecode!r}, {self._value!r})"

    value = property(get, set)


def Array(typecode: str, sequence: "Any", lock: bool = True) -> "Any":
    """Return an array."""
    return array.array(typecode, sequence)


def _on_content(name):
    """A method that is called on what is in shared memory, or no longer is."""

    def method(self, /, *args, **kwds):
        return self._on_content(name, args, kwds)

    method.__name__ = method.__qualname__ = name
    return method


class _Container:
    """A container in shared memory, until it is asked for what cannot be done there.

    Then its contents move here, and all who used it there are sent here.
    """

    def __init__(self, shared):
        self._shared = shared
        self._moved = None
        self._moving = allocate_lock()

    def _shared_part(self):
        return self._shared

    def _content(self):
        """Return what holds the contents."""
        return self._moved if self._shared is None else self._shared

    def _on_content(self, name, args, kwds):
        shared = self._shared
        if shared is not None:
            try:
                return store(getattr(shared, name), *args, **kwds)
            except Unshareable:
                self._move()
        return getattr(self._moved, name)(*args, **kwds)

    def _move(self):
        with self._moving:
            if self._shared is not None:
                self._moved = self._shared._retire()
                self._shared = None

    def _copied(self):
        return self._on_content("copy", (), {})

    def __repr__(self):
        return repr(self._copied())


class ManagedDict(_Container):
    """A dictionary."""

    def __init__(self, /, *args: "Any", **kwds: "Any") -> None:
        shared = SharedDict()
        shared._create()
        super().__init__(shared)
        if args or kwds:
            # One that cannot be shared moves at once.
            self._on_content("update", (dict(*args, **kwds),), {})

    def fromkeys(self, keys: "Any", value: "Any" = None) -> "dict[Any, Any]":
        return dict.fromkeys(keys, value)

    def __iter__(self):
        return iter(self._on_content("copy", (), {}))

    def __ior__(self, other):
        self._on_content("update", (other,), {})  # The proxy returns itself.

    def keys(self) -> "list[Any]":
        return list(self._on_content("keys", (), {}))

    def values(self) -> "list[Any]":
        return list(self._on_content("values", (), {}))

    def items(self) -> "list[Any]":
        return list(self._on_content("items", (), {}))


for _name in (
    *("__contains__", "__delitem__", "__getitem__", "__len__", "__setitem__", "clear", "copy", "get"),
    *("pop", "popitem", "setdefault", "update", "__or__", "__ror__", "__reversed__"),
):
    setattr(ManagedDict, _name, _on_content(_name))


class ManagedList(_Container):
    """A list."""

    def __init__(self, items: "Any" = (), /) -> None:
        shared = SharedList()
        shared._create()
        super().__init__(shared)
        if items != ():
            self._on_content("extend", (items,), {})

    def __imul__(self, count):
        self._on_content("__imul__", (count,), {})  # The proxy returns itself.

    def __iter__(self):
        return iter(self._copied())


for _name in (
    *("__add__", "__contains__", "__delitem__", "__getitem__", "__len__", "__mul__", "__reversed__"),
    *("__rmul__", "__setitem__", "append", "count", "extend", "index", "insert", "pop", "remove"),
    *("reverse", "sort", "clear", "copy"),
):
    setattr(ManagedList, _name, _on_content(_name))


class ManagedValue(_Container):
    """An object with one value."""

    def __init__(self, typecode: "Any", value: "Any", lock: bool = True) -> None:
        shared = SharedList()
        shared._create()
        super().__init__(shared)
        self._typecode = typecode
        self._on_content("append", (value,), {})

    def get(self) -> "Any":
        return self._on_content("__getitem__", (0,), {})

    def set(self, value: "Any") -> None:
        self._on_content("__setitem__", (0, value), {})

    value = property(get, set)

    def _copied(self):
        return Value(self._typecode, self.get())


class ManagedNamespace(_Container):
    """An object with attributes."""

    def __init__(self, /, **kwds: "Any") -> None:
        shared = SharedDict()
        shared._create()
        super().__init__(shared)
        self._on_content("update", (kwds,), {})

    def __getattr__(self, name):
        if name[0] == "_":
            raise AttributeError(name)
        try:
            return self._on_content("__getitem__", (name,), {})
        except KeyError:
            raise AttributeError(f"'Namespace' object has no attribute {name!r}") from None

    def __getattribute__(self, name):
        # Called by its name: an attribute that is not there is then looked for as by Python.
        try:
            return object.__getattribute__(self, name)
        except AttributeError:
            if name[0] == "_":
                raise
            return self.__getattr__(name)

    def __setattr__(self, name, value):
        if name[0] == "_":
            object.__setattr__(self, name, value)
        else:
            self._on_content("__setitem__", (name, value), {})

    def __delattr__(self, name):
        try:
            self._on_content("__delitem__", (name,), {})
        except KeyError:
            raise AttributeError(f"'Namespace' object has no attribute {name!r}") from None

    def _copied(self):
        return Namespace(**self._on_content("copy", (), {}))
