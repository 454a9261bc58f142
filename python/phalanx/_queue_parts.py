"""Queues made of parts: a pipe, locks and a semaphore.

A subclass whose `__getstate__` sends the parts of a queue one by one, to processes that need not even
know phalanx, cannot do with a queue of the engine, which has no parts. Such a class is given this
implementation in place of the engine's; locks and semaphores come from its context.
"""

import os
import threading
from collections import deque
from queue import Empty, Full
from time import monotonic

from . import _core, connection, context, util
from .reduction import ForkingPickler

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


def sends_parts(cls: "type[Any]") -> bool:
    """Return whether a subclass makes the state of a queue by itself, without its base's."""
    code = getattr(vars(cls).get("__getstate__"), "__code__", None)
    return code is not None and "__class__" not in code.co_freevars and "__getstate__" not in code.co_names


def equip(cls: "type[Any]", kind: "type[Any]") -> None:
    """Give a subclass the methods of `kind`, but for those that it has."""
    for name, value in vars(kind).items():
        if name[:2] != "__" and name not in vars(cls):
            setattr(cls, name, value)


class SimpleParts:
    """What a `SimpleQueue` of parts has."""

    _of_parts = True

    def _make_parts(self: "Any", maxsize: int, ctx: "Any") -> None:
        ctx = ctx or context._default_context.get_context()
        reader, writer = os.pipe()
        self._reader = connection.Connection(reader, True, False)
        self._writer = connection.Connection(writer, False, True)
        self._rlock = ctx.Lock()
        self._wlock = ctx.Lock()

    def get(self: "Any") -> "Any":
        """Take the oldest object, waiting for it."""
        with self._rlock:
            pickle = self._reader.recv_bytes()
        return ForkingPickler.loads(pickle)

    def put(self: "Any", obj: "Any") -> None:
        """Put an object."""
        pickle = ForkingPickler.dumps(obj)
        with self._wlock:
            self._writer.send_bytes(pickle)

    def empty(self: "Any") -> bool:
        """Return whether there is nothing to get."""
        return not self._reader.poll()

    def close(self: "Any") -> None:
        """Close both ends here."""
        self._reader.close()
        self._writer.close()


class Parts:
    """What a `Queue` of parts has."""

    _of_parts = True
    _maxsize = 0
    _closed = False

    def _make_parts(self: "Any", maxsize: int, ctx: "Any") -> None:
        SimpleParts._make_parts(self, maxsize, ctx)
        ctx = ctx or context._default_context.get_context()
        self._maxsize = maxsize if maxsize > 0 else _core.Semaphore.SEM_VALUE_MAX
        self._sem = ctx.BoundedSemaphore(self._maxsize)
        self._opid = os.getpid()
        self._ignore_epipe = False
        self._reset()
        util.register_after_fork(self, type(self)._reset)

    def _reset(self: "Any", after_fork: bool = False) -> None:
        self._notempty = threading.Condition(threading.Lock())
        self._buffer: deque[Any] = deque()
        self._thread = self._jointhread = self._close = None
        self._joincancelled = self._closed = False
        self._send_bytes = self._writer.send_bytes
        self._recv_bytes = self._reader.recv_bytes
        self._poll = self._reader.poll

    def put(self: "Any", obj: "Any", block: bool = True, timeout: float | None = None) -> None:
        """Put an object; raise `queue.Full` if there is no room in time."""
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        if not self._sem.acquire(block, timeout):
            raise Full
        with self._notempty:
            if self._thread is None:
                self._start_thread()
            self._buffer.append(obj)
            self._notempty.notify()

    def get(self: "Any", block: bool = True, timeout: float | None = None) -> "Any":
        """Take the oldest object; raise `queue.Empty` if there is none in time."""
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        deadline = None if timeout is None else monotonic() + timeout
        if not self._rlock.acquire(block, timeout):
            raise Empty
        try:
            left = 0.0 if not block else deadline and max(0.0, deadline - monotonic())
            if left is not None and not self._poll(left):
                raise Empty
            pickle = self._recv_bytes()
            self._sem.release()
        finally:
            self._rlock.release()
        return ForkingPickler.loads(pickle)

    def put_nowait(self: "Any", obj: "Any") -> None:
        """Put an object if there is room."""
        self.put(obj, False)

    def get_nowait(self: "Any") -> "Any":
        """Take the oldest object if there is one."""
        return self.get(False)

    def qsize(self: "Any") -> int:
        """Return the number of objects that were put and not taken."""
        return self._maxsize - self._sem._semlock._get_value()

    def empty(self: "Any") -> bool:
        """Return whether there is nothing to get."""
        return not self._poll()

    def full(self: "Any") -> bool:
        """Return whether there is no room."""
        return self._sem._semlock._get_value() == 0

    def close(self: "Any") -> None:
        """Put nothing more from here; what was put is sent."""
        self._closed = True
        close, self._close = self._close, None
        if close is not None:
            close()

    def join_thread(self: "Any") -> None:
        """Wait until everything that was put here has been sent."""
        assert self._closed, f"Queue {self!r} not closed"
        if self._jointhread is not None:
            self._jointhread()

    def cancel_join_thread(self: "Any") -> None:
        """Let this process end without having sent everything."""
        self._joincancelled = True
        if self._jointhread is not None:
            self._jointhread.cancel()

    def _start_thread(self: "Any") -> None:
        self._thread = threading.Thread(target=_send_all, args=(self,), name="QueueFeederThread", daemon=True)
        self._thread.start()
        if not self._joincancelled:
            self._jointhread = util.Finalize(self._thread, self._thread.join, exitpriority=-5)
        arguments = (self._buffer, self._notempty)
        self._close = util.Finalize(self, self._finalize_close, arguments, exitpriority=10)

    @staticmethod
    def _finalize_join(thread: "Any") -> None:
        if thread() is not None:
            thread().join()

    @staticmethod
    def _finalize_close(buffer: "deque[Any]", notempty: threading.Condition) -> None:
        from .queues import _sentinel

        with notempty:
            buffer.append(_sentinel)
            notempty.notify()


def _send_all(queue):
    """Send what is put into a queue, until it is closed."""
    from .queues import _sentinel

    while True:
        with queue._notempty:
            queue._notempty.wait_for(queue._buffer.__len__)
            obj = queue._buffer.popleft()
        if obj is _sentinel:
            return
        try:
            pickle = ForkingPickler.dumps(obj)
            with queue._wlock:
                queue._send_bytes(pickle)
        except Exception as error:
            queue._sem.release()
            queue._on_queue_feeder_error(error, obj)
