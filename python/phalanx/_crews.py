"""Workers that stay from one call of `Parallel` to the next.

A call takes a crew that fits and gives it back; no crew serves two calls at a time. What a call leaves
behind unfinished ends with its crew. A crew that nobody has taken for some time ends too.
"""

import os
import sys
import threading
import time
import types

from . import context as _context, util
from ._core import PoolCore, _adopt_whole_main, undisturbed
from ._inner_threads import environment, exported, forking_is_safe, limit
from .process import start_worker

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._core import CallOptions

#: Seconds after which workers leave that have nothing to do.
IDLE_SECONDS = 300.0

#: How deep calls of `Parallel` that ask for processes can be within one another.
MOST_LEVELS = 10

#: How deep in calls of `Parallel` this process's tasks are, and each thread's that runs tasks.
level = threading.local()
_process_level = 0


def nesting_level() -> int:
    """Return how many calls of `Parallel` the running task is within."""
    return getattr(level, "value", _process_level)


class Crew:
    """Worker processes for the calls of one thread at a time."""

    def __init__(self, key: "Key") -> None:
        if key.level >= MOST_LEVELS:
            raise RecursionError(
                f"cannot start workers for a call of Parallel within {key.level} others: each would start more"
            )
        self.key = key
        self.definitions = _definitions()
        self.returned = 0.0
        self.owner = os.getpid()
        #: Threads that work for the crew, and end with it.
        self.threads: dict[str, threading.Thread] = {}
        variables = key.variables
        context = _context._default_context.get_context(key.method)
        if context.get_start_method() == "fork" and not forking_is_safe(variables):
            if key.inner_threads is None:
                variables = environment(key.workers, 1)
            else:
                context = context.get_context("forkserver")
        if context.get_start_method() == "fork":
            # Each worker would import it with its first task; they share what is there before.
            import _pickle  # noqa: F401
        args = (nesting_level() + 1, variables, key.initializer, key.initargs, key.log_levels)
        starter = _Starter(context, args)
        with exported(variables):
            self.core = PoolCore(key.workers, starter, None, key.on_worker_death)
        self.end = util.Finalize(
            self, _terminate, args=(self.core, self.owner, self.threads), exitpriority=15
        )

    def serve_callbacks(self) -> None:
        """Have a thread that calls the callbacks of calls as they end."""
        if "callbacks" not in self.threads:
            undisturbed(self._begin, "callbacks", self.core.serve_callbacks)

    def on_terms(self, options: "CallOptions") -> "Any":
        """Return what sends calls with these options."""
        return undisturbed(self._on_terms, options)

    def _on_terms(self, options):
        terms, service = self.core.on_terms(options)
        if service is not None:
            self._begin("options", service.run)
        return terms

    def _begin(self, what, body):
        thread = threading.Thread(target=body, name=f"phalanx-parallel-{what}", daemon=True)
        self.threads[what] = thread
        thread.start()

    def is_current(self) -> bool:
        """Return whether its workers know all that the program has defined by now."""
        return self.definitions == _definitions()


class ThreadCrew:
    """Threads for the calls of one thread at a time."""

    definitions: "Any" = None

    def __init__(self, key: "Key") -> None:
        from .pool import ThreadPool

        self.key = key
        self.returned = 0.0
        self.owner = os.getpid()
        self.pool = ThreadPool(key.workers, _enter, (key.level + 1,))
        self.core = self.pool._core
        self.end = self.pool.terminate

    def is_current(self) -> bool:
        """Return true: threads have what the program has."""
        return True


class Key:
    """What a crew must be like to serve a call."""

    __slots__ = (
        "idle",
        "initargs",
        "initializer",
        "inner_threads",
        "kind",
        "level",
        "log_levels",
        "method",
        "on_worker_death",
        "variables",
        "workers",
    )

    def __init__(
        self,
        kind: str,
        workers: int,
        inner_threads: "int | None" = None,
        method: "str | None" = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "tuple[Any, ...]" = (),
        idle: float = IDLE_SECONDS,
        logs: bool = False,
        on_worker_death: str = "isolate",
    ) -> None:
        self.kind = kind
        self.workers = workers
        self.inner_threads = inner_threads
        self.method = method
        self.initializer = initializer
        self.initargs = initargs
        self.idle = idle
        self.log_levels = util._log_levels(logs)
        self.on_worker_death = on_worker_death
        self.level = nesting_level()
        self.variables = environment(workers, inner_threads) if kind == "processes" else {}

    def fits(self, other: "Key") -> bool:
        """Return whether a crew with this key can be taken for the other."""
        return (
            self.kind == other.kind
            and self.workers == other.workers
            and self.variables == other.variables
            and self.method == other.method
            and self.initializer is other.initializer
            and self.initargs == other.initargs
            and self.level == other.level
            and self.log_levels == other.log_levels
            and self.on_worker_death == other.on_worker_death
        )


_lock = threading.Lock()
_idle: "list[Crew | ThreadCrew]" = []
_reaper_bell = threading.Condition(_lock)
_reaper: "threading.Thread | None" = None
_next_look = 0.0


def take(key: Key) -> "Crew | ThreadCrew":
    """Return a crew that fits: one that waits, or else a new one."""
    stale = []
    try:
        with _lock:
            for crew in reversed(_idle):
                if not crew.key.fits(key):
                    continue
                _idle.remove(crew)
                if not crew.core.closed and crew.is_current():
                    crew.key = key
                    return crew
                stale.append(crew)
    finally:
        for crew in stale:
            crew.end()
    return Crew(key) if key.kind == "processes" else ThreadCrew(key)


def give_back(crew: "Crew | ThreadCrew") -> None:
    """Keep a crew that has nothing left to do for a later call."""
    global _reaper
    if crew.core.closed or crew.owner != os.getpid():
        return
    crew.returned = time.monotonic()
    with _lock:
        surplus = [other for other in _idle if other.key.fits(crew.key)]
        for other in surplus:
            _idle.remove(other)
        _idle.append(crew)
        if _reaper is None:
            reaper = threading.Thread(target=_reap, name="phalanx-parallel-idle", daemon=True)
            try:
                reaper.start()
                _reaper = reaper
            except RuntimeError:
                pass  # The program ends: so do its workers.
        elif crew.returned + crew.key.idle < _next_look:
            _reaper_bell.notify()
    for other in surplus:
        other.end()


def end_all() -> None:
    """End the workers of all crews that wait for a call."""
    with _lock:
        crews, _idle[:] = list(_idle), []
        _reaper_bell.notify()  # nothing is left to wait for
    for crew in crews:
        crew.end()


def _reap():
    """End crews as they have idled for too long; the body of a thread that ends when there are none."""
    global _reaper, _next_look
    while True:
        with _lock:
            if not _idle:
                _reaper = None
                return
            now = time.monotonic()
            late = [crew for crew in _idle if crew.returned + crew.key.idle <= now]
            if not late:
                _next_look = min(crew.returned + crew.key.idle for crew in _idle)
                _reaper_bell.wait(_next_look - now)
                continue
            for crew in late:
                _idle.remove(crew)
        for crew in late:
            crew.end()


def _forget():
    """Start anew in a forked child: the crews are its parent's."""
    global _lock, _reaper_bell, _reaper
    _lock = threading.Lock()
    _reaper_bell = threading.Condition(_lock)
    _reaper = None
    _idle.clear()


os.register_at_fork(after_in_child=_forget)


def _definitions():
    """Return what `__main__` defines: workers that were forked before have the old definitions."""
    main = sys.modules.get("__main__")
    kinds = (type, types.FunctionType)
    return {name: value for name, value in vars(main).items() if isinstance(value, kinds)} if main else {}


def _terminate(core, owner, threads):
    if os.getpid() == owner:
        core.terminate()
        for thread in threads.values():
            # A daemon that is still in the engine when the interpreter ends would end the process.
            if thread is not threading.current_thread():
                thread.join()


def _enter(depth):
    """Begin a thread that runs tasks of a call."""
    level.value = depth


class _Starter:
    """Starts worker processes for a crew."""

    def __init__(self, context, args):
        self.context = context
        self.args = args

    def __call__(self, bench):
        process = self.context.Process(target=_worker, args=(bench, *self.args))
        process.name = process.name.replace("Process", "ParallelWorker")
        process._is_worker = True
        start_worker(process)
        return process


def _worker(bench, level, variables, initializer, initargs, levels):
    """Work at a bench until the pool closes: the target of a worker process."""
    from . import _parallel_config

    global _process_level
    _process_level = level
    limit(variables)
    _parallel_config.forget()
    _adopt_whole_main()
    if levels is not None:
        from . import _logs

        _logs.forward(bench, levels)
    try:
        bench.run(initializer, tuple(initargs), None)
    except KeyboardInterrupt:
        # The parent was interrupted too, and says so; one report is enough.
        util.debug("worker interrupted")
