"""Queues that processes share: `Queue`, `JoinableQueue` and `SimpleQueue`.

An object is pickled when it is put, in the thread that puts it: one that cannot be pickled raises
there, and later changes of it are not seen. Nothing is left to a background thread, so a process
may end at once after `put` without losing anything.
"""

from . import _core

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from queue import Empty as Empty, Full as Full
    from typing import TypeVar

    from .context import BaseContext

    _T = TypeVar("_T")

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]


if not TYPE_CHECKING:

    def __getattr__(name):
        if name in ("Empty", "Full"):
            import queue

            return getattr(queue, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _rebuild(cls, offset):
    queue = cls.__new__(cls)
    queue._attach(offset)
    return queue


class _Shared:
    """What all queues have beside the methods of the engine's queue."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _share(self) -> int: ...

    def __reduce__(self):
        from . import context

        context.assert_spawning(self)
        return _rebuild, (type(self), self._share())


class Queue(_Shared, _core.Queue["_T"]):
    """A queue for at most `maxsize` objects, or any number if that is 0 or less.

    Objects come out in the order in which they were put. `put` and `get` wait; with `block=False` or when
    `timeout` seconds are over they raise `queue.Full` and `queue.Empty`.

    >>> queue = mp.Queue()
    >>> queue.put(["anything", 1])
    >>> queue.get(timeout=10)
    ['anything', 1]
    """

    def __init__(self, maxsize: int = 0, *, ctx: "BaseContext | None" = None) -> None:
        self._create(maxsize)

    def join_thread(self) -> None:
        """Do nothing: there is no background thread. Only for a queue that has been closed."""
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Do nothing: a process that ends never waits for its queues."""


class JoinableQueue(Queue["_T"]):
    """A queue that knows when everything that was put has been dealt with.

    Call `task_done()` once for each object taken; once too often raises `ValueError`. `join()` waits until
    it has been called for every object put.

    >>> queue = mp.JoinableQueue()
    >>> queue.put(1)
    >>> queue.get()
    1
    >>> queue.task_done()
    >>> queue.join()
    """

    task_done = _core.Queue._task_done
    join = _core.Queue._join


class SimpleQueue(_Shared, _core.Queue["_T"]):
    """A queue for any number of objects.

    >>> queue = mp.SimpleQueue()
    >>> queue.put(1)
    >>> queue.get(), queue.empty()
    (1, True)
    """

    def __init__(self, *, ctx: "BaseContext | None" = None) -> None:
        self._create(0)
