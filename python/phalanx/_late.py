"""A module that a seeded task is the first to import gets its seed with the import."""

import sys
from importlib.util import find_spec

from ._core import _reseed_numpy

_watched: "set[str]" = set()


class _Finder:
    """Finds a watched module as others do, and sees to its generator when it has been loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _watched:
            return None
        _watched.discard(name)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            _reseed_numpy()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def watch(name: str) -> None:
    """Have the generator of a module set when the module is imported."""
    _watched.add(name)
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
