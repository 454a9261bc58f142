"""A pool whose calls have options."""

from . import _progress
from ._core import undisturbed
from ._pool_calls import PoolCalls, check_buffersize

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

    from ._core import CallOptions
    from .pool import Pool


class PoolOptions(PoolCalls):
    """A pool whose calls have options: see `Pool.options`.

    Each item of an iterable is a task of its own, whatever `chunksize` says.
    """

    def __init__(self, pool: "Pool", options: "CallOptions") -> None:
        self._pool = pool
        self._options = options
        self._terms = undisturbed(pool._on_terms, options)

    def __repr__(self):
        return f"<{type(self).__name__} of {self._pool!r}: {self._options!r}>"

    def options(self, **changes: "Any") -> "PoolOptions":
        """Return the pool with these options and, where they do not say, those that it has."""
        return PoolOptions(self._pool, self._options.replace(**changes))

    def _apply(self, func, args, kwds, callback, error_callback):
        self._pool._check_running()
        return self._terms.apply(func, args, dict(kwds), callback, error_callback)

    def _map(self, func, iterable, star, chunksize, callback, error_callback):
        self._pool._check_running()
        return self._terms.map(func, iterable, star, callback, error_callback)

    def _map_and_wait(self, func, iterable, star, chunksize, progress):
        self._pool._check_running()
        display = _progress.display(progress, _progress.length_of(iterable))
        return self._terms.map_and_wait(func, iterable, star, display)

    def _imap(self, func, iterable, chunksize, ordered, buffersize, progress):
        self._pool._check_running()
        check_buffersize(buffersize)
        display = _progress.display(progress, _progress.length_of(iterable))
        return self._terms.imap(func, iterable, ordered, buffersize, display)
