"""Proxies of what is no container: iterators, locks, events, barriers, arrays, pools."""

from .proxy import BaseProxy, MakeProxyType

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


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
ArrayProxy.__module__ = __name__  # where pickle finds it

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
