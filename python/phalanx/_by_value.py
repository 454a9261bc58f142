"""Pickling by value, for what has no name that the receiver could import.

Used by the codec when pickle refuses an object, and for what `__main__` defines where the receiver
cannot import it. The work is cloudpickle's; this module decides two things on top of it. What the
receiver can reach by name goes by name, so that classes keep their identity. And in a worker a
function of `__main__` is given the worker's own `__main__` namespace, so that a global set by an
initializer is the one that the function reads.
"""

import io
import sys
import types
from collections import ChainMap

import cloudpickle  # type: ignore[import-untyped]
from cloudpickle.cloudpickle import _function_setstate  # type: ignore[import-untyped]

from phalanx import _core


def main_namespace():
    """Return the namespace in which functions of the sender's `__main__` run here."""
    if _core._adopts_main():
        return sys.modules["__main__"].__dict__
    return {"__name__": "__main__", "__builtins__": __builtins__}


def make_function(code, namespace, name=None, defaults=None, closure=None):
    """Make the bare function; its state follows."""
    return types.FunctionType(code, namespace, name, defaults, closure)


def set_function_state(function, state):
    """Give a function made by `make_function` its attributes and the globals it refers to."""
    namespace = function.__globals__
    builtins = namespace.get("__builtins__", __builtins__)
    attributes = state[1]
    brought = attributes["__globals__"]
    attributes["__globals__"] = {}
    if _core._adopts_main() and namespace is sys.modules["__main__"].__dict__:
        for name, value in brought.items():
            _core._adopt_global(namespace, name, value)
    else:
        namespace.update(brought)
    _function_setstate(function, state)
    namespace["__builtins__"] = builtins


class _MainNamespace:
    """Stands for the namespace of `__main__` in a pickle."""

    def __reduce__(self):
        return main_namespace, ()


class Pickler(cloudpickle.Pickler):
    """cloudpickle's pickler, with the two decisions of this module."""

    def __init__(self, file, collect, main_by_value, reducers):
        # The C pickler reads this attribute once, when it is initialised.
        self.dispatch_table = ChainMap(
            reducers or {}, {io.TextIOWrapper: _refuse}, cloudpickle.Pickler.dispatch_table
        )
        super().__init__(file, protocol=5, buffer_callback=collect)
        self._main = sys.modules["__main__"].__dict__
        self._main_by_value = main_by_value
        self.globals_ref[id(self._main)] = _MainNamespace()

    def reducer_override(self, obj):
        """Reduce functions and classes; everything else goes its ordinary way."""
        function = isinstance(obj, types.FunctionType)
        if not function and not isinstance(obj, type):
            return NotImplemented
        if not self._main_by_value and self._has_name_in_main(obj):
            return NotImplemented
        reduced = super().reducer_override(obj)
        if function and obj.__globals__ is self._main and isinstance(reduced, tuple):
            return (make_function, *reduced[1:5], set_function_state)
        return reduced

    def _has_name_in_main(self, obj):
        if obj.__module__ not in ("__main__", "__mp_main__") or "<" in obj.__qualname__:
            return False
        found: object = sys.modules["__main__"]
        for name in obj.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is obj


def _refuse(file):
    """Refuse an open file as pickle does: its contents are not what was sent."""
    return object.__reduce_ex__(file, 5)


def dumps(obj, collect, main_by_value, reducers):
    """Return the pickle of `obj` by value; large buffers are offered to `collect`."""
    file = io.BytesIO()
    Pickler(file, collect, main_by_value, reducers).dump(obj)
    return file.getvalue()
