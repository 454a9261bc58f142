"""Locks of threads that say whether they are locked, on every Python: `threading`'s do since 3.14."""

import sys
import threading

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.

if TYPE_CHECKING or sys.version_info < (3, 14):

    def _is_locked(lock):
        locked = getattr(lock, "locked", None)
        # A re-entrant lock has no other way to tell, and to try it would disturb its users.
        return repr(lock).startswith("<locked") if locked is None else locked()

    class RLock(type(threading.RLock())):  # type: ignore[misc]
        """A lock that the thread which holds it may acquire again."""

        def locked(self) -> bool:
            """Return whether any thread holds the lock."""
            return super().__repr__().startswith("<locked")

    class Semaphore(threading.Semaphore):
        """A number of permits that threads acquire and release."""

        _value: int

        def locked(self) -> bool:
            """Return whether no permit is left."""
            return self._value == 0

    class BoundedSemaphore(threading.BoundedSemaphore, Semaphore):
        """A semaphore whose value never exceeds the one it began with."""

    class Condition(threading.Condition):
        """Waiting, under a lock, for a change that another thread makes under the same lock."""

        def __init__(self, lock: "threading.Lock | threading.RLock | None" = None) -> None:
            super().__init__(RLock() if lock is None else lock)

        def locked(self) -> bool:
            """Return whether any thread holds the lock."""
            return _is_locked(self._lock)  # type: ignore[attr-defined]

else:
    from threading import BoundedSemaphore, Condition, RLock, Semaphore

__all__ = ["BoundedSemaphore", "Condition", "RLock", "Semaphore"]
