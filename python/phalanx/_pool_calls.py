"""The methods for calls that a pool has, and a pool with options."""

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    from ._core import ApplyResult, IMapIterator, MapResult, TermedIterator

    _Progress = bool | str | Any
    _S = TypeVar("_S")
    _T = TypeVar("_T")


def check_buffersize(buffersize: "int | None") -> None:
    """Refuse what is no number of tasks."""
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


class PoolCalls:
    """Calls of `apply`, `map`, `imap` and their kin, of whoever knows how to send them."""

    _apply: "Any"
    _map: "Any"
    _map_and_wait: "Any"
    _imap: "Any"

    # One call

    def apply(
        self,
        func: "Callable[..., _T]",
        args: "Iterable[Any]" = (),
        kwds: "Mapping[str, Any]" = {},  # noqa: B006 - as in multiprocessing; never changed
    ) -> "_T":
        """Call `func(*args, **kwds)` in a worker and return what it returns."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: "Callable[..., _T]",
        args: "Iterable[Any]" = (),
        kwds: "Mapping[str, Any]" = {},  # noqa: B006 - as in multiprocessing; never changed
        callback: "Callable[[_T], object] | None" = None,
        error_callback: "Callable[[BaseException], object] | None" = None,
    ) -> "ApplyResult[_T]":
        """Call `func(*args, **kwds)` in a worker; returns an `AsyncResult` at once.

        `callback(value)` or `error_callback(exception)` is called in a thread of the pool when the
        call has ended, before the result is ready.
        """
        return self._apply(func, args, kwds, callback, error_callback)

    # A call for each item

    def map(
        self,
        func: "Callable[[_S], _T]",
        iterable: "Iterable[_S]",
        chunksize: int | None = None,
        *,
        progress: "_Progress" = False,
    ) -> "list[_T]":
        """Call `func(item)` for each item and return the list of results, in order.

        All items are read before the first is sent; of an input that never ends until half of the free memory
        has been taken, and then `InputTooLongError` is raised: see `imap`.
        `progress` shows how far it is: `True`, a description, or a bar of tqdm or rich.
        """
        return self._map_and_wait(func, iterable, False, chunksize, progress)

    def map_async(
        self,
        func: "Callable[[_S], _T]",
        iterable: "Iterable[_S]",
        chunksize: int | None = None,
        callback: "Callable[[list[_T]], object] | None" = None,
        error_callback: "Callable[[BaseException], object] | None" = None,
    ) -> "MapResult[_T]":
        """`map` that returns a `MapResult` at once."""
        return self._map(func, iterable, False, chunksize, callback, error_callback)

    def starmap(
        self,
        func: "Callable[..., _T]",
        iterable: "Iterable[Iterable[Any]]",
        chunksize: int | None = None,
        *,
        progress: "_Progress" = False,
    ) -> "list[_T]":
        """Call `func(*item)` for each item and return the list of results, in order.

        For endless input and `progress` see `map`.
        """
        return self._map_and_wait(func, iterable, True, chunksize, progress)

    def starmap_async(
        self,
        func: "Callable[..., _T]",
        iterable: "Iterable[Iterable[Any]]",
        chunksize: int | None = None,
        callback: "Callable[[list[_T]], object] | None" = None,
        error_callback: "Callable[[BaseException], object] | None" = None,
    ) -> "MapResult[_T]":
        """`starmap` that returns a `MapResult` at once."""
        return self._map(func, iterable, True, chunksize, callback, error_callback)

    # Results as an iterator

    def imap(
        self,
        func: "Callable[[_S], _T]",
        iterable: "Iterable[_S]",
        chunksize: int = 1,
        buffersize: int | None = None,
        *,
        progress: "_Progress" = False,
    ) -> "IMapIterator[_T] | TermedIterator[_T]":
        """Call `func(item)` for each item; an iterator of the results, in order.

        The input is read only a little ahead of the results that have been fetched, so it may be
        endless. `buffersize` sets how many tasks may be ahead. For `progress` see `map`; it is
        shown while results are fetched.
        """
        return self._imap(func, iterable, chunksize, True, buffersize, progress)

    def imap_unordered(
        self,
        func: "Callable[[_S], _T]",
        iterable: "Iterable[_S]",
        chunksize: int = 1,
        buffersize: int | None = None,
        *,
        progress: "_Progress" = False,
    ) -> "IMapIterator[_T] | TermedIterator[_T]":
        """`imap` with the results in the order in which they arrive."""
        return self._imap(func, iterable, chunksize, False, buffersize, progress)
