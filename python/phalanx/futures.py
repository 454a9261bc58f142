"""Executors of worker processes, with the interface of `concurrent.futures`.

The work is done by `phalanx._core.ExecutorCore`; this module has the names, the defaults and the classes
that programs subclass or catch. Everything else of `concurrent.futures` is here too, so that
`from phalanx import futures` can stand for `from concurrent import futures`.
"""

import itertools
import sys
import threading
import weakref
from concurrent.futures import (
    ALL_COMPLETED as ALL_COMPLETED,
    FIRST_COMPLETED as FIRST_COMPLETED,
    FIRST_EXCEPTION as FIRST_EXCEPTION,
    BrokenExecutor as BrokenExecutor,
    CancelledError as CancelledError,
    Executor as Executor,
    Future as _Future,
    InvalidStateError as InvalidStateError,
    ThreadPoolExecutor as ThreadPoolExecutor,
    TimeoutError as TimeoutError,
    as_completed as as_completed,
    wait as wait,
)
from concurrent.futures.process import BrokenProcessPool as BrokenProcessPool

from . import _progress, _weak, util
from ._core import CallOptions, ExecutorCore, FutureBase, Seeds, read_ahead, undisturbed
from ._executor_options import ExecutorOptions
from ._executor_workers import Starter, own_context
from ._pool_calls import check_buffersize
from .errors import TimeoutError as _PoolTimeoutError, WorkerDiedError

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeVar

    from ._core import ExecutorService

    if sys.version_info >= (3, 14):
        from concurrent.futures import InterpreterPoolExecutor as InterpreterPoolExecutor

    _T = TypeVar("_T")

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "BrokenProcessPool",
    "CancelledError",
    "Executor",
    "Future",
    "InvalidStateError",
    "ProcessPoolExecutor",
    "TaskTimeoutError",
    "TaskWorkerDiedError",
    "ThreadPoolExecutor",
    "TimeoutError",
    "as_completed",
    "get_reusable_executor",
    "wait",
]


class TaskWorkerDiedError(WorkerDiedError, BrokenProcessPool):
    """The worker process that ran a call of an executor ended; no other call is affected.

    It is a `BrokenProcessPool` for programs that catch that, although the executor goes on.
    """


class TaskTimeoutError(TimeoutError, _PoolTimeoutError):
    """A call of an executor or a pool ran longer than it was allowed to, and was ended with its worker.

    It is the `TimeoutError` of `concurrent.futures` and that of `multiprocessing`.
    """


def _broken(cause: BaseException) -> BaseException:
    if isinstance(cause, BrokenProcessPool) and not isinstance(cause, WorkerDiedError):
        return cause
    error = BrokenProcessPool(
        "A process in the process pool was terminated abruptly while the future was running or "
        f"pending: {cause}"
    )
    error.__cause__ = cause
    return error


def _timed_out(name: str, seconds: float) -> TaskTimeoutError:
    return TaskTimeoutError(f"{name} ran longer than its time limit of {seconds:g} s, and was ended")


class Future(FutureBase, _Future["_T"]):
    """A `concurrent.futures.Future` whose call can also be cancelled while it runs.

    >>> with ProcessPoolExecutor(2) as executor:
    ...     future = executor.submit(pow, 2, 10)
    ...     isinstance(future, concurrent.futures.Future), future.result()
    (True, 1024)
    """

    # The state is the base's: what the standard library's `__init__` makes is not there.
    __init__ = object.__init__


#: Whether results of `Executor.map` can be fetched after one that is an error: as in the running Python.
_MAP_GOES_ON = sys.version_info >= (3, 16)


if not TYPE_CHECKING:

    def __getattr__(name):
        if name == "InterpreterPoolExecutor":
            # It is made of interpreters in this process, which Python has since 3.14.
            from concurrent import futures

            return getattr(futures, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


#: So many calls of a map are read at once, if there is memory for them. A longer input may be endless.
_MOST_AT_ONCE = 1_000_000


def _read(calls):
    """Read the input of a map, if it ends; otherwise what is read and what is left."""
    if hasattr(calls, "__len__"):
        return list(calls)
    calls = iter(calls)
    ahead, is_all = read_ahead(calls, _MOST_AT_ONCE)
    return ahead if is_all else itertools.chain(ahead, calls)


def _check_map(chunksize, buffersize):
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    check_buffersize(buffersize)


class ProcessPoolExecutor(Executor):
    """An executor whose calls are run by worker processes.

    The parameters are those of `concurrent.futures.ProcessPoolExecutor`. `on_worker_death` says what
    the death of a worker means: `"isolate"`, that the call it was running raises
    `TaskWorkerDiedError` while everything else goes on; `"break"`, as in the standard library, that
    every call raises `BrokenProcessPool` from then on.

    With a `seed` each call has random numbers of its own, the same in every run: those of `random`, of
    numpy's global generator, and of `phalanx.rng()`. With `logs=True` what workers log is handled
    by the handlers of this process.

    >>> with ProcessPoolExecutor(2) as executor:
    ...     future = executor.submit(pow, 2, 10)
    ...     future.result(), list(executor.map(abs, [-1, -2]))
    (1024, [1, 2])
    """

    def __init__(
        self,
        max_workers: "int | None" = None,
        mp_context: "Any" = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "tuple[Any, ...]" = (),
        *,
        max_tasks_per_child: "int | None" = None,
        on_worker_death: str = "isolate",
        seed: "int | None" = None,
        logs: bool = False,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._mp_context = own_context(mp_context, max_tasks_per_child)
        method = self._mp_context.get_start_method(allow_none=False)
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
            if method == "fork":
                raise ValueError(
                    "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; "
                    "supply a different mp_context."
                )
        self._max_workers = max_workers or self._mp_context.cpu_count() or 1
        self._initializer = initializer
        self._initargs = initargs
        self._log_levels = util._log_levels(logs)
        self._seeds = None if seed is None else Seeds(seed)
        self._core = self._make_core(max_tasks_per_child, on_worker_death)
        self._service = self._core.service()
        self._executor_manager_thread: threading.Thread | None = None
        self._is_shut_down = False

    def _make_core(self, max_tasks, on_worker_death):
        starter = Starter(self._mp_context, self._initializer, self._initargs, max_tasks, self._log_levels)
        return ExecutorCore(self._max_workers, starter, True, on_worker_death, self._seeds)

    # Calls

    def submit(self, fn: "Callable[..., _T]", /, *args: "Any", **kwargs: "Any") -> "Future[_T]":
        """Let a worker call `fn(*args, **kwargs)`; returns a future at once."""
        return self._submit(fn, args, kwargs)

    def _submit(self, fn, args, kwargs, options=None):
        if _is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        try:
            return self._core.submit(fn, args, kwargs, options)
        finally:
            if self._executor_manager_thread is None:
                undisturbed(self._serve)

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

        All input is read at once, and all calls are run, whether anybody fetches results or not. Of an input
        without a length, which may be endless, up to a million calls are read, or what fits into an eighth of
        the free memory; the rest follows as they are done, while there are no more than a million results,
        and memory for them, that nobody has fetched. `buffersize` says how many calls may be ahead of
        the results that have been fetched. Calls travel in chunks of
        `chunksize`; with 1, of as many as suit what they cost. `progress` shows how far it is while results
        are fetched: `True`, a description, or a bar of tqdm or rich.
        """
        return self._map(fn, iterables, timeout, chunksize, buffersize, progress)

    def _map(self, fn, iterables, timeout, chunksize, buffersize, progress, options=None):
        _check_map(chunksize, buffersize)
        if _is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        star = len(iterables) != 1 or options is not None
        calls: Iterable[Any] = zip(*iterables, strict=False) if star else iterables[0]
        if buffersize is None:
            calls = _read(calls)
        display = _progress.display(progress, _progress.length_of(calls))
        try:
            if options is not None:
                return self._core.map_on_terms(fn, calls, options, buffersize, timeout, display)
            return self._core.map(fn, calls, star, chunksize, buffersize, timeout, display, _MAP_GOES_ON)
        finally:
            if self._executor_manager_thread is None:
                undisturbed(self._serve)

    def options(
        self,
        *,
        timeout: "float | None" = None,
        retries: int = 0,
        priority: int = 0,
        on_worker_death: "str | None" = None,
    ) -> "ExecutorOptions":
        """Return an executor that submits to this one with options for each call.

        A call that runs longer than `timeout` seconds is ended with its worker (SIGTERM, and SIGKILL a
        second later), and raises `TaskTimeoutError`. A call that fails is tried again up to `retries`
        times, unless it has cost two workers. Calls of higher `priority` are begun before others that
        wait. `on_worker_death` is for these calls what that of the executor is for all.

        >>> with ProcessPoolExecutor(2) as executor:
        ...     executor.options(timeout=60, retries=2).submit(pow, 2, 10).result()
        1024
        """
        options = CallOptions(
            timeout=timeout, retries=retries, priority=priority, on_worker_death=on_worker_death
        )
        return ExecutorOptions(self, options)

    def _serve(self):
        """Start the thread that looks after the workers, if there are any."""
        if not self._core.claim_thread():
            return
        thread = threading.Thread(target=self._service.run, name="phalanx-executor", daemon=False)
        self._executor_manager_thread = thread
        _services[thread] = self._service
        try:
            thread.start()
        except BaseException:
            self._executor_manager_thread = None
            del _services[thread]
            # Nobody would look after the workers: they end now, and this thread sees to it.
            self._core.end_workers("kill")
            self._service.run()
            raise

    # The end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; what was submitted is done, or cancelled if it has not begun.

        With `wait` it returns when everything is done and the workers have left.
        """
        self._is_shut_down = True
        if self._executor_manager_thread is None:
            # Ctrl-C may have come between the first worker and the thread that looks after it.
            undisturbed(self._serve)
        self._core.close(cancel_futures)
        thread = self._executor_manager_thread
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def terminate_workers(self) -> None:
        """End the workers at once (SIGTERM). Calls in progress raise `BrokenProcessPool`."""
        self._is_shut_down = True
        self._core.end_workers("terminate")

    def kill_workers(self) -> None:
        """End the workers at once (SIGKILL). Calls in progress raise `BrokenProcessPool`."""
        self._is_shut_down = True
        self._core.end_workers("kill")

    def __reduce__(self):
        raise TypeError("executors cannot be passed between processes or pickled")

    # What programs that extend or watch executors look for inside of them.

    @property
    def _processes(self):
        if self._is_shut_down and self._core.is_over:
            return None
        return {process.pid: process for process in self._core.processes()}

    @property
    def _broken(self):
        error = self._core.broken
        return False if error is None else str(error)

    @property
    def _shutdown_thread(self):
        return self._is_shut_down

    class _call_queue:
        """Stands for the standard library's queue of calls: there is none that could be waited for."""

        @staticmethod
        def close():
            pass

        @staticmethod
        def join_thread():
            pass


# The end of the program: what was submitted is done, as in the standard library.

_is_exiting = False
_services: "weakref.WeakKeyDictionary[threading.Thread, ExecutorService]" = _weak.undisturbed(
    weakref.WeakKeyDictionary()
)


def _finish():
    global _is_exiting
    _is_exiting = True
    services = list(_services.items())
    for _, service in services:
        service.close()
    for thread, _ in services:
        thread.join()


threading._register_atexit(_finish)  # type: ignore[attr-defined]

from ._reusable import get_reusable_executor as get_reusable_executor  # noqa: E402 - its class derives from ours
