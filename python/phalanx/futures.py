"""Executors of worker processes, with the interface of `concurrent.futures`.

The work is done by `phalanx._core.ExecutorCore`; this module has the names, the defaults and the classes
that programs subclass or catch. Everything else of `concurrent.futures` is here too, so that
`from phalanx import futures` can stand for `from concurrent import futures`.
"""

import gc
import os
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
from concurrent.futures._base import LOGGER
from concurrent.futures.process import BrokenProcessPool as BrokenProcessPool

from . import _output, _progress, context as _context, util
from ._core import ExecutorCore, FutureBase, Seeds
from .errors import TimeoutError as _PoolTimeoutError, WorkerDiedError

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, TypeVar

    from ._core import ExecutorService

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


def _check_map(chunksize, buffersize):
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


class _Options(Executor):
    """An executor's `submit` and `map` with options for each call."""

    def __init__(self, executor, options):
        self._executor = executor
        self._options = options

    def submit(self, fn, /, *args, **kwargs):
        return self._executor._submit(fn, args, kwargs, *self._options)

    def map(self, fn, *iterables, timeout=None, chunksize=1, buffersize=None):
        """Call `fn` with an item of each iterable at a time; an iterator of the results, in order.

        Each call is a task of its own, whatever `chunksize` says; `timeout` is for all results together.
        """
        _check_map(chunksize, buffersize)
        calls: Iterable[Any] = zip(*iterables, strict=False)
        if buffersize is None:
            calls = list(calls)
        return self._executor._map_on_terms(fn, calls, buffersize, timeout, self._options)

    def options(self, **changes):
        timeout, retries, priority = self._options
        known = {"timeout": timeout, "retries": retries, "priority": priority}
        return self._executor.options(**{**known, **changes})

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


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
        if on_worker_death not in ("isolate", "break"):
            raise ValueError(f"on_worker_death must be 'isolate' or 'break', not {on_worker_death!r}")
        self._mp_context = _own_context(mp_context, max_tasks_per_child)
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
        self._log_levels = _log_levels() if logs else None
        self._seeds = None if seed is None else Seeds(seed)
        self._core = self._make_core(max_tasks_per_child, method != "fork", on_worker_death == "break")
        self._service = self._core.service()
        self._executor_manager_thread: threading.Thread | None = None
        self._is_shut_down = False

    def _make_core(self, max_tasks, on_demand, breaks):
        starter = _Starter(self._mp_context, self._initializer, self._initargs, max_tasks, self._log_levels)
        return ExecutorCore(self._max_workers, starter, on_demand, breaks, self._seeds)

    # Calls

    def submit(self, fn: "Callable[..., _T]", /, *args: "Any", **kwargs: "Any") -> "Future[_T]":
        """Let a worker call `fn(*args, **kwargs)`; returns a future at once."""
        if _is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        try:
            return self._core.submit(fn, args, kwargs)
        finally:
            if self._executor_manager_thread is None:
                self._serve()

    def _submit(self, fn, args, kwargs, timeout, retries, priority):
        if _is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        try:
            return self._core.submit(fn, args, kwargs, timeout, retries, priority)
        finally:
            if self._executor_manager_thread is None:
                self._serve()

    def options(self, *, timeout: "float | None" = None, retries: int = 0, priority: int = 0) -> "_Options":
        """Return an executor that submits to this one with options for each call.

        A call that runs longer than `timeout` seconds is ended with its worker, and raises
        `TaskTimeoutError`. A call that fails is tried again up to `retries` times, unless it has
        cost two workers. Calls of higher `priority` are begun before others that wait.

        >>> with ProcessPoolExecutor(2) as executor:
        ...     executor.options(timeout=60, retries=2).submit(pow, 2, 10).result()
        1024
        """
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be positive, not {timeout!r}")
        if retries < 0:
            raise ValueError(f"retries must not be negative, not {retries!r}")
        return _Options(self, (timeout, retries, priority))

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

        All input is read at once, unless `buffersize` says how many calls may be ahead of the results
        that have been fetched. Calls travel in chunks of `chunksize`; with 1, of as many as suit what
        they cost. `progress` shows how far it is while results are fetched: `True`, a description, or
        a bar of tqdm or rich.
        """
        _check_map(chunksize, buffersize)
        if _is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        star = len(iterables) != 1
        calls: Iterable[Any] = zip(*iterables, strict=False) if star else iterables[0]
        if buffersize is None:
            calls = list(calls)
        display = None
        if progress is not False and progress is not None:
            display = _progress.display(progress, _progress.length_of(calls))
        try:
            return self._core.map(fn, calls, star, chunksize, buffersize, timeout, display)
        finally:
            if self._executor_manager_thread is None:
                self._serve()

    def _map_on_terms(self, fn, calls, buffersize, timeout, options):
        if _is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        try:
            return self._core.map_on_terms(fn, calls, buffersize, timeout, *options)
        finally:
            if self._executor_manager_thread is None:
                self._serve()

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


def _own_context(context, max_tasks):
    """Return phalanx's context for one of any library, or for none."""
    if isinstance(context, _context.BaseContext):
        return context
    if context is not None:
        return _context._default_context.get_context(context.get_start_method(allow_none=False))
    return _context._default_context.get_context("spawn" if max_tasks is not None else None)


def _log_levels():
    from . import _logs

    return _logs.levels()


class _Starter:
    """Starts worker processes for an executor, without keeping the executor alive."""

    def __init__(
        self, context, initializer, initargs, max_tasks, log_levels=None, idle=None, environment=None
    ):
        self.context = context
        if initializer is not None:
            initializer = _Initializer(initializer)
        self.args = (initializer, initargs, max_tasks, log_levels, idle, environment)
        self.environment = environment

    def __call__(self, bench):
        process = self.context.Process(target=_worker, args=(bench, *self.args))
        process._is_worker = True
        if self.environment:
            process._environment = self.environment
        process.start()
        return process


class _Initializer:
    """Calls an initializer, and logs what it raises as the standard library does."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        try:
            self.function(*args)
        except BaseException:
            LOGGER.critical("Exception in initializer:", exc_info=True)
            raise


def _worker(bench, initializer, initargs, max_tasks, log_levels=None, idle=None, environment=None):
    """Work at a bench of an executor's until it closes: the target of a worker process."""
    if environment:
        os.environ.update(environment)
    # What a forked worker inherited is not looked at by its collector, hence not copied for it.
    gc.freeze()
    _output.share(bench)
    if log_levels is not None:
        from . import _logs

        _logs.forward(bench, log_levels)
    try:
        bench.run(initializer, tuple(initargs), max_tasks, idle)
    except KeyboardInterrupt:
        # The parent was interrupted too, and says so; one report is enough.
        util.debug("worker interrupted")
    except BaseException:
        if initializer is None:
            raise
        os._exit(1)  # It has been logged.


# One executor for a whole process.


class _ReusableExecutor(ProcessPoolExecutor):
    """An executor whose workers come with the work and leave after a while without."""

    # How many workers it can be resized to; each more costs some bytes and a look now and then.
    _LEAST_SEATS = 16

    def __init__(self, max_workers, terms):
        context, self._idle, initializer, initargs, self._environment = self._terms = terms
        super().__init__(max_workers, context, initializer, initargs)

    def _make_core(self, max_tasks, on_demand, breaks):
        self._seats = max(self._LEAST_SEATS, 2 * self._max_workers)
        starter = _Starter(
            self._mp_context,
            self._initializer,
            self._initargs,
            max_tasks,
            self._log_levels,
            self._idle,
            self._environment,
        )
        return ExecutorCore(self._seats, starter, on_demand, breaks, self._seeds, self._max_workers)

    def _suits(self, max_workers, terms, reuse):
        """Whether it can go on for somebody who wants this."""
        if reuse is False or self._is_shut_down or self._core.broken is not None:
            return False
        return max_workers <= self._seats and (reuse is True or _equal(terms, self._terms))

    def _resize(self, max_workers):
        if max_workers != self._max_workers:
            self._core.resize(max_workers)
            self._max_workers = max_workers


def _equal(terms, others):
    try:
        return bool(terms == others)
    except Exception:  # Arrays among the arguments of initializers do not say whether they are equal.
        return False


_reusable: "_ReusableExecutor | None" = None
_reusable_lock = threading.Lock()


def get_reusable_executor(
    max_workers: "int | None" = None,
    *,
    context: "Any" = None,
    timeout: "float | None" = 10,
    kill_workers: bool = False,
    reuse: "bool | str" = "auto",
    initializer: "Callable[..., object] | None" = None,
    initargs: "tuple[Any, ...]" = (),
    env: "Mapping[str, str] | None" = None,
) -> ProcessPoolExecutor:
    """Return the executor that this process shares, making it when there is none.

    Its workers leave after `timeout` seconds without work (`None`: never), and come back with work; a
    call with another `max_workers` resizes it, and no task is lost by that. It is made anew when it has
    been shut down or is broken, when `context`, `timeout`, `initializer`, `initargs` or `env` differ
    (with `reuse=True` they are left as they were), and with `reuse=False`. The one before is shut down
    then: this call waits until what it was given is done, or ends its workers with `kill_workers=True`.
    `env` is added to the environment of the workers, where they are started afresh before they import
    anything.

    >>> executor = get_reusable_executor(2)
    >>> list(executor.map(abs, [-1, -2]))
    [1, 2]
    >>> get_reusable_executor(2) is executor
    True
    """
    global _reusable
    if reuse not in (True, False, "auto"):
        raise ValueError(f"reuse must be True, False or 'auto', not {reuse!r}")
    if max_workers is not None and max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be positive or None, not {timeout!r}")
    context = _own_context(context, None)
    terms = (context, timeout, initializer, initargs, None if env is None else dict(env))
    with _reusable_lock:
        before = _reusable
        if max_workers is None:
            keeps = before if reuse is True else None
            max_workers = keeps._max_workers if keeps is not None else context.cpu_count() or 1
        if before is not None and before._suits(max_workers, terms, reuse):
            before._resize(max_workers)
            return before
        executor = _reusable = _ReusableExecutor(max_workers, terms)
    if before is not None:
        if kill_workers and not before._is_shut_down:
            before.kill_workers()
        before.shutdown()
    return executor


def _forget_reusable():
    global _reusable, _reusable_lock
    _reusable, _reusable_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_reusable)

# The end of the program: what was submitted is done, as in the standard library.

_is_exiting = False
_services: "weakref.WeakKeyDictionary[threading.Thread, ExecutorService]" = weakref.WeakKeyDictionary()


def _finish():
    global _is_exiting
    _is_exiting = True
    services = list(_services.items())
    for _, service in services:
        service.close()
    for thread, _ in services:
        thread.join()


threading._register_atexit(_finish)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_services.clear)
