"""One executor for a whole process."""

import os
import threading

from ._core import ExecutorCore
from ._executor_workers import Starter, own_context
from .futures import ProcessPoolExecutor

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class _ReusableExecutor(ProcessPoolExecutor):
    """An executor whose workers come with the work and leave after a while without."""

    # How many workers it can be resized to; each more costs some bytes and a look now and then.
    _LEAST_SEATS = 16

    def __init__(self, max_workers, terms):
        context, self._idle, initializer, initargs, self._environment = self._terms = terms
        super().__init__(max_workers, context, initializer, initargs)

    def _make_core(self, max_tasks, on_worker_death):
        # Made to be used again: all that are wanted at once, where that is cheap.
        on_demand = self._mp_context.get_start_method(allow_none=False) != "fork"
        self._seats = max(self._LEAST_SEATS, 2 * self._max_workers)
        starter = Starter(
            self._mp_context,
            self._initializer,
            self._initargs,
            max_tasks,
            self._log_levels,
            self._idle,
            self._environment,
        )
        return ExecutorCore(self._seats, starter, on_demand, on_worker_death, self._seeds, self._max_workers)

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


class _Shared:
    """The executor that a process shares."""

    def __init__(self):
        self.executor = None
        self.lock = threading.Lock()


# A forked child has what its parent had, and never looks at it.
_shared_by_pid: "dict[int, _Shared]" = {}


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
    if reuse not in (True, False, "auto"):
        raise ValueError(f"reuse must be True, False or 'auto', not {reuse!r}")
    if max_workers is not None and max_workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be positive or None, not {timeout!r}")
    context = own_context(context, None)
    terms = (context, timeout, initializer, initargs, None if env is None else dict(env))
    mine = _shared_by_pid.setdefault(os.getpid(), _Shared())
    with mine.lock:
        before = mine.executor
        if max_workers is None:
            keeps = before if reuse is True else None
            max_workers = keeps._max_workers if keeps is not None else context.cpu_count() or 1
        if before is not None and before._suits(max_workers, terms, reuse):
            before._resize(max_workers)
            return before
        executor = mine.executor = _ReusableExecutor(max_workers, terms)
    if before is not None:
        if kill_workers and not before._is_shut_down:
            before.kill_workers()
        before.shutdown()
    return executor
