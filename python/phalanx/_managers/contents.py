"""What a manager's server makes: containers and values behind the proxies.

Dictionaries, lists, values and namespaces lie in shared memory as long as nothing is put into them that has to
stay in the server. Relatives of the server work on them without it; strangers, and clients of the
standard library, are served by the same objects, which behave as the built-in containers.
"""

import array
from _thread import allocate_lock

from .._core import SharedDict, SharedList, Unshareable
from .proxy import store

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


class Namespace:
    """An object with attributes."""

    def __init__(self, /, **kwds: "Any") -> None:
        self.__dict__.update(kwds)

    def __repr__(self):
        return _namespace_repr(self.__dict__)


def _namespace_repr(attributes):
    shown = sorted(f"{name}={value!r}" for name, value in attributes.items() if not name.startswith("_"))
    return f"Namespace({', '.join(shown)})"


class Value:
    """An object with one value."""

    def __init__(self, typecode: "Any", value: "Any", lock: bool = True) -> None:
        self._typecode = typecode
        self._value = value

    def get(self) -> "Any":
        return self._value

    def set(self, value: "Any") -> None:
        self._value = value

    def __repr__(self):
        return f"{type(self).__name__}({self._typecode!r}, {self._value!r})"

    value = property(get, set)


def Array(typecode: str, sequence: "Any", lock: bool = True) -> "Any":
    """Return an array."""
    return array.array(typecode, sequence)


def _on_content(name):
    """A method that is called on what is in shared memory, or no longer is."""

    def method(self, /, *args, **kwds):
        return self._on_content(name, args, kwds)

    method.__name__ = method.__qualname__ = name
    return method


class _Container:
    """A container in shared memory, until it is asked for what cannot be done there.

    Then its contents move here, and all who used it there are sent here.
    """

    def __init__(self, shared):
        self._shared = shared
        self._moved = None
        self._moving = allocate_lock()

    def _shared_part(self):
        return self._shared

    def _content(self):
        """Return what holds the contents."""
        return self._moved if self._shared is None else self._shared

    def _on_content(self, name, args, kwds):
        shared = self._shared
        if shared is not None:
            try:
                return store(getattr(shared, name), *args, **kwds)
            except Unshareable:
                self._move()
        return getattr(self._moved, name)(*args, **kwds)

    def _move(self):
        with self._moving:
            if self._shared is not None:
                self._moved = self._shared._retire()
                self._shared = None

    def _copied(self):
        return self._on_content("copy", (), {})

    def __repr__(self):
        return repr(self._copied())


class ManagedDict(_Container):
    """A dictionary."""

    def __init__(self, /, *args: "Any", **kwds: "Any") -> None:
        shared = SharedDict()
        shared._create()
        super().__init__(shared)
        if args or kwds:
            # One that cannot be shared moves at once.
            self._on_content("update", (dict(*args, **kwds),), {})

    def fromkeys(self, keys: "Any", value: "Any" = None) -> "dict[Any, Any]":
        return dict.fromkeys(keys, value)

    def __iter__(self):
        return iter(self._on_content("copy", (), {}))

    def __ior__(self, other):
        self._on_content("update", (other,), {})  # The proxy returns itself.

    def keys(self) -> "list[Any]":
        return list(self._on_content("keys", (), {}))

    def values(self) -> "list[Any]":
        return list(self._on_content("values", (), {}))

    def items(self) -> "list[Any]":
        return list(self._on_content("items", (), {}))


for _name in (
    *("__contains__", "__delitem__", "__getitem__", "__len__", "__setitem__", "clear", "copy", "get"),
    *("pop", "popitem", "setdefault", "update", "__or__", "__ror__", "__reversed__"),
):
    setattr(ManagedDict, _name, _on_content(_name))


class ManagedList(_Container):
    """A list."""

    def __init__(self, items: "Any" = (), /) -> None:
        shared = SharedList()
        shared._create()
        super().__init__(shared)
        if items != ():
            self._on_content("extend", (items,), {})

    def __imul__(self, count):
        self._on_content("__imul__", (count,), {})  # The proxy returns itself.

    def __iter__(self):
        return iter(self._copied())


for _name in (
    *("__add__", "__contains__", "__delitem__", "__getitem__", "__len__", "__mul__", "__reversed__"),
    *("__rmul__", "__setitem__", "append", "count", "extend", "index", "insert", "pop", "remove"),
    *("reverse", "sort", "clear", "copy"),
):
    setattr(ManagedList, _name, _on_content(_name))


class ManagedValue(_Container):
    """An object with one value."""

    def __init__(self, typecode: "Any", value: "Any", lock: bool = True) -> None:
        shared = SharedList()
        shared._create()
        super().__init__(shared)
        self._typecode = typecode
        self._on_content("append", (value,), {})

    def get(self) -> "Any":
        return self._on_content("__getitem__", (0,), {})

    def set(self, value: "Any") -> None:
        self._on_content("__setitem__", (0, value), {})

    value = property(get, set)

    def _copied(self):
        return Value(self._typecode, self.get())


class ManagedNamespace(_Container):
    """An object with attributes."""

    def __init__(self, /, **kwds: "Any") -> None:
        shared = SharedDict()
        shared._create()
        super().__init__(shared)
        self._on_content("update", (kwds,), {})

    def __getattr__(self, name):
        if name[0] == "_":
            raise AttributeError(name)
        try:
            return self._on_content("__getitem__", (name,), {})
        except KeyError:
            raise AttributeError(f"'Namespace' object has no attribute {name!r}") from None

    def __getattribute__(self, name):
        # Called by its name: an attribute that is not there is then looked for as by Python.
        try:
            return object.__getattribute__(self, name)
        except AttributeError:
            if name[0] == "_":
                raise
            return self.__getattr__(name)

    def __setattr__(self, name, value):
        if name[0] == "_":
            object.__setattr__(self, name, value)
        else:
            self._on_content("__setitem__", (name, value), {})

    def __delattr__(self, name):
        try:
            self._on_content("__delitem__", (name,), {})
        except KeyError:
            raise AttributeError(f"'Namespace' object has no attribute {name!r}") from None

    def _copied(self):
        return Namespace(**self._on_content("copy", (), {}))
