"""Finding the part of an object that cannot be pickled: work for the error message only."""

import _pickle
import time

from phalanx import _by_value

#: How deep, and for how many seconds, the search goes on.
DEPTH = 12
SECONDS = 2.0


def add_location(error, obj):
    """Make the message of `error` name the culprit inside `obj` and the path to it, if found."""
    if len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    path, message = "", error.args[0]
    for step, refusal in _search(obj, DEPTH, time.monotonic() + SECONDS):
        path, message = path + step, refusal
    if path:
        error.args = (f"{message}: {path.lstrip('.')} of {_describe(obj)}",)


def _describe(obj):
    name = getattr(obj, "__qualname__", None)
    if isinstance(name, str):
        return f"<{type(obj).__name__} {name}>"
    kind = type(obj)
    return f"<{kind.__module__}.{kind.__qualname__} object>".replace("<builtins.", "<")


def _search(obj, depth, deadline):
    """Yield the steps from `obj` to the deepest part that cannot be sent, each with the reason."""
    if depth == 0:
        return
    for step, part in _parts(obj):
        if time.monotonic() > deadline:
            return
        refusal = _refusal(part)
        if refusal is not None:
            yield step, refusal
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
    for name, cell in zip(names, cells, strict=False):
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


def _refusal(obj):
    """Return why the codec would not take `obj`, or `None` if it would."""
    try:
        _dump(obj)
    except Exception as error:
        reason = str(error)
    else:
        return None
    try:
        _dump_by_value(obj)
    except Exception:
        return reason
    return None


def _dump(obj):
    return _pickle.dumps(obj, protocol=5, buffer_callback=_discard)


def _dump_by_value(obj):
    return _by_value.dumps(obj, _discard, False, None)


def _discard(buffer):
    return False
