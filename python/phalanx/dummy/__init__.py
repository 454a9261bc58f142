"""The interface of the package with threads in the place of processes.

Nothing is pickled and nothing is copied: `Process` is a thread, and locks and queues are those of
`threading` and `queue`.
"""

import array
import sys
import threading
import weakref
from queue import Queue
from threading import Barrier, Event, Lock

from .._weak import undisturbed
from ._locks import BoundedSemaphore, Condition, RLock, Semaphore
from .connection import Pipe

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType
    from typing import Any

    from ..pool import ThreadPool

__all__ = [
    "Process",
    "current_process",
    "active_children",
    "freeze_support",
    "Lock",
    "RLock",
    "Semaphore",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Barrier",
    "Queue",
    "Manager",
    "Pipe",
    "Pool",
    "JoinableQueue",
]


class DummyProcess(threading.Thread):
    """A thread that looks like a process."""

    _pid = None

    def __init__(
        self,
        group: None = None,
        target: "Callable[..., object] | None" = None,
        name: str | None = None,
        args: "Iterable[Any]" = (),
        kwargs: "Mapping[str, Any] | None" = None,
    ) -> None:
        super().__init__(group, target, name, args, kwargs)
        self._children: weakref.WeakKeyDictionary[Any, None] = undisturbed(weakref.WeakKeyDictionary())
        self._start_called = False
        self._parent = current_process()

    def start(self) -> None:
        """Start the thread. Only the thread that made the object may do it."""
        if self._parent is not current_process():
            raise RuntimeError(
                f"{self.name} was made by {self._parent.name} and can only be started by it, "
                f"not by {current_process().name}"
            )
        self._start_called = True
        _children_of(self._parent)[self] = None
        super().start()

    @property
    def exitcode(self) -> int | None:
        """0 once the thread has ended, `None` before."""
        return 0 if self._start_called and not self.is_alive() else None


Process = DummyProcess
current_process = threading.current_thread


def _children_of(thread):
    return vars(thread).setdefault("_children", undisturbed(weakref.WeakKeyDictionary()))


def active_children() -> "list[Any]":
    """Return the threads that this thread has started and that have not ended."""
    children = _children_of(current_process())
    for child in list(children):
        if not child.is_alive():
            children.pop(child, None)
    return list(children)


def freeze_support() -> None:
    """Do nothing: threads need no second program."""


class Namespace:
    """An object for attributes."""

    def __init__(self, /, **kwds: "Any") -> None:
        self.__dict__.update(kwds)

    def __repr__(self):
        items = (f"{name}={value!r}" for name, value in vars(self).items() if name[:1] != "_")
        return f"{type(self).__name__}({', '.join(sorted(items))})"


dict = dict
list = list


def Array(typecode: str, sequence: "Any", lock: "Any" = True) -> "array.array[Any]":
    """Return an array of the module `array`."""
    return array.array(typecode, sequence)


class Value:
    """A value with a type code."""

    def __init__(self, typecode: "Any", value: "Any", lock: "Any" = True) -> None:
        self._typecode = typecode
        self._value = value

    @property
    def value(self) -> "Any":
        """The value."""
        return self._value

    @value.setter
    def value(self, value: "Any") -> None:
        self._value = value

    def __repr__(self):
        return f"<{type(self).__name__}({self._typecode!r}, {self._value!r})>"


def Manager() -> "ModuleType":
    """Return this module, which has everything that a manager has."""
    return sys.modules[__name__]


def shutdown() -> None:
    """Do nothing: there is no server."""


def Pool(
    processes: int | None = None,
    initializer: "Callable[..., object] | None" = None,
    initargs: "Iterable[Any]" = (),
) -> "ThreadPool":
    """Return a pool of threads."""
    from ..pool import ThreadPool

    return ThreadPool(processes, initializer, initargs)


JoinableQueue = Queue
