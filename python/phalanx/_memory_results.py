"""References to results, and what stands for them where nothing is kept."""

import os

from . import _memory_calls as _calls
from ._memory_store import Logger, store_for

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

    from ._memory_store import Call, FileSystemStoreBackend, Location


class MemorizedResult(Logger):
    """A reference to a result in the cache: small, and can be pickled."""

    __module__ = "phalanx.memory"

    def __init__(
        self,
        location: "Location | FileSystemStoreBackend",
        call_id: "Call",
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
        self.store_backend = store_for(location, verbose, mmap_mode, backend=backend)
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
            entry = store.cache().get(*self._call_id)
            if entry is not None:
                return store.load(
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

    __module__ = "phalanx.memory"

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
