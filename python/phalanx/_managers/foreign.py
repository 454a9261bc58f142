"""Pickles for the standard library's managers, which have their own classes of the same names."""

import io
import pickle

from ..reduction import ForkingPickler

_STANDARD = "multiprocessing.managers"
_ERRORS = ("AuthenticationError", "BufferTooShort", "ProcessError", "TimeoutError")
_OURS = (
    "phalanx.managers",
    *(
        f"phalanx._managers.{module}"
        for module in ("links", "proxy", "proxies", "containers", "server", "segments", "managed", "contents")
    ),
)


def _ours(path):
    """Return our object for a name of theirs."""
    from .. import managers

    module, _, name = path.partition(":")
    if module == _STANDARD and hasattr(managers, name):
        return getattr(managers, name)
    import pkgutil

    return pkgutil.resolve_name(path)


class _Pickler(ForkingPickler):
    """Names their class or function wherever the object has one of ours."""

    def reducer_override(self, obj):
        if getattr(obj, "__module__", None) in _OURS and isinstance(obj, (type, type(_ours))):
            name = obj.__qualname__
            if name.isidentifier():
                import pkgutil

                return pkgutil.resolve_name, (f"{_STANDARD}:{name}",)
        if isinstance(obj, type) and obj.__module__ == "phalanx.errors" and obj.__name__ in _ERRORS:
            import pkgutil

            return pkgutil.resolve_name, (f"multiprocessing:{obj.__name__}",)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module == "pkgutil" and name == "resolve_name":
            return _ours
        if module == _STANDARD:
            return _ours(f"{module}:{name}")
        return super().find_class(module, name)


def dumps(obj):
    """Return a pickle that the standard library's side understands."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(obj)
    return buffer.getvalue()


def loads(data):
    """Return the object of a pickle that the standard library's side made."""
    return _Unpickler(io.BytesIO(data)).load()
