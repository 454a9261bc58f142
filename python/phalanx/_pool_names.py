"""What programs that extend or watch pools look for inside of them."""

import itertools

from .errors import RemoteTraceback

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


def mapstar(args: "Any") -> "list[Any]":
    """Call a function for each item: a task of the standard library's `map`."""
    return list(map(*args))


def starmapstar(args: "Any") -> "list[Any]":
    """Call a function with the parts of each item: a task of the standard library's `starmap`."""
    function, items = args
    return [function(*item) for item in items]


class ExceptionWithTraceback:
    """An exception that keeps the text of its traceback when it is pickled."""

    def __init__(self, exc: BaseException, tb: "TracebackType | None") -> None:
        import traceback

        text = "".join(traceback.format_exception(type(exc), exc, tb))
        self.exc = exc
        self.exc.__traceback__ = None
        self.tb = f'\n"""\n{text}"""'

    def __reduce__(self):
        return rebuild_exc, (self.exc, self.tb)


def rebuild_exc(exc: BaseException, tb: str) -> BaseException:
    """Return an exception with the text of its traceback as its cause."""
    exc.__cause__ = RemoteTraceback(tb)
    return exc


class TaskQueue:
    """Where recipes put the tasks of iterators that they make themselves."""

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


class Names:
    """Attributes and methods of the standard library's pool that are not documented there."""

    _core: "Any"

    @property
    def _pool(self):
        return self._core.processes()

    @property
    def _cache(self):
        return dict.fromkeys(self._core.unfinished())

    @property
    def _taskqueue(self):
        return TaskQueue(self._core)

    def _repopulate_pool(self):
        self._core.look()

    _maintain_pool = _join_exited_workers = _repopulate_pool

    def _setup_queues(self):
        pass  # The engine has its own.

    @staticmethod
    def _get_tasks(func, it, size):
        items = iter(it)
        while batch := tuple(itertools.islice(items, size)):
            yield func, batch

    def _guarded_task_generation(self, result_job, func, iterable):
        for place, item in enumerate(iterable):
            yield result_job, place, func, (item,), {}
