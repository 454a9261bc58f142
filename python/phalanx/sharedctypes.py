"""`ctypes` objects in memory that processes share, with and without a lock."""

from . import _core
from .context import assert_spawning

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

    from .context import BaseContext

__all__ = ["RawValue", "RawArray", "Value", "Array", "copy", "synchronized"]

#: Type codes whose values need no `ctypes` object to be read and written, and their sizes.
_NUMBERS = {
    "b": 1,
    "B": 1,
    "h": 2,
    "H": 2,
    "i": 4,
    "I": 4,
    "l": 8,
    "L": 8,
    "q": 8,
    "Q": 8,
    "f": 4,
    "d": 8,
    "?": 1,
}

_CTYPES = {
    "c": "c_char",
    "u": "c_wchar",
    "b": "c_byte",
    "B": "c_ubyte",
    "h": "c_short",
    "H": "c_ushort",
    "i": "c_int",
    "I": "c_uint",
    "l": "c_long",
    "L": "c_ulong",
    "q": "c_longlong",
    "Q": "c_ulonglong",
    "f": "c_float",
    "d": "c_double",
}


def __getattr__(name):
    if name == "typecode_to_type":
        import ctypes

        return {code: getattr(ctypes, type_) for code, type_ in _CTYPES.items()}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _type_of(typecode_or_type):
    if typecode_or_type in _CTYPES:
        import ctypes

        return getattr(ctypes, _CTYPES[typecode_or_type])
    return typecode_or_type


def _new_value(type_):
    import ctypes

    try:
        size = ctypes.sizeof(type_)
    except TypeError as error:
        codes = ", ".join(_CTYPES)
        raise TypeError(f"bad typecode (must be a ctypes type or one of {codes})") from error
    return rebuild_ctype(type_, _core.SharedBlock(size), None)


def RawValue(typecode_or_type: "Any", *args: "Any") -> "Any":
    """Return a `ctypes` object in shared memory."""
    obj = _new_value(_type_of(typecode_or_type))
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type: "Any", size_or_initializer: "Any") -> "Any":
    """Return a `ctypes` array in shared memory, zeroed or with the given items."""
    type_ = _type_of(typecode_or_type)
    if isinstance(size_or_initializer, int):
        return _new_value(type_ * size_or_initializer)
    array = _new_value(type_ * len(size_or_initializer))
    array.__init__(*size_or_initializer)
    return array


def _lock_for(lock, ctx):
    if lock is True or lock is None:
        if ctx is None:
            from .synchronize import RLock

            return RLock()
        return ctx.RLock()
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return lock


def Value(
    typecode_or_type: "Any", *args: "Any", lock: "Any" = True, ctx: "BaseContext | None" = None
) -> "Any":
    """Return a `ctypes` object in shared memory, with a lock unless `lock` is false.

    The first argument is a type of `ctypes` or the code of one, as in the module `array`; the others
    initialise it.

    >>> value = mp.Value("i", 3)
    >>> with value.get_lock():
    ...     value.value += 1
    >>> value.value
    4
    """
    if lock is False:
        return RawValue(typecode_or_type, *args)
    code = _number_code(typecode_or_type)
    if code is None:
        return synchronized(RawValue(typecode_or_type, *args), _lock_for(lock, ctx), ctx)
    block = _core.SharedBlock(_NUMBERS[code])
    value = _number(block, code, typecode_or_type, _lock_for(lock, ctx))
    if args:
        (value.value,) = args
    return value


def _number_code(typecode_or_type):
    if isinstance(typecode_or_type, str):
        return typecode_or_type if typecode_or_type in _NUMBERS and typecode_or_type != "?" else None
    # The simple types of ctypes name their code; classes derived from them may do more.
    code = typecode_or_type.__dict__.get("_type_") if isinstance(typecode_or_type, type) else None
    simple = typecode_or_type.__module__ == "ctypes" and isinstance(code, str)
    return code if simple and code in _NUMBERS else None


def _number(block, code, kind, lock):
    value = Synchronized.__new__(Synchronized)
    value._number(block, code, kind, lock)
    return value


def Array(
    typecode_or_type: "Any",
    size_or_initializer: "Any",
    *,
    lock: "Any" = True,
    ctx: "BaseContext | None" = None,
) -> "Any":
    """Return a `ctypes` array in shared memory, with a lock unless `lock` is false.

    The second argument is its length, for zeroes, or its items.

    >>> array = mp.Array("d", [1.0, 2.0])
    >>> array[1] = 5
    >>> array[:]
    [1.0, 5.0]
    """
    array = RawArray(typecode_or_type, size_or_initializer)
    return array if lock is False else synchronized(array, _lock_for(lock, ctx), ctx)


def copy(obj: "Any") -> "Any":
    """Return a copy of a `ctypes` object, in shared memory."""
    import ctypes

    new = _new_value(type(obj))
    ctypes.pointer(new)[0] = obj
    return new


def synchronized(obj: "Any", lock: "Any" = None, ctx: "BaseContext | None" = None) -> "Any":
    """Return a wrapper of a `ctypes` object that takes a lock for each access."""
    import ctypes

    assert not isinstance(obj, SynchronizedBase), "object already synchronized"
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        if obj._type_ is ctypes.c_char:
            return SynchronizedString(obj, lock, ctx)
        return SynchronizedArray(obj, lock, ctx)
    cls = class_cache.get(type(obj))
    if cls is None:
        properties = {field[0]: make_property(field[0]) for field in type(obj)._fields_}
        name = "Synchronized" + type(obj).__name__
        cls = class_cache[type(obj)] = type(name, (SynchronizedBase,), properties)
    return cls(obj, lock, ctx)


class_cache: dict[type, type] = {}


def make_property(name):
    """Return a property that reads and writes an attribute of the wrapped object."""
    return property(
        lambda self: self._get_attribute(name), lambda self, value: self._set_attribute(name, value)
    )


def reduce_ctype(obj):
    """Reduce a shared `ctypes` object for a process that is being started."""
    assert_spawning(obj)
    if hasattr(obj, "_length_"):
        return rebuild_ctype, (obj._type_, obj._wrapper, obj._length_)
    return rebuild_ctype, (type(obj), obj._wrapper, None)


def rebuild_ctype(type_, wrapper, length):
    """Return the `ctypes` object of a type over a block of shared memory."""
    type_ = _type_of(type_)
    if length is not None:
        type_ = type_ * length
    _core.register_inherited(type_, reduce_ctype)
    obj = type_.from_buffer(wrapper)
    obj._wrapper = wrapper
    return obj


class SynchronizedBase(_core.SynchronizedBase):
    """A `ctypes` object in shared memory together with its lock."""

    def __init__(self, obj: "Any", lock: "Any" = None, ctx: "BaseContext | None" = None) -> None:
        self._wrap(obj, _lock_for(lock, ctx))

    def __reduce__(self):
        assert_spawning(self)
        return synchronized, (self._obj, self._lock)


class Synchronized(SynchronizedBase):
    """A single value with its lock."""

    value = _core._value_property()

    def __reduce__(self):
        assert_spawning(self)
        parts = self._number_parts()
        if parts is None:
            return super().__reduce__()
        block, kind = parts
        return _number, (block, _number_code(kind), kind, self._lock)


class SynchronizedArray(SynchronizedBase):
    """An array with its lock, which is taken for each access."""

    __getitem__ = _core.SynchronizedBase._get_item
    __setitem__ = _core.SynchronizedBase._set_item

    def __len__(self) -> int:
        return len(self._obj)

    def __getslice__(self, start, stop):
        return self[start:stop]

    def __setslice__(self, start, stop, values):
        self[start:stop] = values


class SynchronizedString(SynchronizedArray):
    """An array of characters with its lock."""

    value = make_property("value")
    raw = make_property("raw")
