"""Locks, semaphores, conditions, events and barriers that processes share.

The classes do as those of `multiprocessing.synchronize`. What they add: if a process ends while it
holds a lock or a permit, the next to acquire it gets it together with `OwnerDiedError`, instead of
waiting for ever. After `acquire()` has raised that, the caller holds the lock; after `with lock:`
has raised it, nobody does, since the body has not run. `on_owner_death` chooses otherwise:
`"release"` gives the lock to the next without a word, `"wait"` leaves it held.
"""

from . import _core

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._core import _Policy
    from .context import BaseContext

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "SemLock",
    "Semaphore",
]

RECURSIVE_MUTEX, SEMAPHORE = range(2)
SEM_VALUE_MAX = _core.Semaphore.SEM_VALUE_MAX


def _rebuild(cls, *state):
    instance = cls.__new__(cls)
    instance._attach(*state)
    return instance


def _assert_spawning(instance):
    from . import context

    context.assert_spawning(instance)


def _owner(lock):
    """The name by which `repr` calls the holder of a lock, and how often it holds it."""
    from . import process

    if lock._is_mine():
        import threading

        name = process.current_process().name
        thread = threading.current_thread().name
        return (name if thread == "MainThread" else f"{name}|{thread}"), lock._count()
    if lock._get_value() == 1:
        return "None", 0
    return ("SomeOtherThread" if lock._count() > 0 else "SomeOtherProcess"), "nonzero"


class _Names:
    """An endless supply of random names; nothing here has a name, but others ask for some."""

    def __iter__(self):
        return self

    def __next__(self):
        import os

        return os.urandom(4).hex()


class _Handle:
    """An attribute that instances may replace, unlike a property."""

    def __get__(self, lock, cls):
        return self if lock is None else lock._offset()


class SemLock:
    """What locks and semaphores have in common; for `isinstance`."""

    __slots__ = ()
    _rand = _Names()

    # What `_semlock` is asked for beside its methods. Nothing here has a name that could be unlinked.
    SEM_VALUE_MAX = SEM_VALUE_MAX
    handle: "int" = _Handle()  # type: ignore[assignment]
    name: "str | None" = None

    @staticmethod
    def _make_name():
        from . import process

        return f"{process.current_process()._config['semprefix']}-{next(SemLock._rand)}"

    if TYPE_CHECKING:
        # What the classes of the engine bring.
        def acquire(self, block: bool = True, timeout: float | None = None) -> bool: ...
        def release(self) -> None: ...
        def _count(self) -> int: ...
        def _is_mine(self) -> bool: ...
        def _get_value(self) -> int: ...
        def _is_zero(self) -> bool: ...
        def _share(self) -> int: ...

    def _after_fork(self):
        """Do nothing: what a process holds is known by the process, and a forked child is another one."""

    @property
    def _semlock(self) -> "SemLock":
        return self

    def __reduce__(self):
        _assert_spawning(self)
        return _rebuild, (type(self), self._share())


class Lock(_core.Lock, SemLock):
    """A lock between processes. Any process may release it.

    `release()` of a free lock raises `ValueError`.

    >>> lock = mp.Lock()
    >>> with lock:
    ...     lock.acquire(timeout=0)
    False
    """

    kind, maxvalue = SEMAPHORE, 1

    def __init__(self, *, ctx: "BaseContext | None" = None, on_owner_death: "_Policy" = "raise") -> None:
        self._create(on_owner_death)

    def __repr__(self):
        return f"<{type(self).__name__}(owner={_owner(self)[0]})>"


class RLock(_core.RLock, SemLock):
    """A lock between processes that the thread which holds it may acquire again.

    It is free again when it has been released as often. `release()` by anybody but its holder raises
    `AssertionError`.

    >>> lock = mp.RLock()
    >>> with lock, lock:
    ...     print(lock)
    <RLock(MainProcess, 2)>
    """

    kind, maxvalue = RECURSIVE_MUTEX, 1

    def __init__(self, *, ctx: "BaseContext | None" = None, on_owner_death: "_Policy" = "raise") -> None:
        self._create(on_owner_death)

    def __repr__(self):
        name, count = _owner(self)
        return f"<{type(self).__name__}({name}, {count})>"


class Semaphore(_core.Semaphore, SemLock):
    """A number of permits that processes acquire and release.

    A release by a process that holds none adds a permit.

    >>> semaphore = mp.Semaphore(2)
    >>> [semaphore.acquire(block=False) for _ in range(3)]
    [True, True, False]
    """

    kind = SEMAPHORE

    @property
    def maxvalue(self) -> int:
        return SEM_VALUE_MAX

    def __init__(
        self, value: int = 1, *, ctx: "BaseContext | None" = None, on_owner_death: "_Policy" = "raise"
    ) -> None:
        self._create(value, False, on_owner_death)

    def __repr__(self):
        return f"<{type(self).__name__}(value={self._get_value()})>"


class BoundedSemaphore(Semaphore):
    """A semaphore whose value never exceeds the one it began with.

    >>> semaphore = mp.BoundedSemaphore(1)
    >>> semaphore.release()
    Traceback (most recent call last):
    ValueError: semaphore or lock released too many times
    """

    def __init__(
        self, value: int = 1, *, ctx: "BaseContext | None" = None, on_owner_death: "_Policy" = "raise"
    ) -> None:
        self._create(value, True, on_owner_death)

    @property
    def maxvalue(self) -> int:
        return self._start_value()

    def __repr__(self):
        name = type(self).__name__
        return f"<{name}(value={self._get_value()}, maxvalue={self.maxvalue})>"


class _Count:
    """A number as a semaphore shows it."""

    def __init__(self, value):
        self._value = value

    def get_value(self) -> int:
        """Return the number."""
        return self._value

    _get_value = get_value

    @property
    def _semlock(self):
        return self


class Condition(_core.Condition):
    """Waiting, under a lock, for a change that another process makes under the same lock.

    `lock` is a `Lock` or an `RLock`; without one, a new `RLock`. `wait`, `notify` and `notify_all` raise
    `AssertionError` if the calling thread does not hold it.

    >>> condition = mp.Condition()
    >>> with condition:
    ...     condition.wait_for(lambda: True)
    True
    >>> with condition:
    ...     condition.wait(timeout=0.01)
    False
    """

    def __init__(
        self, lock: "_core.Lock | _core.RLock | None" = None, *, ctx: "BaseContext | None" = None
    ) -> None:
        self._create(RLock(ctx=ctx) if lock is None else lock)

    def __reduce__(self):
        _assert_spawning(self)
        return _rebuild, (type(self), self._lock, self._share())

    def __repr__(self):
        return f"<{type(self).__name__}({self._lock}, {self._waiting()})>"

    # By these three others look at who waits. Nobody is ever between being woken and going on.

    @property
    def _sleeping_count(self):
        return _Count(self._waiting())

    @property
    def _woken_count(self):
        return _Count(0)

    @property
    def _wait_semaphore(self):
        return _Count(0)


class Event(_core.Event):
    """A flag that processes can wait for.

    >>> event = mp.Event()
    >>> event.wait(timeout=0.01)
    False
    >>> event.set()
    >>> event.wait()
    True
    """

    def __init__(self, *, ctx: "BaseContext | None" = None) -> None:
        self._create()

    def __reduce__(self):
        _assert_spawning(self)
        return _rebuild, (type(self), self._share())

    def __repr__(self):
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


class Barrier(_core.Barrier):
    """A place where a number of processes wait for each other, again and again.

    It breaks, with `threading.BrokenBarrierError` for all, when one of those who wait times out or
    dies. `action` is called by the last to arrive, before anybody passes.

    >>> barrier = mp.Barrier(1)
    >>> barrier.wait()
    0
    """

    def __init__(
        self,
        parties: int,
        action: "Callable[[], object] | None" = None,
        timeout: float | None = None,
        *,
        ctx: "BaseContext | None" = None,
    ) -> None:
        self._create(parties, action, timeout)

    def __reduce__(self):
        _assert_spawning(self)
        return _rebuild, (type(self), self._share(), self._action, self._timeout)

    def __repr__(self):
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self.broken:
            return f"<{name} at {id(self):#x}: broken>"
        return f"<{name} at {id(self):#x}: waiters={self.n_waiting}/{self.parties}>"
