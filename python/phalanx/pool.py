"""Pools of worker processes, with the interface of `multiprocessing.pool`.

The work is done by `phalanx._core.PoolCore`; this module has the names, the defaults and the
classes that programs subclass.
"""

import operator
import os
import warnings

from . import _progress, context as _context, process, util
from ._core import (
    ApplyResult as ApplyResult,
    CallOptions,
    IMapIterator as IMapIterator,
    IMapUnorderedIterator as IMapUnorderedIterator,
    MapResult as MapResult,
    PoolCore,
    Seeds,
    ThreadCore,
    WorkerBench,
    read_for_map,
    undisturbed,
)
from ._pool_calls import PoolCalls, check_buffersize
from ._pool_names import PoolNames, Starter
from ._pool_options import PoolOptions as PoolOptions
from ._pool_tasks import (
    ExceptionWithTraceback as ExceptionWithTraceback,
    mapstar as mapstar,
    rebuild_exc as rebuild_exc,
    starmapstar as starmapstar,
)
from .errors import (
    MaybeEncodingError as MaybeEncodingError,
    RemoteTraceback as RemoteTraceback,
    TimeoutError as TimeoutError,
    WorkerDiedError as WorkerDiedError,
)

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, TypeVar

    from typing_extensions import Self

    _S = TypeVar("_S")
    _T = TypeVar("_T")

__all__ = ["Pool", "PoolOptions", "ThreadPool"]

RUN = "RUN"
INIT = "INIT"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"

AsyncResult = ApplyResult


def _is_something(value):
    return value is not None


def worker(
    inqueue: "Any",
    outqueue: "Any" = None,
    initializer: "Callable[..., object] | None" = None,
    initargs: "Iterable[Any]" = (),
    maxtasks: int | None = None,
    wrap_exception: bool = False,
) -> None:
    """Work for a pool until it closes: the target of a worker process.

    `inqueue` and `outqueue` are what the pool has under these names while a worker is started: the
    worker's bench, and what is to become of its log records.
    """
    bench, log_levels = inqueue, outqueue and outqueue.log_levels
    if maxtasks is not None and not (isinstance(maxtasks, int) and maxtasks >= 1):
        raise AssertionError(f"Maxtasks {maxtasks!r} is not valid")
    if isinstance(bench, WorkerBench):
        process.current_process()._is_worker = True
    if log_levels is not None:
        from . import _logs

        _logs.forward(bench, log_levels)
    try:
        bench.run(initializer, tuple(initargs), maxtasks)
    except KeyboardInterrupt:
        # The parent was interrupted too, and says so; one report is enough.
        util.debug("worker interrupted")


def _run_task(task):
    """Do a task as the standard library's pool puts them into its queue."""
    _, _, function, args, kwds = task
    return function(*args, **kwds)


class Pool(PoolNames, PoolCalls):
    """A pool of worker processes that calls are sent to.

    `processes` is the number of workers (default: the processors this process may use),
    `initializer(*initargs)` is called in each when it starts, and `maxtasksperchild` replaces a
    worker after that many tasks. A worker that dies costs exactly the task it was running, which
    raises `WorkerDiedError`; it is replaced and everything else goes on.

    With a `seed` each task has random numbers of its own, the same in every run: those of `random`, of
    numpy's global generator, and of `phalanx.rng()`. With `logs=True` what workers log is handled
    by the handlers of this process. With `on_worker_death="break"` the pool does not outlive the first
    worker that dies: every call raises `WorkerDiedError` from then on.

    >>> with Pool(2) as pool:
    ...     pool.map(abs, [-1, -2])
    [1, 2]
    """

    _wrap_exception = True
    _Core: "Any" = PoolCore

    @staticmethod
    def Process(ctx: "_context.BaseContext", *args: "Any", **kwds: "Any") -> "Any":
        return ctx.Process(*args, **kwds)

    def __init__(
        self,
        processes=None,
        initializer=None,
        initargs=(),
        maxtasksperchild=None,
        context=None,
        *,
        seed=None,
        logs=False,
        on_worker_death="isolate",
    ):
        self._state = INIT
        self._ctx = context or _context._default_context.get_context()
        if processes is None:
            processes = self._ctx.cpu_count() or 1
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and not (isinstance(maxtasksperchild, int) and maxtasksperchild > 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = processes
        self._maxtasksperchild = maxtasksperchild
        self._initializer = initializer
        self._initargs = initargs
        self._callback_thread = None
        self._options_thread = None
        if self._ctx.get_start_method() == "fork":
            # Each worker would import it with its first task; they share what is there before.
            import _pickle  # noqa: F401
        self._log_levels = util._log_levels(logs)
        self._setup_queues()
        self._core = self._make_core(processes, Starter(self, worker), seed, on_worker_death)
        self._owner = os.getpid()
        self._terminate = util.Finalize(
            self, self._terminate_pool, args=self._parts_to_terminate(), exitpriority=15
        )
        self._state = RUN
        if logs:
            self._core.watch()
            self._serve_callbacks()

    def _make_core(self, processes, start, seed, on_worker_death):
        return self._Core(processes, start, None if seed is None else Seeds(seed), on_worker_death)

    def __del__(self, _warn=warnings.warn, RUN=RUN):
        if getattr(self, "_state", None) == RUN and self._owner == os.getpid():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    def __repr__(self):
        name = type(self)
        return (
            f"<{name.__module__}.{name.__qualname__} state={self._state} "
            f"pool_size={len(self._core.processes())}>"
        )

    # How they are sent

    def _apply(self, func, args, kwds, callback, error_callback):
        self._check_running()
        if callback is not None or error_callback is not None:
            self._serve_callbacks()
        if type(kwds) is not dict:
            kwds = dict(kwds)
        return self._core.apply(func, args, kwds, callback, error_callback)

    def _map(self, func, iterable, star, chunksize, callback, error_callback):
        items = self._items(iterable, chunksize)
        if items is iterable:
            # A copy: the caller may change its list while the call goes on.
            items = list(items)
        if callback is not None or error_callback is not None:
            self._serve_callbacks()
        return self._core.map(func, items, star, chunksize, callback, error_callback)

    def _map_and_wait(self, func, iterable, star, chunksize, progress=False):
        items = self._items(iterable, chunksize)
        if progress is False or progress is None:
            return self._core.map_and_wait(func, items, star, chunksize)
        display = _progress.display(progress, len(items))
        return self._core.map_and_wait(func, items, star, chunksize, display)

    def _items(self, iterable, chunksize):
        self._check_running()
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        return read_for_map(iterable)

    def _imap(self, func, iterable, chunksize, ordered, buffersize, progress=False):
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        check_buffersize(buffersize)
        if progress is False or progress is None:
            return self._core.imap(func, iterable, chunksize, ordered, buffersize)
        display = _progress.display(progress, _progress.length_of(iterable))
        return self._core.imap(func, iterable, chunksize, ordered, buffersize, progress=display)

    # Searches: the first result that decides ends them

    def any(
        self, func: "Callable[[_S], object]", iterable: "Iterable[_S]", chunksize: int | None = None
    ) -> bool:
        """Return whether `func(item)` is true for any item.

        As soon as one is, what has not begun is not run any more, and tasks that run can see it by
        `phalanx.cancelled()`. The input may be endless. The first exception to arrive before that is
        raised.
        """
        return self._search(func, iterable, operator.truth, chunksize) is not None

    def all(
        self, func: "Callable[[_S], object]", iterable: "Iterable[_S]", chunksize: int | None = None
    ) -> bool:
        """Return whether `func(item)` is true for all items; ends with the first that it is false for.

        For the end see `any`.
        """
        return self._search(func, iterable, operator.not_, chunksize) is None

    def first(
        self,
        func: "Callable[[_S], _T]",
        iterable: "Iterable[_S]",
        predicate: "Callable[[_T], object] | None" = None,
        default: "Any" = None,
        chunksize: int | None = None,
    ) -> "_T | Any":
        """Return the first result to arrive for which `predicate(result)` is true.

        Without a predicate that is the first which is not `None`. If there is none, `default` is
        returned. `predicate` is called in this process. For the end see `any`.
        """
        if predicate is None:
            predicate = _is_something
        found = self._search(func, iterable, predicate, chunksize)
        return default if found is None else found[0]

    def _search(self, func, iterable, test, chunksize):
        self._check_running()
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        return self._core.search(func, iterable, test, chunksize)

    # Calls on terms of their own

    def options(
        self,
        *,
        timeout: "float | None" = None,
        retries: int = 0,
        priority: int = 0,
        on_worker_death: "str | None" = None,
    ) -> "PoolOptions":
        """Return this pool with options for each call: an object with its methods for calls.

        A task that runs longer than `timeout` seconds is ended with its worker (SIGTERM, and SIGKILL a
        second later) and raises `phalanx.futures.TaskTimeoutError`. A task that fails is tried again up
        to `retries` times, unless it has cost two workers. Tasks of higher `priority` are begun before
        others with options that wait. `on_worker_death` is for these tasks what that of the pool is for
        all. Each item of an iterable is a task of its own.

        What `apply_async` and `map_async` return has a method `cancel` here, which with `running=True`
        also ends tasks that run.

        >>> with Pool(2) as pool:
        ...     pool.options(timeout=60, retries=2).map(abs, [-1, -2])
        [1, 2]
        """
        self._check_running()
        options = CallOptions(
            timeout=timeout, retries=retries, priority=priority, on_worker_death=on_worker_death
        )
        return PoolOptions(self, options)

    def _on_terms(self, options):
        terms, service = self._core.on_terms(options)
        if service is not None:
            import threading

            thread = threading.Thread(target=service.run, name="phalanx-pool-options", daemon=True)
            self._options_thread = thread
            thread.start()
        return terms

    # The end

    def close(self) -> None:
        """No more calls; the workers leave when everything sent is done."""
        if self._state == RUN:
            self._state = CLOSE
            self._core.close()

    def terminate(self) -> None:
        """End the workers at once. Results not yet there never will be: `get` raises."""
        self._state = TERMINATE
        self._terminate()

    def join(self) -> None:
        """Wait for the workers to leave; `close` or `terminate` has to come first."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        self._core.join()
        for thread in (self._callback_thread, self._options_thread):
            if thread is not None:
                thread.join()

    def __enter__(self) -> "Self":
        self._check_running()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: "TracebackType | None",
    ) -> None:
        self.terminate()

    def __reduce__(self):
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self):
        if self._state != RUN:
            raise ValueError("Pool not running")

    def _serve_callbacks(self):
        if self._callback_thread is None:
            undisturbed(self._start_callback_thread)

    def _start_callback_thread(self):
        import threading

        self._callback_thread = threading.Thread(
            target=self._core.serve_callbacks, name="phalanx-pool-callbacks", daemon=True
        )
        self._callback_thread.start()


class ThreadPool(Pool):
    """A pool of threads with the interface of `Pool`.

    Tasks and results are handed over as they are: nothing is pickled, and the tasks share this process's
    memory. `terminate` does not interrupt tasks that run; it drops those that have not begun.

    >>> with mp.pool.ThreadPool(2) as pool:
    ...     pool.map(lambda x: -x, [1, 2])
    [-1, -2]
    """

    _wrap_exception = False
    _Core = ThreadCore

    @staticmethod
    def Process(ctx: "_context.BaseContext", *args: "Any", **kwds: "Any") -> "Any":
        from .dummy import Process

        return Process(*args, **kwds)

    def __init__(
        self,
        processes: int | None = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
    ) -> None:
        super().__init__(processes, initializer, initargs)

    def _make_core(self, processes, start, seed, on_worker_death):
        return self._Core(processes, start)

    def options(self, **_: "Any") -> "PoolOptions":
        """Not for threads: a thread cannot be ended."""
        raise NotImplementedError(
            "cannot give the calls of a ThreadPool options: a thread that runs too long cannot be ended; "
            "use a Pool of processes"
        )

    def _serve_callbacks(self):
        pass  # The thread that ends a call calls them.
