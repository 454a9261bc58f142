"""Tells joblib of phalanx's backend, whichever of the two packages is imported first."""

import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


def register(joblib_parallel: "Any") -> None:
    """Add the backend to joblib's. It is imported when it is first used."""
    joblib_parallel.BACKENDS.setdefault("phalanx", _make)


def _make(**parameters):
    from .backends.joblib import PhalanxBackend

    return PhalanxBackend(**parameters)


def spec_of(name, path):
    """Return the spec of `joblib.parallel`, which adds the backend once it has been loaded."""
    spec = PathFinder.find_spec(name, path)
    if spec is not None and spec.loader is not None:
        spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
    return spec


class _Loader:
    """A loader that does what another does, and adds the backend."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        register(module)


def register_joblib_backend() -> None:
    """Make `"phalanx"` a backend of joblib: for `joblib.parallel_config` and `joblib.Parallel`.

    `import phalanx` is enough for that; this function is for programs that like to say so. It raises
    `ImportError` if joblib is not installed.
    """

    register(sys.modules["joblib.parallel"])
