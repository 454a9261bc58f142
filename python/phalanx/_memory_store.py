"""The folder in which results are kept, and what the classes of `phalanx.memory` share."""

import collections
import datetime
import json
import logging
import os
import time
import warnings

from . import _memory_calls as _calls, _memory_values as _values
from ._core import CacheStore

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    Call: TypeAlias = tuple[str, str]
    Compress: TypeAlias = bool | int | str | tuple[str, int]
    Location: TypeAlias = str | os.PathLike[str]

#: What the store may refuse with: the kernel's refusals, and damage.
REFUSALS = (OSError, ValueError)

CacheItemInfo = collections.namedtuple("CacheItemInfo", "path size last_access")


class CacheWarning(Warning):
    """A result could not be stored, or not be looked for; it was computed."""

    __module__ = "phalanx.memory"


class Logger:
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


class Opened:
    """A place for what belongs to this process alone, and is no part of the state."""

    __slots__ = ("_opened",)
    _opened: "Any"


class FileSystemStoreBackend(Opened):
    """The folder in which a `Memory` keeps results; see `Memory.store_backend`."""

    __module__ = "phalanx.memory"

    def __init__(
        self,
        location: "Location | None" = None,
        verbose: int = 0,
        mmap_mode: str | None = None,
        compress: "Compress" = False,
        bytes_limit: int | None = None,
    ):
        self.verbose = verbose
        self.mmap_mode = mmap_mode
        self.compress = compress
        self.bytes_limit = bytes_limit
        self._base = None if location is None else os.fspath(location)
        self.location = None
        if self._base is not None:
            self.location = str(self.cache().folder)

    def cache(self):
        try:
            return self._opened
        except AttributeError:
            self._opened = CacheStore(str(self._base), self.bytes_limit)
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
        return [CacheItemInfo(str(path), size, when(used)) for path, size, used in self.cache().items()]

    def contains_item(self, call_id: "Call") -> bool:
        """Return whether there is a result; it may turn out to be damaged when it is read."""
        try:
            return self.cache().get(*call_id) is not None
        except REFUSALS:
            return False

    def get_metadata(self, call_id: "Call") -> "dict[str, Any]":
        """Return what is known about a result; nothing if there is none."""
        try:
            entry = self.cache().get(*call_id)
        except REFUSALS:
            return {}
        return {} if entry is None else notes_of(entry)

    def load_item(
        self,
        call_id: "Call",
        verbose: int = 1,
        timestamp: float | None = None,
        metadata: "dict[str, Any] | None" = None,
    ) -> "Any":
        """Return a result. Raises `KeyError` if there is none and `ValueError` if it is damaged."""
        entry = self.cache().get(*call_id)
        if entry is None:
            raise KeyError(f"Non-existing item (may have been cleared): {call_id[0]} {call_id[1]}")
        return self.load(entry, call_id, self.mmap_mode, verbose, timestamp, metadata)

    def load(self, entry, call_id, mmap_mode, verbose, timestamp, metadata=None):
        if verbose > 1:
            since = f"{_calls.format_time(time.time() - timestamp): <16}" if timestamp else ""
            inputs = (metadata or notes_of(entry)).get("input_args", {})
            inputs = ", ".join(f"{name}={value}" for name, value in inputs.items())
            text = f"[Memory]{since}: Loading {os.path.basename(call_id[0])}({inputs})"
            print(f"{text}..." if verbose < 10 else f"{text} from {entry.path}")
        return _values.decode(entry, mmap_mode)

    def clear_item(self, call_id: "Call") -> None:
        """Remove a result."""
        self.cache().remove(*call_id)

    def clear_path(self, path: "Iterable[str]") -> None:
        """Remove all results of a function."""
        self.cache().clear_shelf("/".join(path))

    def clear(self) -> None:
        """Remove all results."""
        self.cache().clear()

    def enforce_store_limits(
        self,
        bytes_limit: int | str | None,
        items_limit: int | None = None,
        age_limit: datetime.timedelta | None = None,
    ) -> None:
        """Remove the results that were used longest ago until the limits hold."""
        age = None if age_limit is None else age_limit.total_seconds()
        self.cache().reduce(_calls.bytes_of(bytes_limit), items_limit, age)


def notes_of(entry):
    try:
        return json.loads(entry.notes())
    except ValueError:
        return {}


def store_for(location, verbose=0, mmap_mode=None, compress=False, backend="local", limit=None):
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
