"""Finding the part of an object that cannot be pickled: work for the error message only."""

import _pickle
import time

from phalanx import _by_value

#: How deep, and for how many seconds, the search goes on.
DEPTH = 12
SECONDS = 2.0


def add_location(error, obj):
    """Add the path to the culprit inside `obj` to the message of `error`, where one is found."""
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    path = "".join(_search(obj, DEPTH, time.monotonic() + SECONDS))
    if path:
        kind = type(obj)
        where = f"{path.lstrip('.')} of <{kind.__module__}.{kind.__qualname__} object>"
        error.args = (f"{error.args[0]}: {where.replace('<builtins.', '<')}",)


def _search(obj, depth, deadline):
    """Yield the steps from `obj` to the deepest part of it that cannot be sent."""
    if depth == 0:
        return
    for step, part in _parts(obj):
        if time.monotonic() > deadline:
            return
        if not _sendable(part):
            yield step
            yield from _search(part, depth - 1, deadline)
            return


def _parts(obj):
    """Return the parts that pickling `obj` would visit, each with the step that leads to it."""
    if isinstance(obj, dict):
        return [(f"[{key!r:.40}]", value) for key, value in obj.items()]
    if isinstance(obj, (list, tuple, set, frozenset)):
        return [(f"[{index}]", item) for index, item in enumerate(obj)]
    parts = []
    for name in ("__self__", "__func__", "func", "args", "keywords"):
        if hasattr(type(obj), name):
            parts.append((f".{name}", getattr(obj, name, None)))
    cells = getattr(obj, "__closure__", None) or ()
    names = getattr(getattr(obj, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, cells):
        parts.append((f".{name}", getattr(cell, "cell_contents", None)))
    attributes = getattr(obj, "__dict__", {})
    if not isinstance(obj, type):
        parts.extend((f".{name}", value) for name, value in attributes.items())
    for kind in type(obj).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(obj, name):
                parts.append((f".{name}", getattr(obj, name)))
    return parts


def _sendable(obj):
    """Tell whether the codec would take `obj`."""
    for dump in (_dump, _dump_by_value):
        try:
            dump(obj)
            return True
        except Exception:
            continue
    return False


def _dump(obj):
    return _pickle.dumps(obj, protocol=5, buffer_callback=_discard)


def _dump_by_value(obj):
    return _by_value.dumps(obj, _discard, False, None)


def _discard(buffer):
    return False
