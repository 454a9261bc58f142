"""Results of functions, kept on disk: computed once for the same arguments, by any process.

The interface is that of joblib's `Memory`. The key of a call is the content of its arguments together with
what the function does: its code, what it closes over, and the helpers and values of the program that it
refers to. The work is done by the engine's cache; this module has the names and the classes.
"""

import datetime
import functools
import inspect
import pickle
import time
import warnings

from . import _memory_calls as _calls, _memory_values as _values
from ._core import _hash_object
from ._memory_functions import (
    AsyncMemorizedFunc as AsyncMemorizedFunc,
    AsyncNotMemorizedFunc as AsyncNotMemorizedFunc,
    MemorizedFunc as MemorizedFunc,
    NotMemorizedFunc as NotMemorizedFunc,
)
from ._memory_results import (
    MemorizedResult as MemorizedResult,
    NotMemorizedResult as NotMemorizedResult,
)
from ._memory_store import (
    CacheWarning as CacheWarning,
    FileSystemStoreBackend as FileSystemStoreBackend,
    Logger,
    store_for,
)

__all__ = [
    "AsyncMemorizedFunc",
    "AsyncNotMemorizedFunc",
    "CacheWarning",
    "FileSystemStoreBackend",
    "MemorizedFunc",
    "MemorizedResult",
    "Memory",
    "NotMemorizedFunc",
    "NotMemorizedResult",
    "expires_after",
    "hash",
]

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from ._memory_functions import Validation
    from ._memory_store import Compress, Location

#: How many bytes of a digest there are under each name.
_LENGTHS = {"md5": 16, "sha1": 20, "blake3": 32}


def hash(obj: "Any", hash_name: str = "md5", coerce_mmap: bool = False) -> str:
    """Return a digest of an object's content as hexadecimal digits.

    It is the same for equal objects, in any process: the order of sets and dictionaries does not matter,
    and whether an object is met twice or is two equal ones neither. Functions are told apart by what they
    do. All digests are BLAKE3; `hash_name` chooses the length: `"md5"` 16 bytes, `"sha1"` 20, `"blake3"` 32.
    With `coerce_mmap` a memory-mapped array is the same as one in memory.

    >>> import phalanx
    >>> phalanx.hash({"a": 1, "b": [2.5]}) == phalanx.hash({"b": [2.5], "a": 1})
    True

    Raises what pickle raises for an object that has no content to be found.
    """
    length = _LENGTHS.get(hash_name)
    if length is None:
        names = tuple(_LENGTHS)
        raise ValueError(f"Valid options for 'hash_name' are {names}. Got hash_name={hash_name!r} instead.")
    try:
        return _hash_object(obj, length, coerce_mmap)
    except pickle.PicklingError as e:
        e.args += (f"PicklingError while hashing {obj!r}: {e!r}",)
        raise


class Memory(Logger):
    """A folder in which results of functions are kept, for this program and any other.

    `location` is a folder of the caller's choice; the cache lives in a folder `phalanx` inside and leaves
    everything else there alone, a cache of joblib's too. With `None` nothing is kept. `mmap_mode` (`"r"`, or
    `"c"` for arrays that may be written to in memory) has arrays mapped from the file when a result is read.
    `compress` may be `True`, a level from 1 to 9, or a pair of a method (`"zlib"`, `"gzip"`, `"bz2"`,
    `"lzma"`, `"xz"`) and a level; what is compressed is not mapped. From `verbose=1` on calls of functions
    are printed, above 10 everything. `bytes_limit` (as in `10**9` or `"1G"`) limits the size of the whole
    cache: the results that were used longest ago go first.

    >>> import phalanx
    >>> memory = phalanx.Memory("/tmp/results", verbose=0)  # doctest: +SKIP
    >>> @memory.cache  # doctest: +SKIP
    ... def square(x):
    ...     return x * x
    """

    def __init__(
        self,
        location: "Location | None" = None,
        backend: str = "local",
        mmap_mode: str | None = None,
        compress: "Compress" = False,
        verbose: int = 1,
        backend_options: "dict[str, Any] | None" = None,
        *,
        bytes_limit: int | str | None = None,
    ):
        super().__init__()
        self._verbose = verbose
        self.mmap_mode = mmap_mode
        self.timestamp: float | None = time.time()
        self.backend = backend
        self.compress = compress
        self.backend_options = backend_options if backend_options is not None else {}
        self.bytes_limit = _calls.bytes_of(bytes_limit)
        _values.check_compress(compress)
        if compress and mmap_mode is not None:
            warnings.warn("Compressed results cannot be memmapped", stacklevel=2)
        self.location = location
        self.store_backend = store_for(location, verbose, mmap_mode, compress, backend, self.bytes_limit)

    def cache(
        self,
        func: "Callable[..., Any] | None" = None,
        ignore: "list[str] | None" = None,
        verbose: int | None = None,
        mmap_mode: "str | Literal[False] | None" = False,
        cache_validation_callback: "Validation | None" = None,
    ) -> "Any":
        """Return a function that returns kept results; to be used as a decorator, with options or without.

        `ignore` names parameters that do not decide about the result (`"*"` and `"**"` stand for the rest).
        `verbose` and `mmap_mode` are those of the memory if they are not given. `cache_validation_callback`
        is called with what is noted about a kept result (`"time"` and `"duration"` in seconds,
        `"input_args"`); unless it returns true the result is computed anew; see `expires_after`.
        """
        if cache_validation_callback is not None and not callable(cache_validation_callback):
            raise ValueError(
                f"cache_validation_callback needs to be callable. Got {cache_validation_callback}."
            )
        if func is None:
            return functools.partial(
                self.cache,
                ignore=ignore,
                mmap_mode=mmap_mode,
                verbose=verbose,
                cache_validation_callback=cache_validation_callback,
            )
        is_async = inspect.iscoroutinefunction(func)
        if self.store_backend is None:
            return AsyncNotMemorizedFunc(func) if is_async else NotMemorizedFunc(func)
        if isinstance(func, MemorizedFunc):
            func = func.func
            is_async = inspect.iscoroutinefunction(func)
        kind = AsyncMemorizedFunc if is_async else MemorizedFunc
        return kind(
            func,
            location=self.store_backend,
            backend=self.backend,
            ignore=ignore,
            mmap_mode=self.mmap_mode if mmap_mode is False else mmap_mode,
            compress=self.compress,
            verbose=self._verbose if verbose is None else verbose,
            timestamp=self.timestamp,
            cache_validation_callback=cache_validation_callback,
        )

    def clear(self, warn: bool = True) -> None:
        """Remove all results in the folder."""
        if warn:
            self.warn("Flushing completely the cache")
        if self.store_backend is not None:
            self.store_backend.clear()

    def reduce_size(
        self,
        bytes_limit: int | str | None = None,
        items_limit: int | None = None,
        age_limit: datetime.timedelta | None = None,
    ) -> None:
        """Remove the results that were used longest ago until the limits hold.

        `bytes_limit` may be written as in `"500M"`; results last used longer ago than `age_limit` go too.
        """
        if self.store_backend is None:
            return
        if bytes_limit is None and items_limit is None and age_limit is None:
            return
        self.store_backend.enforce_store_limits(bytes_limit, items_limit, age_limit)

    def eval(self, func: "Callable[..., Any]", *args: "Any", **kwargs: "Any") -> "Any":
        """Call a function by way of the cache."""
        if self.store_backend is None:
            return func(*args, **kwargs)
        return self.cache(func)(*args, **kwargs)

    def __repr__(self):
        location = None if self.store_backend is None else self.store_backend.location
        return f"{type(self).__name__}(location={location})"

    def __getstate__(self):
        return {**self.__dict__, "timestamp": None}


def expires_after(
    days: float = 0,
    seconds: float = 0,
    microseconds: float = 0,
    milliseconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    weeks: float = 0,
) -> "Callable[[dict[str, Any]], bool]":
    """Return a `cache_validation_callback` that has results computed anew after so long."""
    delta = datetime.timedelta(
        days, seconds, microseconds, milliseconds, minutes, hours, weeks
    ).total_seconds()
    return functools.partial(_is_younger, delta)


def _is_younger(seconds, metadata):
    return time.time() - metadata["time"] < seconds
