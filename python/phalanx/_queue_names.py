"""What others expect inside of a queue: the parts of one that is made of a pipe and a thread.

Programs lock a queue from outside, look at its buffer, put pickled bytes into its pipe, or have their
own copy of `put`. A queue of the engine has none of these parts; those made here do what is expected of
them.
"""

import queue
from _pickle import loads

from . import _core

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


class Pickled:
    """An object that has been pickled already; whoever gets it out of a queue gets the object."""

    def __init__(self, pickle: "Any") -> None:
        self._pickle = bytes(memoryview(pickle))

    def __reduce__(self):
        return loads, (self._pickle,)


def put_or_report(self, obj, block=True, timeout=None):
    """Put an object; if it cannot be pickled, leave it to the subclass's hook."""
    try:
        _core.Queue.put(self, obj, block, timeout)
    except queue.Full:
        raise
    except Exception as error:
        if self._closed:
            raise
        self._on_queue_feeder_error(error, obj)


class _NoLock:
    """Stands for a lock of a queue: the engine's need none from outside."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Do nothing; return true."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self):
        return True

    def __exit__(self, *details):
        pass


class _NoCondition(_NoLock):
    """The same, for a condition that is told of what was put."""

    def notify(self, n: int = 1) -> None:
        """Do nothing: whoever waits has been woken."""

    notify_all = notify


class _Buffer:
    """Stands for what a thread would still have to send: nothing, and what is added is sent."""

    def __init__(self, owner):
        self._queue = owner

    def append(self, obj: object) -> None:
        """Put an object into the queue."""
        _core.Queue.put(self._queue, obj)

    def __len__(self):
        return 0

    def __iter__(self):
        return iter(())


class _Room(_NoLock):
    """Stands for the number of free places in a queue."""

    def __init__(self, owner):
        self._queue = owner

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Return whether an object can be put; if `block` is true, what puts it will wait for room."""
        return block or not self._queue.full()

    def get_value(self) -> int:
        """Return the number of free places; of a queue without a limit, the largest number."""
        limit = self._queue._maxsize
        return max(0, limit - self._queue.qsize()) if limit else _core.Semaphore.SEM_VALUE_MAX

    _get_value = get_value

    @property
    def _semlock(self):
        return self


def _nothing(*args):
    """Do nothing."""


_PARTS = {
    "_reader": _core.QueueReader,
    "_writer": _core.QueueWriter,
    "_recv": lambda owner: _core.QueueReader(owner).recv,
    "_recv_bytes": lambda owner: _core.QueueReader(owner).recv_bytes,
    "_poll": lambda owner: _core.QueueReader(owner).poll,
    "_send": lambda owner: _core.QueueWriter(owner).send,
    "_send_bytes": lambda owner: _core.QueueWriter(owner).send_bytes,
    "_rlock": lambda owner: _NoLock(),
    "_wlock": lambda owner: _NoLock(),
    "_cond": lambda owner: _NoCondition(),
    "_notempty": lambda owner: _NoCondition(),
    "_unfinished_tasks": lambda owner: _NoLock(),
    "_buffer": _Buffer,
    "_sem": _Room,
    "_thread": lambda owner: None,
    "_feed": lambda owner: _nothing,
    "_start_thread": lambda owner: _nothing,
    "_after_fork": lambda owner: _nothing,
    "_reset": lambda owner: _nothing,
    "_terminate_broken": lambda owner: owner.close,
}


def find(owner: "Any", name: str) -> "Any":
    """Return the part of that name of a queue."""
    make = _PARTS.get(name)
    if make is None:
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
    return make(owner)
