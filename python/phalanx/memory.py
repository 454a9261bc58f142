"""Results of functions, kept on disk: computed once for the same arguments, by any process.

The interface is that of joblib's `Memory`. The key of a call is the content of its arguments together with
what the function does: its code, what it closes over, and the helpers and values of the program that it
refers to. The work is done by the engine's cache; this module has the names and the classes.
"""

import collections
import datetime
import functools
import inspect
import json
import logging
import os
import pickle
import sys
import time
import traceback
import warnings

from . import _memory_calls as _calls, _memory_values as _values
from ._core import CacheClaim, CacheStore, CallKeys, _hash_object

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
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    _Call: TypeAlias = tuple[str, str]
    _Validation: TypeAlias = Callable[[dict[str, Any]], object]
    _Compress: TypeAlias = bool | int | str | tuple[str, int]
    _Location: TypeAlias = str | os.PathLike[str]

#: How many bytes of a digest there are under each name.
_LENGTHS = {"md5": 16, "sha1": 20, "blake3": 32}
#: What the notes of an entry may need to be read.
_READ = (OSError, ValueError)

CacheItemInfo = collections.namedtuple("CacheItemInfo", "path size last_access")


class CacheWarning(Warning):
    """A result could not be stored, or not be looked for; it was computed."""


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


class _Logger:
    """What joblib's classes have for messages."""

    def __init__(self, depth: int = 3, name: str | None = None):
        self.depth = depth
        self._name = name or type(self).__name__

    def warn(self, msg: str) -> None:
        """Log a message as a warning."""
        logging.getLogger(self._name).warning("[%s]: %s", self, msg)

    def info(self, msg: str) -> None:
        """Log a message for the curious."""
        logging.info("[%s]: %s", self, msg)

    def debug(self, msg: str) -> None:
        """Log a message for who looks for a mistake."""
        logging.getLogger(self._name).debug("[%s]: %s", self, msg)

    def format(self, obj: object, indent: int = 0) -> str:
        """Return the text of an object in messages."""
        return _calls.pformat(obj, indent=indent, depth=self.depth)


class _Opened:
    """A place for what belongs to this process alone, and is no part of the state."""

    __slots__ = ("_opened",)


class FileSystemStoreBackend(_Opened):
    """The folder in which a `Memory` keeps results; see `Memory.store_backend`."""

    def __init__(
        self,
        location: "_Location | None" = None,
        verbose: int = 0,
        mmap_mode: str | None = None,
        compress: "_Compress" = False,
        bytes_limit: int | None = None,
    ):
        self.verbose = verbose
        self.mmap_mode = mmap_mode
        self.compress = compress
        self.bytes_limit = bytes_limit
        self._base = None if location is None else os.fspath(location)
        self.location = None
        if self._base is not None:
            self.location = str(self._cache().folder)

    def _cache(self):
        try:
            return self._opened
        except AttributeError:
            self._opened = CacheStore(self._base, self.bytes_limit)
            return self._opened

    def __getstate__(self):
        return self.__dict__.copy()

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __repr__(self):
        return f'{type(self).__name__}(location="{self.location}")'

    def get_items(self) -> "list[CacheItemInfo]":
        """Return path, size in bytes and time of the last use of each entry."""
        when = datetime.datetime.fromtimestamp
        return [CacheItemInfo(str(path), size, when(used)) for path, size, used in self._cache().items()]

    def contains_item(self, call_id: "_Call") -> bool:
        """Return whether there is a result; it may turn out to be damaged when it is read."""
        try:
            return self._cache().get(*call_id) is not None
        except _READ:
            return False

    def get_metadata(self, call_id: "_Call") -> "dict[str, Any]":
        """Return what is known about a result; nothing if there is none."""
        try:
            entry = self._cache().get(*call_id)
        except _READ:
            return {}
        return {} if entry is None else _notes(entry)

    def load_item(
        self,
        call_id: "_Call",
        verbose: int = 1,
        timestamp: float | None = None,
        metadata: "dict[str, Any] | None" = None,
    ) -> "Any":
        """Return a result. Raises `KeyError` if there is none and `ValueError` if it is damaged."""
        entry = self._cache().get(*call_id)
        if entry is None:
            raise KeyError(f"Non-existing item (may have been cleared): {call_id[0]} {call_id[1]}")
        return self._load(entry, call_id, self.mmap_mode, verbose, timestamp, metadata)

    def _load(self, entry, call_id, mmap_mode, verbose, timestamp, metadata=None):
        if verbose > 1:
            since = f"{_calls.format_time(time.time() - timestamp): <16}" if timestamp else ""
            inputs = (metadata or _notes(entry)).get("input_args", {})
            inputs = ", ".join(f"{name}={value}" for name, value in inputs.items())
            text = f"[Memory]{since}: Loading {os.path.basename(call_id[0])}({inputs})"
            print(f"{text}..." if verbose < 10 else f"{text} from {entry.path}")
        return _values.decode(entry, mmap_mode)

    def clear_item(self, call_id: "_Call") -> None:
        """Remove a result."""
        self._cache().remove(*call_id)

    def clear_path(self, path: "Iterable[str]") -> None:
        """Remove all results of a function."""
        self._cache().clear_shelf("/".join(path))

    def clear(self) -> None:
        """Remove all results."""
        self._cache().clear()

    def enforce_store_limits(
        self,
        bytes_limit: int | str | None,
        items_limit: int | None = None,
        age_limit: datetime.timedelta | None = None,
    ) -> None:
        """Remove the results that were used longest ago until the limits hold."""
        age = None if age_limit is None else age_limit.total_seconds()
        self._cache().reduce(_calls.bytes_of(bytes_limit), items_limit, age)


def _notes(entry):
    try:
        return json.loads(entry.notes())
    except ValueError:
        return {}


def _store(location, verbose=0, mmap_mode=None, compress=False, backend="local", limit=None):
    """Return the store for what a caller gave as its place."""
    if location is None or isinstance(location, FileSystemStoreBackend):
        return location
    if backend != "local":
        raise TypeError(f"Unknown location {location} or backend {backend}")
    if not isinstance(location, str | os.PathLike):
        warnings.warn(
            f"A {type(location).__name__} is no place for a cache: nothing will be cached.",
            stacklevel=3,
        )
        return None
    location = os.path.expanduser(location)
    return FileSystemStoreBackend(location, verbose, mmap_mode, compress, limit)


class MemorizedResult(_Logger):
    """A reference to a result in the cache: small, and can be pickled."""

    def __init__(
        self,
        location: "_Location | FileSystemStoreBackend",
        call_id: "_Call",
        backend: str = "local",
        mmap_mode: str | None = None,
        verbose: int = 0,
        timestamp: float | None = None,
        metadata: "dict[str, Any] | None" = None,
    ):
        super().__init__()
        self._call_id = tuple(call_id)
        if isinstance(location, str) and os.path.basename(location) == "phalanx":
            # As `repr` writes it.
            location = os.path.dirname(location)
        self.store_backend = _store(location, verbose, mmap_mode, backend=backend)
        self.mmap_mode = mmap_mode
        self.metadata = metadata if metadata is not None else self._find_metadata()
        self.duration = self.metadata.get("duration")
        self.verbose = verbose
        self.timestamp = timestamp

    def _find_metadata(self):
        return self.store_backend.get_metadata(self._call_id)

    @property
    def func(self) -> str:
        """The name of the function."""
        return self._call_id[0]

    @property
    def func_id(self) -> str:
        """The name of the function."""
        return self._call_id[0]

    @property
    def args_id(self) -> str:
        """The key of the call."""
        return self._call_id[1]

    def get(self) -> "Any":
        """Return the result.

        Raises `KeyError` if it has been removed from the cache, or if what is there is damaged.
        """
        store = self.store_backend
        mmap_mode = self.mmap_mode or store.mmap_mode
        try:
            entry = store._cache().get(*self._call_id)
            if entry is not None:
                return store._load(
                    entry, self._call_id, mmap_mode, self.verbose, self.timestamp, self.metadata
                )
        except ValueError as e:
            raise KeyError(
                "Error while trying to load a MemorizedResult's value. "
                f"It seems that this folder is corrupted : {e}"
            ) from e
        raise KeyError(f"Non-existing item (may have been cleared): {self.func_id} {self.args_id}")

    def clear(self) -> None:
        """Remove the result from the cache."""
        self.store_backend.clear_item(self._call_id)

    def __repr__(self):
        return (
            f'{type(self).__name__}(location="{self.store_backend.location}", '
            f'func="{self._call_id[0]}", args_id="{self._call_id[1]}")'
        )

    def __getstate__(self):
        return {**self.__dict__, "timestamp": None}


class NotMemorizedResult:
    """A result that is in no cache, with the interface of `MemorizedResult`."""

    __slots__ = ("valid", "value")

    def __init__(self, value: "Any"):
        self.value = value
        self.valid = True

    def get(self) -> "Any":
        """Return the result. Raises `KeyError` after `clear`."""
        if not self.valid:
            raise KeyError("No value stored.")
        return self.value

    def clear(self) -> None:
        """Forget the result."""
        self.valid = False
        self.value = None

    def __repr__(self):
        if not self.valid:
            return f"{type(self).__name__} with no value"
        return f"{type(self).__name__}({_calls.pformat(self.value)})"

    def __getstate__(self):
        return {"valid": self.valid, "value": self.value}

    def __setstate__(self, state):
        self.valid = state["valid"]
        self.value = state["value"]


class NotMemorizedFunc:
    """A function that is called each time, with the interface of `MemorizedFunc`."""

    def __init__(self, func: "Callable[..., Any]"):
        self.func = func

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        return self.func(*args, **kwargs)

    def call_and_shelve(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function and return a `NotMemorizedResult`."""
        return NotMemorizedResult(self.func(*args, **kwargs))

    def __repr__(self):
        return f"{type(self).__name__}(func={self.func})"

    def clear(self, warn: bool = True) -> None:
        """Do nothing: there is no cache."""

    def call(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function; return its result and a dictionary."""
        return self.func(*args, **kwargs), {}

    def check_call_in_cache(self, *args: "Any", **kwargs: "Any") -> bool:
        """Return false."""
        return False


class AsyncNotMemorizedFunc(NotMemorizedFunc):
    """The same for coroutine functions."""

    async def call_and_shelve(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function and return a `NotMemorizedResult`."""
        return NotMemorizedResult(await self.func(*args, **kwargs))

    async def call(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function; return its result and a dictionary."""
        return await self.func(*args, **kwargs), {}


class MemorizedFunc(_Opened, _Logger):
    """A function whose results are kept on disk; made by `Memory.cache`.

    A call returns the stored result if the function does what it did then and the arguments are equal. Of
    several processes and threads that want a result which is not there, one computes it and the others
    wait; if that one is killed, the next takes over. A stored result that was cut or changed is removed,
    logged as a warning, and computed anew. A result that cannot be stored (the disk is full, it cannot be
    pickled) is returned with a `CacheWarning`.
    """

    def __init__(
        self,
        func: "Callable[..., Any]",
        location: "_Location | FileSystemStoreBackend",
        backend: str = "local",
        ignore: "list[str] | None" = None,
        mmap_mode: str | None = None,
        compress: "_Compress" = False,
        verbose: int = 1,
        timestamp: float | None = None,
        cache_validation_callback: "_Validation | None" = None,
    ):
        _Logger.__init__(self)
        self.mmap_mode = mmap_mode
        self.compress = compress
        self.func = func
        self.cache_validation_callback = cache_validation_callback
        modules, name = _calls.name_of(func)
        self.func_id = "/".join([*modules, name])
        self.ignore = ignore if ignore is not None else []
        self._verbose = verbose
        self.store_backend = _store(location, verbose, mmap_mode, compress, backend)
        self.timestamp = timestamp if timestamp is not None else time.time()
        try:
            functools.update_wrapper(self, func)
        except Exception:
            pass  # Some callables have no such attributes.
        self.__doc__ = f"Memoized version of {getattr(func, '__doc__', None) or name}"

    def __repr__(self):
        return f"{type(self).__name__}(func={self.func}, location={self.store_backend.location})"

    def __getstate__(self):
        # What the function does is said by the process that defined it: elsewhere its source, and values
        # that it refers to, may be others.
        return {**self.__dict__, "timestamp": None, "_definition": self._keys().definition()}

    def __setstate__(self, state):
        state = dict(state)
        definition = state.pop("_definition", None)
        self.__dict__.update(state)
        if definition is not None:
            self._opened = self._make_keys(definition)

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        return self._cached_call(args, kwargs, False)[0]

    def call_and_shelve(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Return a reference to the result, a `MemorizedResult`; compute it first if it is not there."""
        return self._cached_call(args, kwargs, True)[0]

    def call(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function and store the result, whether there is one or not.

        Returns the result and what is noted about it.
        """
        key = self._get_args_id(*args, **kwargs)
        return self._compute(self._claim_anew(key), key, args, kwargs, False)

    def check_call_in_cache(self, *args: "Any", **kwargs: "Any") -> bool:
        """Return whether the result of such a call is stored and valid. Computes nothing."""
        key = self._get_args_id(*args, **kwargs)
        try:
            entry = self.store_backend._cache().get(self.func_id, key)
        except _READ:
            return False
        return entry is not None and self._is_valid(entry)

    def clear(self, warn: bool = True) -> None:
        """Remove all results of this function."""
        if self._verbose > 0 and warn:
            self.warn(f"Clearing function cache identified by {self.func_id}")
        self.store_backend.clear_path([self.func_id])

    def _keys(self):
        try:
            return self._opened
        except AttributeError:
            self._opened = self._make_keys(None)
            return self._opened

    def _make_keys(self, definition):
        rows, bound = _calls.parameters_of(self.func, self.ignore)
        label = _calls.label_of(self.func)
        coerce_mmap = self.mmap_mode is not None
        return CallKeys(self.func, rows, label, bound, coerce_mmap, definition)

    def _get_args_id(self, *args, **kwargs):
        return self._keys().key(args, kwargs)

    def _cached_call(self, args, kwargs, shelving):
        key = self._keys().key(args, kwargs)
        if self._verbose >= 20:
            self._tell_query(key, args, kwargs)
        refused = None
        while True:
            try:
                cache = self.store_backend._cache()
                found = cache.get_or_claim(self.func_id, key, refused)
            except _READ as e:
                return self._compute_uncached(e, args, kwargs, shelving)
            if type(found) is CacheClaim:
                break
            done = self._use(found, key, args, kwargs, shelving)
            if done is not None:
                return done
            refused = found
        self._tell_claim(found, key, args, kwargs)
        return self._compute(found, key, args, kwargs, shelving)

    def _use(self, entry, key, args, kwargs, shelving):
        """Return what a stored result gives, or nothing if it is not to be used."""
        if not self._is_valid(entry):
            return None
        if shelving:
            return self._reference(key), {}
        start = time.time()
        try:
            output = self._load(entry, key)
        except Exception:
            self._tell_failure(args, kwargs, traceback.format_exc())
            return None
        if self._verbose > 4:
            self._print_duration(time.time() - start, "cache loaded ")
        return output, {}

    def _is_valid(self, entry):
        callback = self.cache_validation_callback
        return callback is None or bool(callback(_notes(entry)))

    def _load(self, entry, key):
        if self._verbose > 1:
            store, call = self.store_backend, (self.func_id, key)
            return store._load(entry, call, self.mmap_mode, self._verbose, self.timestamp)
        return _values.decode(entry, self.mmap_mode)

    def _compute(self, claim, key, args, kwargs, shelving):
        try:
            if self._verbose > 0:
                print(_calls.format_call(self.func, args, kwargs))
            start = time.time()
            output = self.func(*args, **kwargs)
            return self._keep(claim, key, args, kwargs, shelving, output, start)
        finally:
            if claim is not None:
                claim.release()

    def _keep(self, claim, key, args, kwargs, shelving, output, start):
        """Store a result; return it, or a reference to it, and what is noted about it."""
        duration = time.time() - start
        notes = {
            "duration": duration,
            "input_args": _calls.describe(self.func, self.ignore, args, kwargs),
            "time": start,
        }
        is_stored = claim is not None and self._store(claim, notes, output)
        if self._verbose > 0:
            self._print_duration(duration)
        if shelving:
            return (self._reference(key, notes) if is_stored else NotMemorizedResult(output)), notes
        if is_stored and self.mmap_mode is not None:
            # As later calls will find it.
            entry = self.store_backend._cache().get(self.func_id, key)
            if entry is not None:
                output = self._load(entry, key)
        return output, notes

    def _store(self, claim, notes, output):
        try:
            claim.store(json.dumps(notes).encode(), _values.encode(output, self.compress))
        except Exception as e:
            self._warn_uncached(e)
            return False
        return True

    def _compute_uncached(self, why, args, kwargs, shelving):
        self._warn_uncached(why)
        return self._compute(None, None, args, kwargs, shelving)

    def _claim_anew(self, key):
        try:
            return self.store_backend._cache().claim_anew(self.func_id, key)
        except _READ as e:
            self._warn_uncached(e)
            return None

    def _warn_uncached(self, why):
        # Out of this module, to the line that called the function.
        depth, frame = 1, sys._getframe()
        while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
            frame, depth = frame.f_back, depth + 1
        warnings.warn(f"Unable to cache to disk. Exception: {why}.", CacheWarning, depth)

    def _reference(self, key, notes=None):
        return MemorizedResult(
            self.store_backend,
            (self.func_id, key),
            mmap_mode=self.mmap_mode,
            metadata=notes,
            timestamp=self.timestamp,
            verbose=self._verbose - 1,
        )

    def _tell_query(self, key, args, kwargs):
        logging.basicConfig(level=logging.INFO)
        name, call = self.func_id, _calls.signature_text(self.func, args, kwargs)
        place = self.store_backend._cache().shelf_folder(name)
        self.info(f"Querying {name} with signature\n{call}.\n\n(key {key}, stored in {place})")

    def _tell_claim(self, claim, key, args, kwargs):
        if claim.damage is not None:
            self._tell_failure(args, kwargs, claim.damage)
        if self._verbose > 10:
            place = self.store_backend._cache().shelf_folder(self.func_id)
            self.warn(f"Computing func {self.func_id}, key {key} in location {place}")

    def _tell_failure(self, args, kwargs, why):
        call = _calls.signature_text(self.func, args, kwargs)
        self.warn(f"Exception while loading results for {call}\n {why}")

    def _print_duration(self, duration, context=""):
        text = f"{_calls.name_of(self.func)[1]} {context}- {_calls.format_time(duration)}"
        print(max(0, 80 - len(text)) * "_" + text)


class AsyncMemorizedFunc(MemorizedFunc):
    """The same for coroutine functions: nothing here keeps the event loop waiting for a computation."""

    async def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        return (await self._cached_call(args, kwargs, False))[0]

    async def call_and_shelve(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Return a reference to the result; compute it first if it is not there."""
        return (await self._cached_call(args, kwargs, True))[0]

    async def call(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function and store the result; return it and what is noted about it."""
        key = self._get_args_id(*args, **kwargs)
        return await self._compute(self._claim_anew(key), key, args, kwargs, False)

    async def _cached_call(self, args, kwargs, shelving):
        import asyncio

        key = self._keys().key(args, kwargs)
        if self._verbose >= 20:
            self._tell_query(key, args, kwargs)
        refused, pause = None, 0.001
        while True:
            running = _running.get((self.func_id, key))
            if running is not None and running is not asyncio.current_task():
                # Another task of this thread: the engine takes both for one.
                found = None
            else:
                try:
                    cache = self.store_backend._cache()
                    found = cache.get_or_claim(self.func_id, key, refused, 0)
                except TimeoutError:
                    found = None
                except _READ as e:
                    self._warn_uncached(e)
                    return await self._compute(None, None, args, kwargs, shelving)
            if type(found) is CacheClaim:
                break
            if found is None:
                await asyncio.sleep(pause)
                pause = min(pause * 1.2, 0.05)
                continue
            done = self._use(found, key, args, kwargs, shelving)
            if done is not None:
                return done
            refused = found
        self._tell_claim(found, key, args, kwargs)
        _running[self.func_id, key] = asyncio.current_task()
        try:
            return await self._compute(found, key, args, kwargs, shelving)
        finally:
            _running.pop((self.func_id, key), None)

    async def _compute(self, claim, key, args, kwargs, shelving):
        try:
            if self._verbose > 0:
                print(_calls.format_call(self.func, args, kwargs))
            start = time.time()
            output = await self.func(*args, **kwargs)
            return self._keep(claim, key, args, kwargs, shelving, output, start)
        finally:
            if claim is not None:
                claim.release()


#: The tasks that compute, by function and key.
_running: "dict[_Call, Any]" = {}


class Memory(_Logger):
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
        location: "_Location | None" = None,
        backend: str = "local",
        mmap_mode: str | None = None,
        compress: "_Compress" = False,
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
        self.store_backend = _store(location, verbose, mmap_mode, compress, backend, self.bytes_limit)

    def cache(
        self,
        func: "Callable[..., Any] | None" = None,
        ignore: "list[str] | None" = None,
        verbose: int | None = None,
        mmap_mode: "str | bool | None" = False,
        cache_validation_callback: "_Validation | None" = None,
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
