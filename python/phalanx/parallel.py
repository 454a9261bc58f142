"""Calls run beside each other, with the interface of joblib's `Parallel`.

The work is done by `phalanx._core.CallStream`; this module has the names, the defaults and what is
printed.
"""

import copy
import functools
import itertools
import os
import sys
import time
import warnings

from . import _crews, _memory_maps, _progress
from ._core import CallOptions, CallStream, Seeds, Sharing, delayed as delayed, read_for_parallel
from ._parallel_config import (
    UNSET,
    ahead_of,
    bytes_of,
    chosen,
    cpu_count as cpu_count,
    effective_n_jobs as effective_n_jobs,
    jobs_of,
    parallel_backend as parallel_backend,
    parallel_config as parallel_config,
    resolve,
)
from ._parallel_report import Report
from .errors import InputTooLongError

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from typing_extensions import Self

__all__ = [
    "Parallel",
    "cpu_count",
    "delayed",
    "effective_n_jobs",
    "parallel_backend",
    "parallel_config",
]

_PRE_DISPATCH = "2 * n_jobs"
_ALL_AHEAD = sys.maxsize // 2


class Parallel(Report):
    """Runs calls in worker processes, or in threads, and returns their results.

    `Parallel(n_jobs=2)(delayed(f)(x) for x in xs)` is `[f(x) for x in xs]`, two calls at a time. The
    parameters are joblib's; the worker processes stay for the next call.

    - `n_jobs`: how many calls run beside each other; -1 stands for all processors, -2 for all but
      one. With 1, the default, they run here, one after the other.
    - `return_as`: `"list"`, `"generator"` (an iterator, in order) or `"generator_unordered"` (as they
      come). Generators read their input only as far as their results are taken.
    - `timeout`: seconds that a result may take once it is waited for, or `TimeoutError` is raised.
    - `pre_dispatch`: how many batches may be on their way, `"all"` or an expression of `n_jobs`.
    - `batch_size`: how many calls travel together; `"auto"` goes by what they cost.
    - `max_nbytes`, `mmap_mode`: arrays of that size and larger are stored in shared memory once for
      all calls. Workers can only read them; with `mmap_mode="c"` each can change its own.
    - `prefer="threads"`, `require="sharedmem"`: run the calls in threads of this process.
    - `verbose`: how much to print of the progress.
    - `inner_max_num_threads`: how many threads BLAS and OpenMP use in each worker.
    - `seed`: random numbers of its own for each task, the same in every run: those of `random`, of
      numpy's global generator, and of `phalanx.rng()`. Threads share the global generators: there it
      is `phalanx.rng()` alone.
    - `progress`: show how far a call is: `True`, a description, or a bar of tqdm or rich.
    - `logs`: what workers log is handled by the handlers of this process.
    - `on_worker_death`: with `"isolate"` the death of a worker fails the task that it ran; with `"break"`
      it fails the call also when the worker had nothing to do.
    - `initializer`, `initargs`: called in each worker when it starts. `idle_worker_timeout`: seconds
      after which workers leave that have nothing to do.

    The first error ends a call: it is raised here, and what runs beside it is ended with its worker.

    >>> Parallel(n_jobs=2)(delayed(pow)(n, 2) for n in range(4))
    [0, 1, 4, 9]
    """

    def __init__(
        self,
        n_jobs: "Any" = UNSET["n_jobs"],
        backend: "Any" = UNSET["backend"],
        return_as: str = "list",
        verbose: "Any" = UNSET["verbose"],
        timeout: "float | None" = None,
        pre_dispatch: "int | str" = _PRE_DISPATCH,
        batch_size: "int | str" = "auto",
        temp_folder: "Any" = UNSET["temp_folder"],
        max_nbytes: "Any" = UNSET["max_nbytes"],
        mmap_mode: "Any" = UNSET["mmap_mode"],
        prefer: "Any" = UNSET["prefer"],
        require: "Any" = UNSET["require"],
        inner_max_num_threads: "Any" = UNSET["inner_max_num_threads"],
        seed: "int | None" = None,
        progress: "Any" = False,
        logs: bool = False,
        on_worker_death: str = "isolate",
        **backend_params: "Any",
    ) -> None:
        if return_as not in ("list", "generator", "generator_unordered"):
            raise ValueError(
                'Expected `return_as` parameter to be a string equal to "list","generator" or '
                f'"generator_unordered", but got {return_as} instead.'
            )
        if batch_size != "auto" and not (isinstance(batch_size, int) and batch_size > 0):
            raise ValueError(f"batch_size must be 'auto' or a positive integer, got: {batch_size!r}")
        self._kind = resolve(backend, prefer, require)
        self.n_jobs = self._jobs_asked(n_jobs)
        jobs_of(self.n_jobs, self._kind) if self.n_jobs else None
        self.return_as = return_as
        self.return_generator = return_as != "list"
        self.return_ordered = return_as != "generator_unordered"
        self.verbose = chosen("verbose", verbose)
        self.timeout = timeout
        self.pre_dispatch = pre_dispatch
        self.batch_size: Any = batch_size
        self._max_nbytes = bytes_of(chosen("max_nbytes", max_nbytes))
        self._mmap_mode = chosen("mmap_mode", mmap_mode)
        self._inner_threads = chosen("inner_max_num_threads", inner_max_num_threads)
        self._params = _checked({**chosen("backend_params", UNSET["backend_params"]), **backend_params})
        if hasattr(backend, "get_start_method"):
            self._params["context"] = backend
        self._seeds = None if seed is None else Seeds(seed)
        self._progress = None if progress is False else progress
        self._logs = logs
        # It is checked here as an option of calls, although it is one of the workers.
        CallOptions(on_worker_death=on_worker_death)
        self._on_worker_death = on_worker_death
        self.n_tasks: int | None = None
        self._options: Any = None
        self._results: Any = None
        self._done = 0
        self._is_running = False
        self._is_managed = False
        self._crew: Any = None
        self._start_time = 0.0

    def _jobs_asked(self, n_jobs):
        asked = chosen("n_jobs", UNSET["n_jobs"] if n_jobs is None else n_jobs)
        if asked is None:
            return 1
        try:
            return int(asked)
        except ValueError:
            raise ValueError("n_jobs could not be converted to int") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_jobs={self.n_jobs})"

    def options(
        self,
        *,
        timeout: "float | None" = None,
        retries: int = 0,
        priority: int = 0,
        on_worker_death: "str | None" = None,
    ) -> "Self":
        """Return the same with options for each task, as `Pool.options` has them.

        A task that runs longer than `timeout` seconds is ended with its worker (SIGTERM, and SIGKILL a
        second later) and raises `phalanx.futures.TaskTimeoutError`. A task that fails is tried again up
        to `retries` times, unless it has cost two workers. Tasks of higher `priority` are begun first.
        `on_worker_death` is for these tasks what that of the `Parallel` is for all. Each call is a task of
        its own, in a worker process also with `n_jobs=1`.

        >>> Parallel(n_jobs=2).options(timeout=60, retries=2)(delayed(abs)(n) for n in (-1, 2))
        [1, 2]
        """
        if self._kind == "threads":
            raise NotImplementedError(
                "cannot give the calls of threads options: a thread that runs too long cannot be ended; "
                "use processes"
            )
        other = copy.copy(self)
        other._options = CallOptions(
            timeout=timeout, retries=retries, priority=priority, on_worker_death=on_worker_death
        )
        other._results = other._crew = None
        other._is_running = other._is_managed = False
        return other

    def __enter__(self) -> "Self":
        self._is_managed = True
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_managed = False
        if self._is_running and self._results is not None:
            self._results.stop()
        crew, self._crew = self._crew, None
        if crew is not None:
            self._release(crew)

    # A call

    def __call__(self, iterable: "Iterable[Any]") -> "Any":
        """Run `(function, args, kwargs)` triples, as `delayed` makes them; return their results.

        A list of all of an endless input there cannot be: `InputTooLongError` once half of the free memory has been
        taken. With `return_as="generator"` the input may be endless.
        """
        if self._is_running:
            raise RuntimeError(
                "This Parallel instance is already running !"
                + " Before submitting new tasks, you must wait for the completion of all the previous "
                "tasks, or clean all references to the output generator." * self.return_generator
            )
        self._is_running = True
        self._done = 0
        self._results = None
        try:
            self.n_tasks = len(iterable)  # type: ignore[arg-type]
        except TypeError:
            self.n_tasks = None
        self._start_time = time.monotonic()
        try:
            workers = self._effective_n_jobs()
            if workers == 1 and self._options is None:
                if self.timeout is not None:
                    warnings.warn(
                        "The backend class 'SequentialBackend' does not support timeout. You have set "
                        f"'timeout={self.timeout}' in Parallel but the 'timeout' parameter will not be "
                        "used.",
                        stacklevel=2,
                    )
                outputs = self._one_by_one(iterable)
            elif self.return_generator or self._is_watched() or self._kind == "threads":
                outputs = self._beside_each_other(iterable, workers)
            else:
                return self._all_at_once(iterable, workers)
        except BaseException:
            self._is_running = False
            raise
        if not self.return_generator:
            next(outputs)
            return self._listed(outputs)
        # Its first step begins the work, and makes sure that its last will be taken.
        next(outputs)
        return outputs

    def _listed(self, outputs):
        if self.n_tasks is not None:
            return list(outputs)
        try:
            return read_for_parallel(outputs)
        except InputTooLongError as error:
            # Not abandoned, but ended by this.
            outputs.throw(error)

    def _is_watched(self):
        return self.verbose or type(self).print_progress is not Parallel.print_progress

    def _one_by_one(self, iterable: "Iterable[Any]") -> "Iterator[Any]":
        run = self._runner_here()
        display = _progress.paced(self._display())
        try:
            yield None
            if self.batch_size != "auto" and self.batch_size > 1:
                iterable = _in_batches(iterable, self.batch_size)
            for call in iterable:
                value = run((self._done, call))
                self._done += 1
                self.print_progress()
                display(self._done, self.n_tasks, False)
                yield value
        finally:
            display(self._done, self.n_tasks, True)
            self._is_running = False
            self.print_progress()

    def _runner_here(self):
        """Return what runs a call that has a number in this thread."""
        seeds = self._seeds
        if seeds is None:
            return _call_numbered
        if self._kind == "threads":
            return seeds.in_threads()
        number = seeds.count_call()
        return lambda numbered: seeds.run(number, numbered[0], functools.partial(_call, numbered[1]))

    def _all_at_once(self, iterable, workers):
        crew = self._take(workers)
        results = None
        try:
            self._results = results = self._stream(crew, iterable, workers)
            values = results.collect(self.timeout)
            self._is_running = False
            return values
        finally:
            self._finish(crew, results)

    def _beside_each_other(self, iterable, workers):
        crew = self._take(workers)
        results = None
        display = _progress.paced(self._display() if self._kind == "threads" else None)
        try:
            self._print(f"Using {self._kind} with {workers} concurrent workers.")
            self._results = results = self._stream(crew, iterable, workers)
            yield None
            while True:
                try:
                    value = results.next(self.timeout)
                except StopIteration:
                    break
                self._done += 1
                self.print_progress()
                display(self._done, self.n_tasks, False)
                yield value
            self._is_running = False
            self.print_progress()
        except GeneratorExit:
            self._warn_of_waste()
            raise
        finally:
            display(self._done, self.n_tasks, True)
            self._finish(crew, results)
            # What the engine keeps of the end of an abandoned call may lead back to this frame.
            crew = results = None

    def _stream(self, crew, iterable, workers):
        ahead: Any = None
        if self.pre_dispatch == "all":
            iterable = list(read_for_parallel(iterable))
            ahead = _ALL_AHEAD if self._kind == "threads" else None
        elif self.pre_dispatch != _PRE_DISPATCH or self._kind == "threads":
            ahead = max(ahead_of(self.pre_dispatch, workers) or _ALL_AHEAD, 1)
        size = None if self.batch_size == "auto" else self.batch_size
        keeps_all = not self.return_generator
        if self._kind == "threads":
            window = min(ahead, _ALL_AHEAD // (size or 1)) * (size or 1)
            run, calls = _call, iterable
            if self._seeds is not None:
                run, calls = self._seeds.in_threads(), enumerate(iterable)
            return crew.core.imap(run, calls, size, self.return_ordered, window, True, keeps_all)
        sharing = None
        if self._max_nbytes is not None and self._mmap_mode is not None:
            sharing = Sharing(self._max_nbytes, self._mmap_mode == "r")
            _memory_maps.share()
        ordered, display = self.return_ordered, self._display()
        if self._options is not None:
            window = None if ahead is None else ahead * (size or 1)
            if self.pre_dispatch == "all":
                window = _ALL_AHEAD
            terms = crew.on_terms(self._options)
            return terms.calls(iterable, ordered, window, sharing, self._seeds, display)
        return CallStream(
            crew.core, iterable, size, ordered, ahead, sharing, self._seeds, display, keeps_all=keeps_all
        )

    def _effective_n_jobs(self):
        return jobs_of(self.n_jobs, self._kind)

    def _display(self):
        if self._progress is None:
            return None
        return _progress.display(self._progress, self.n_tasks)

    # Its workers

    def _take(self, workers):
        crew, self._crew = self._crew, None
        if crew is not None and crew.owner == os.getpid():
            if not crew.core.closed and crew.is_current():
                return crew
            crew.end()
        return _crews.take(self._key(workers))

    def _key(self, workers):
        if self._kind == "threads":
            return _crews.Key("threads", workers)
        params = self._params
        context = params.get("context")
        return _crews.Key(
            "processes",
            workers,
            self._inner_threads,
            None if context is None else context.get_start_method(),
            params.get("initializer"),
            tuple(params.get("initargs", ())),
            params.get("idle_worker_timeout", _crews.IDLE_SECONDS),
            self._logs,
            self._on_worker_death,
        )

    def _finish(self, crew, results):
        """Give the workers back, or end them if the call was not finished.

        They may have work left that nobody wants, or not even have become ready for any.
        """
        is_finished = not self._is_running
        self._is_running = False
        self._results = None
        if results is not None:
            results.stop()
        if not is_finished:
            crew.end()
        elif self._is_managed:
            self._crew = crew
        else:
            self._release(crew)

    @staticmethod
    def _release(crew):
        _crews.give_back(crew)


def _in_batches(iterable, size):
    """Read so many items at a time."""
    iterator = iter(iterable)
    while batch := list(itertools.islice(iterator, size)):
        yield from batch


def _call(task):
    function, args, kwargs = task
    return function(*args, **kwargs)


def _call_numbered(numbered):
    return _call(numbered[1])


def _checked(params):
    known = {"initializer", "initargs", "idle_worker_timeout", "context"}
    if wrong := params.keys() - known:
        raise TypeError(f"Parallel got an unexpected keyword argument {min(wrong)!r}")
    initializer = params.get("initializer")
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    return params
