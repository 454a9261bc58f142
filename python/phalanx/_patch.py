"""Putting phalanx in the place of `multiprocessing`, and back."""

import importlib
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from . import _standard
from .errors import RemoteTraceback

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

_OWN, _STANDARD = "phalanx", "multiprocessing"
_EXECUTORS = "concurrent.futures.process"
_ABSENT = object()

#: What was changed in objects of the standard library: the namespace, the name, the old value.
_changes: "list[tuple[dict[Any, Any], Any, Any]]" = []


def patch() -> None:
    """Put phalanx in the place of `multiprocessing`, for the whole program and its children.

    Every later `import multiprocessing`, of the package and of each of its modules, gives phalanx's.
    Modules that have imported the package already find phalanx's classes and functions in it, and
    functions they have imported from it by name make phalanx's objects; classes imported by name
    before the call remain what they were. So call it first. A second call does nothing.
    `concurrent.futures.ProcessPoolExecutor` is replaced in the same way.

    Children under every start method do the same before they import the main module.

    >>> import multiprocessing
    >>> mp.patch()
    >>> multiprocessing.Process.__module__
    'phalanx.context'
    >>> mp.unpatch()
    >>> multiprocessing.Process.__module__
    'multiprocessing.context'
    """
    if _standard.is_replaced:
        return
    _standard.is_replaced = True
    standard = {name: module for name, module in sys.modules.items() if _is_standard(name)}
    _standard.put_aside.update(standard)
    for name in standard:
        del sys.modules[name]
    sys.meta_path.insert(0, _Finder)
    if _EXECUTORS in sys.modules:
        _redirect_executors(sys.modules[_EXECUTORS])
    if _STANDARD in standard:
        sys.modules[_STANDARD] = sys.modules[_OWN]
        _redirect_package(standard[_STANDARD])
    if f"{_STANDARD}.context" in standard:
        _redirect_contexts(standard[f"{_STANDARD}.context"])


def unpatch() -> None:
    """Undo `patch`: `multiprocessing` is the standard library's again, as it was before."""
    if not _standard.is_replaced:
        return
    _standard.is_replaced = False
    for name in [name for name in sys.modules if _is_standard(name)]:
        del sys.modules[name]
    sys.meta_path.remove(_Finder)
    sys.modules.update(_standard.put_aside)
    _standard.put_aside.clear()
    while _changes:
        namespace, name, value = _changes.pop()
        if value is _ABSENT:
            namespace.pop(name, None)
        else:
            namespace[name] = value


def _is_standard(name):
    return name == _STANDARD or name.startswith(f"{_STANDARD}.")


class _Finder:
    """Finds phalanx's modules under the names of the standard library's.

    A module that phalanx has no counterpart of is the standard library's, on top of phalanx's.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == _EXECUTORS:
            spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
            if spec is not None and spec.loader is not None:
                spec.loader = _ExecutorsLoader(spec.loader)  # type: ignore[assignment]
            return spec
        if not _is_standard(name):
            return None
        own = _OWN + name.removeprefix(_STANDARD)
        if _exists(own):
            return ModuleSpec(name, _Loader(own))  # type: ignore[arg-type]
        *folders, _ = name.split(".")
        return PathFinder.find_spec(name, [os.path.join(os.path.dirname(os.__file__), *folders)])


def _exists(own):
    """Return whether phalanx has the module."""
    parent, _, _ = own.rpartition(".")
    if not parent:
        return True
    if not _exists(parent):
        return False
    path = getattr(importlib.import_module(parent), "__path__", None)
    return path is not None and PathFinder.find_spec(own, path) is not None


class _Loader:
    """Gives a module of phalanx to an import under another name, and leaves it as it is."""

    def __init__(self, own: str) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._own)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _ExecutorsLoader:
    """Loads the standard library's module of process pools, and puts phalanx's executor into it."""

    def __init__(self, standard: "Any") -> None:
        self._standard = standard

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._standard.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._standard.exec_module(module)
        _redirect_executors(module)


def _redirect_executors(module):
    """Let the standard library's module of process pools offer phalanx's executor.

    It is looked up when it is asked for: phalanx's module of executors imports this one.
    """

    def __getattr__(name):
        if name == "ProcessPoolExecutor":
            from .futures import ProcessPoolExecutor

            return ProcessPoolExecutor
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    _change(vars(module), "__getattr__", __getattr__)
    _change(vars(module), "_RemoteTraceback", RemoteTraceback)
    _changes.append((vars(module), "ProcessPoolExecutor", vars(module).pop("ProcessPoolExecutor")))
    package = vars(sys.modules["concurrent.futures"])
    # The package asks the module, and remembers what it was given.
    _changes.append((package, "ProcessPoolExecutor", package.pop("ProcessPoolExecutor", _ABSENT)))


def _change(namespace, name, value):
    _changes.append((namespace, name, namespace.get(name, _ABSENT)))
    namespace[name] = value


def _redirect_package(package):
    """Let the standard library's package, which others hold, offer phalanx's names."""
    own = sys.modules[_OWN]
    offered = {*own.__all__, *own._SUBMODULES, "context", "process"}
    for name in offered & vars(package).keys():
        _change(vars(package), name, getattr(own, name))


def _redirect_contexts(context):
    """Let the standard library's default context, whose methods others hold, be phalanx's."""
    from .context import _concrete_contexts, _default_context

    chosen = context._default_context._actual_context
    if chosen is not None and _default_context._actual_context is None:
        _default_context._actual_context = _concrete_contexts[chosen._name]
    for method in _concrete_contexts.keys() & context._concrete_contexts.keys():
        _change(context._concrete_contexts, method, _concrete_contexts[method])
    standard = vars(context._default_context)
    _change(standard, "_default_context", _default_context._default_context)
    _change(standard, "_actual_context", _default_context._actual_context)
