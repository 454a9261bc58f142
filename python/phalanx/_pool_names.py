"""What programs that extend or watch pools look for inside of them.

The engine has queues of its own, and asks for one worker at a time. So does a pool that starts its workers
itself, by a `_repopulate_pool` of its own: while that runs, `_processes` is one, `_pool` is an empty
list for the new worker, and `_inqueue` and `_outqueue` are what it is to be given. At other times `_inqueue`
and `_outqueue` are the queues that `_setup_queues` has made, if it has; nothing comes through these.
"""

import itertools
import weakref
from _thread import _local

from .process import start_worker

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

#: `hiring`: the worker that this thread is starting, if it is.
_here = _local()


class _Hiring:
    """A worker that is being started: for which pool, and what it is to be given."""

    def __init__(self, pool, bench, starter):
        self.pool = pool
        self.bench = bench
        self.starter = starter
        self.staff = []


class TaskQueue:
    """Where recipes put the tasks of iterators that they make themselves, and see how much waits."""

    def __init__(self, core):
        self._core = core

    def put(self, item: "Any") -> None:
        """Let an iterator that was made of the pool run tasks: `(tasks, iterator._set_length)`."""
        tasks, set_length = item
        set_length.__self__._begin(tasks)

    def qsize(self) -> int:
        """Return how many batches wait for a worker."""
        return self._core.queued()

    def empty(self) -> bool:
        """Return whether no batch waits for a worker."""
        return self._core.queued() == 0


class Outlet:
    """What a worker is told of the way back to its pool: which of its log records to send."""

    def __init__(self, log_levels):
        self.log_levels = log_levels

    def empty(self) -> bool:
        """Return that nothing waits: results are taken as they come."""
        return True


class _Roster:
    """The workers that a pool has at the moment."""

    def __init__(self, core):
        self._core = core

    def __len__(self):
        return len(self._core.processes())

    def __getitem__(self, place):
        return self._core.processes()[place]


def _given_queue(name):
    """A queue of a pool: while it starts a worker what that is given, otherwise what has been set."""

    def get(self):
        hiring = self._hiring()
        if hiring is None:
            return vars(self).get(name) or self._own_queues()[name]
        return hiring.bench if name == "_inqueue" else hiring.starter.outlet

    def put(self, queue):
        vars(self)[name] = queue

    return property(get, put)


class PoolNames:
    """The undocumented names of a pool, for those who extend or watch it."""

    _core: "Any"
    _log_levels: "dict[str, int] | None"

    def _hiring(self):
        hiring = getattr(_here, "hiring", None)
        return hiring if hiring is not None and hiring.pool is self else None

    def _own_queues(self):
        return {"_inqueue": self._taskqueue, "_outqueue": Outlet(self._log_levels)}

    _inqueue = _given_queue("_inqueue")
    _outqueue = _given_queue("_outqueue")

    @property
    def _processes(self):
        return vars(self)["_processes"] if self._hiring() is None else 1

    @_processes.setter
    def _processes(self, number):
        vars(self)["_processes"] = number

    @property
    def _pool(self):
        hiring = self._hiring()
        return self._core.processes() if hiring is None else hiring.staff

    @property
    def _cache(self):
        return dict.fromkeys(self._core.unfinished())

    @property
    def _taskqueue(self):
        return TaskQueue(self._core)

    def _setup_queues(self):
        """Make queues of one's own: the engine needs none."""

    def _repopulate_pool(self):
        """Start the workers that are missing."""
        hiring = self._hiring()
        if hiring is None:
            self._core.look()
        else:
            hiring.staff.append(hiring.starter.start(hiring.bench))

    def _maintain_pool(self):
        """Replace the workers that have ended."""
        self._core.look()

    _join_exited_workers = _maintain_pool

    @classmethod
    def _terminate_pool(
        cls,
        taskqueue,
        inqueue,
        outqueue,
        pool,
        change_notifier,
        worker_handler,
        task_handler,
        result_handler,
        cache,
    ):
        """End the workers: by `terminate`, when the pool dies, or when the process exits."""
        taskqueue._core.terminate()

    def _parts_to_terminate(self):
        """What `_terminate_pool` gets, which must not keep the pool alive; there are no handlers."""
        queue = TaskQueue(self._core)
        return queue, queue, Outlet(None), _Roster(self._core), None, None, None, None, {}

    @staticmethod
    def _get_tasks(func, it, size):
        items = iter(it)
        while batch := tuple(itertools.islice(items, size)):
            yield func, batch

    def _guarded_task_generation(self, result_job, func, iterable):
        for place, item in enumerate(iterable):
            yield result_job, place, func, (item,), {}


class Starter:
    """Starts worker processes for a pool, without keeping the pool alive."""

    def __init__(self, pool, worker):
        self.make = _unbound(pool, pool.Process)
        self.ctx = pool._ctx
        self.worker = worker
        self.outlet = None if pool._log_levels is None else Outlet(pool._log_levels)
        self.args = (pool._initializer, pool._initargs, pool._maxtasksperchild)
        starts_itself = type(pool)._repopulate_pool is not PoolNames._repopulate_pool
        self.pool = weakref.ref(pool) if starts_itself else None

    def __call__(self, bench):
        pool = None if self.pool is None else self.pool()
        if pool is None:
            return self.start(bench)
        former = getattr(_here, "hiring", None)
        _here.hiring = hiring = _Hiring(pool, bench, self)
        try:
            pool._repopulate_pool()
        finally:
            _here.hiring = former
        if not hiring.staff:
            raise RuntimeError(f"{type(pool).__name__}._repopulate_pool() has started no worker")
        return hiring.staff[-1]

    def start(self, bench):
        """Start a worker as pools do that leave it to the engine."""
        process = self.make(self.ctx, target=self.worker, args=(bench, self.outlet, *self.args))
        process.name = process.name.replace("Process", "PoolWorker")
        process._is_worker = True
        process.daemon = True
        start_worker(process)
        return process


def _unbound(pool, method):
    """Return a function that calls the method and does not keep its object alive."""
    function = getattr(method, "__func__", None)
    if function is None or method.__self__ is not pool:
        return method
    owner = weakref.ref(pool)
    return lambda *args, **kwds: function(owner(), *args, **kwds)
