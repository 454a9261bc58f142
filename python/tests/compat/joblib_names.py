"""What joblib's tests of `Memory` import from joblib, from phalanx where phalanx has it."""

from phalanx._memory_store import store_for
from phalanx.memory import (
    AsyncMemorizedFunc,
    AsyncNotMemorizedFunc,
    FileSystemStoreBackend,
    MemorizedFunc,
    MemorizedResult,
    Memory,
    NotMemorizedFunc,
    NotMemorizedResult,
    expires_after,
    hash,
)

__all__ = [
    "_FUNCTION_HASHES",
    "_STORE_BACKENDS",
    "AsyncMemorizedFunc",
    "AsyncNotMemorizedFunc",
    "FileSystemStoreBackend",
    "JobLibCollisionWarning",
    "MemorizedFunc",
    "MemorizedResult",
    "Memory",
    "NotMemorizedFunc",
    "NotMemorizedResult",
    "StoreBackendBase",
    "_build_func_identifier",
    "_store_backend_factory",
    "expires_after",
    "hash",
    "register_store_backend",
]

# Names without which the tests cannot be imported; the tests that use them are excluded, each with its reason.
_FUNCTION_HASHES: dict = {}
_STORE_BACKENDS: dict = {}


def _store_backend_factory(backend, location, verbose=0):
    return store_for(location, verbose, backend=backend)


class JobLibCollisionWarning(UserWarning):
    """phalanx has none: keys are made of what functions do."""


class StoreBackendBase:
    """phalanx stores on disk only."""


def register_store_backend(backend_name, backend):
    """phalanx stores on disk only."""
    raise NotImplementedError


def _build_func_identifier(func):
    return MemorizedFunc(func, None).func_id
