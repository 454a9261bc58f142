"""Functions whose results are kept."""

import functools
import json
import logging
import sys
import time
import traceback
import warnings

from . import _memory_calls as _calls, _memory_values as _values
from ._core import CacheClaim, CallKeys
from ._memory_results import MemorizedResult, NotMemorizedResult
from ._memory_store import REFUSALS, CacheWarning, Logger, Opened, notes_of, store_for

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from ._memory_store import Call, Compress, FileSystemStoreBackend, Location

    Validation: TypeAlias = Callable[[dict[str, Any]], object]


class NotMemorizedFunc:
    """A function that is called each time, with the interface of `MemorizedFunc`."""

    __module__ = "phalanx.memory"

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

    __module__ = "phalanx.memory"

    async def call_and_shelve(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function and return a `NotMemorizedResult`."""
        return NotMemorizedResult(await self.func(*args, **kwargs))

    async def call(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Call the function; return its result and a dictionary."""
        return await self.func(*args, **kwargs), {}


class MemorizedFunc(Opened, Logger):
    """A function whose results are kept on disk; made by `Memory.cache`.

    A call returns the stored result if the function does what it did then and the arguments are equal. Of
    several processes and threads that want a result which is not there, one computes it and the others
    wait; if that one is killed, the next takes over. A stored result that was cut or changed is removed,
    logged as a warning, and computed anew. A result that cannot be stored (the disk is full, it cannot be
    pickled) is returned with a `CacheWarning`.
    """

    __module__ = "phalanx.memory"

    def __init__(
        self,
        func: "Callable[..., Any]",
        location: "Location | FileSystemStoreBackend",
        backend: str = "local",
        ignore: "list[str] | None" = None,
        mmap_mode: str | None = None,
        compress: "Compress" = False,
        verbose: int = 1,
        timestamp: float | None = None,
        cache_validation_callback: "Validation | None" = None,
    ):
        Logger.__init__(self)
        self.mmap_mode = mmap_mode
        self.compress = compress
        self.func = func
        self.cache_validation_callback = cache_validation_callback
        modules, name = _calls.name_of(func)
        self.func_id = "/".join([*modules, name])
        self.ignore = ignore if ignore is not None else []
        self._verbose = verbose
        self.store_backend = store_for(location, verbose, mmap_mode, compress, backend)
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
            entry = self.store_backend.cache().get(self.func_id, key)
        except REFUSALS:
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
                cache = self.store_backend.cache()
                found = cache.get_or_claim(self.func_id, key, refused)
            except REFUSALS as e:
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
        return callback is None or bool(callback(notes_of(entry)))

    def _load(self, entry, key):
        if self._verbose > 1:
            store, call = self.store_backend, (self.func_id, key)
            return store.load(entry, call, self.mmap_mode, self._verbose, self.timestamp)
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
            entry = self.store_backend.cache().get(self.func_id, key)
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
            return self.store_backend.cache().claim_anew(self.func_id, key)
        except REFUSALS as e:
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
        place = self.store_backend.cache().shelf_folder(name)
        self.info(f"Querying {name} with signature\n{call}.\n\n(key {key}, stored in {place})")

    def _tell_claim(self, claim, key, args, kwargs):
        if claim.damage is not None:
            self._tell_failure(args, kwargs, claim.damage)
        if self._verbose > 10:
            place = self.store_backend.cache().shelf_folder(self.func_id)
            self.warn(f"Computing func {self.func_id}, key {key} in location {place}")

    def _tell_failure(self, args, kwargs, why):
        call = _calls.signature_text(self.func, args, kwargs)
        self.warn(f"Exception while loading results for {call}\n {why}")

    def _print_duration(self, duration, context=""):
        text = f"{_calls.name_of(self.func)[1]} {context}- {_calls.format_time(duration)}"
        print(max(0, 80 - len(text)) * "_" + text)


class AsyncMemorizedFunc(MemorizedFunc):
    """The same for coroutine functions: nothing here keeps the event loop waiting for a computation."""

    __module__ = "phalanx.memory"

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
                    cache = self.store_backend.cache()
                    found = cache.get_or_claim(self.func_id, key, refused, 0)
                except TimeoutError:
                    found = None
                except REFUSALS as e:
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
_running: "dict[Call, Any]" = {}
