"""Queues that processes share: `Queue`, `JoinableQueue` and `SimpleQueue`.

An object is pickled when it is put, in the thread that puts it: one that cannot be pickled raises
there, and later changes of it are not seen. Nothing is left to a background thread, so a process
may end at once after `put` without losing anything.
"""

from . import _core

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from queue import Empty as Empty, Full as Full
    from typing import Any, TypeVar

    from .context import BaseContext
    from .errors import ShutDown as ShutDown

    _T = TypeVar("_T")

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]


if not TYPE_CHECKING:

    def __getattr__(name):
        if name in ("Empty", "Full", "ShutDown"):
            import queue

            from . import errors

            return getattr(queue, name, None) or getattr(errors, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_sentinel = object()


def _new(cls):
    return cls.__new__(cls)


class _Shared:
    """What all queues have beside the methods of the engine's queue."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _share(self) -> int: ...
        def _attach(self, offset: int) -> None: ...
        def _adopt(self, end: Any) -> None: ...
        def _make_parts(self, maxsize: int, ctx: "BaseContext | None") -> None: ...

    #: Whether it is made of parts that others see, not by the engine: see `_queue_parts`.
    _of_parts = False

    @classmethod
    def _equip(cls, kind):
        """Make a subclass one of parts if it needs that."""
        if "__getstate__" in vars(cls) and not cls._of_parts:
            from . import _queue_parts

            if _queue_parts.sends_parts(cls):
                _queue_parts.equip(cls, getattr(_queue_parts, kind))

    # Subclasses extend these two to let attributes of theirs travel too.

    def __getstate__(self):
        from . import context

        context.assert_spawning(self)
        return (self._share(),)

    def __setstate__(self, state):
        self._attach(*state)

    def __reduce__(self):
        return _new, (type(self),), self.__getstate__()

    def __getattr__(self, name):
        # Others look inside of queues; what they find there is made for them.
        if name[:1] != "_":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        from ._queue_names import find

        return find(self, name)

    def __setattr__(self, name, value):
        if type(value) in (_core.QueueReader, _core.QueueWriter):
            self._adopt(value)
        super().__setattr__(name, value)


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
        if self._of_parts:
            self._make_parts(maxsize, ctx)
        else:
            self._create(maxsize)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._equip("Parts")
        if "_on_queue_feeder_error" in vars(cls) and "put" not in vars(cls) and not cls._of_parts:
            # It wants to deal with objects that cannot be pickled.
            from ._queue_names import put_or_report

            cls.put = put_or_report  # type: ignore[method-assign]

    @staticmethod
    def _on_queue_feeder_error(e, obj):
        raise e

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
        if self._of_parts:
            self._make_parts(0, ctx)
        else:
            self._create(0)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._equip("SimpleParts")

    def empty(self) -> bool:
        """Return whether there is nothing to get at this moment; raise `OSError` if it is closed here."""
        if self._closed:
            raise OSError(f"{self!r} is closed")
        return super().empty()
