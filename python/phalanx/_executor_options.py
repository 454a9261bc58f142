"""An executor whose calls have options."""

from concurrent.futures import Executor

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeVar

    from ._core import CallOptions
    from .futures import Future, ProcessPoolExecutor

    _T = TypeVar("_T")


class ExecutorOptions(Executor):
    """An executor that submits to another with options: see `ProcessPoolExecutor.options`."""

    def __init__(self, executor: "ProcessPoolExecutor", options: "CallOptions") -> None:
        self._executor = executor
        self._options = options

    def __repr__(self):
        return f"<{type(self).__name__} of {self._executor!r}: {self._options!r}>"

    def submit(self, fn: "Callable[..., _T]", /, *args: "Any", **kwargs: "Any") -> "Future[_T]":
        """Let a worker call `fn(*args, **kwargs)`; returns a future at once."""
        return self._executor._submit(fn, args, kwargs, self._options)

    def map(
        self,
        fn: "Callable[..., _T]",
        *iterables: "Iterable[Any]",
        timeout: "float | None" = None,
        chunksize: int = 1,
        buffersize: "int | None" = None,
        progress: "Any" = False,
    ) -> "Iterator[_T]":
        """Call `fn` with an item of each iterable at a time; an iterator of the results, in order.

        Each call is a task of its own, whatever `chunksize` says; `timeout` is for all results together.
        """
        return self._executor._map(fn, iterables, timeout, chunksize, buffersize, progress, self._options)

    def options(self, **changes: "Any") -> "ExecutorOptions":
        """Return the executor with these options and, where they do not say, those that it has."""
        return ExecutorOptions(self._executor, self._options.replace(**changes))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the executor down that it submits to."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)
