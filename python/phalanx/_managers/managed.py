"""What a manager's server makes: locks, events and queues behind the proxies.

They lie in shared memory. Relatives of the server work on them without it; strangers, and clients of the
standard library, are served by the same objects, which behave as those of `threading` and `queue`.
"""

from .. import context, queues, synchronize
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
