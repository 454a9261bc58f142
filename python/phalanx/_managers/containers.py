"""Proxies of a manager's containers.

Where the container lies in shared memory the proxy works on that. If it is asked for what shared memory
cannot hold, a key that only its own class can compare, the container moves to the manager's server
for good, and its proxies follow.
"""

from collections.abc import MutableMapping, MutableSequence, MutableSet
from types import GenericAlias

from .._core import Unshareable
from .proxy import BaseProxy, MakeProxyType, store

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

#: Values of these types refer to no proxies.
_ATOMS = frozenset({int, str, float, bytes, bool, type(None)})


def _reader(name):
    """A method that is called in shared memory or else in the server."""

    def method(self, /, *args, **kwds):
        local = self._local
        if local is not None:
            try:
                return getattr(local, name)(*args, **kwds)
            except Unshareable:
                self._local = None
        return self._callmethod(name, args, kwds)

    method.__name__ = method.__qualname__ = name
    return method


def _writer(name):
    """The same, for a method that is given values to keep."""

    def method(self, /, *args, **kwds):
        local = self._local
        if local is not None:
            try:
                return store(getattr(local, name), *args, **kwds)
            except Unshareable:
                self._local = None
        return self._callmethod(name, args, kwds)

    method.__name__ = method.__qualname__ = name
    return method


def _container_type(name, readers, writers, served=()):
    """Return the base of a class of proxies."""
    base = MakeProxyType(name, (*readers, *writers, *served))
    for method in readers:
        setattr(base, method, _reader(method))
    for method in writers:
        setattr(base, method, _writer(method))
    base._takes_local = True
    return base


BaseListProxy: "Any" = _container_type(
    "BaseListProxy",
    (
        "__add__",
        "__contains__",
        "__delitem__",
        "__getitem__",
        "__len__",
        "__mul__",
        "__reversed__",
        "__rmul__",
        "count",
        "index",
        "pop",
        "remove",
        "reverse",
        "sort",
        "__imul__",
        "clear",
        "copy",
    ),
    ("__setitem__", "append", "extend", "insert"),
)


class ListProxy(BaseListProxy):
    """Stands for a list."""

    _local: "Any"

    def __getitem__(self, index: "Any") -> "Any":
        local = self._local
        if local is not None:
            try:
                return local[index]
            except Unshareable:
                self._local = None
        return self._callmethod("__getitem__", (index,))

    def __setitem__(self, index: "Any", value: "Any") -> None:
        local = self._local
        if local is not None:
            try:
                if type(value) in _ATOMS:
                    local[index] = value
                else:
                    store(local.__setitem__, index, value)
                return
            except Unshareable:
                self._local = None
        self._callmethod("__setitem__", (index, value))

    def __len__(self) -> int:
        local = self._local
        if local is not None:
            try:
                return len(local)
            except Unshareable:
                self._local = None
        return self._callmethod("__len__")

    def append(self, object: "Any") -> None:
        """Append an object."""
        local = self._local
        if local is not None:
            try:
                if type(object) in _ATOMS:
                    return local.append(object)
                return store(local.append, object)
            except Unshareable:
                self._local = None
        return self._callmethod("append", (object,))

    def __iadd__(self, value):
        self.extend(value)
        return self

    def __imul__(self, value):
        super().__imul__(value)
        return self

    __class_getitem__: "Any" = classmethod(GenericAlias)


MutableSequence.register(BaseListProxy)


_BaseDictProxy: "Any" = _container_type(
    "DictProxy",
    (
        "__contains__",
        "__delitem__",
        "__getitem__",
        "__iter__",
        "__len__",
        "clear",
        "copy",
        "get",
        "items",
        "keys",
        "pop",
        "popitem",
        "values",
        "__or__",
        "__ror__",
        "__reversed__",
    ),
    ("__setitem__", "setdefault", "update", "__ior__"),
    ("fromkeys",),
)
_BaseDictProxy._method_to_typeid_ = {"__iter__": "Iterator"}
MutableMapping.register(_BaseDictProxy)


class _Keys:
    """Iterates over the keys of a dictionary in shared memory, as long as it keeps its size."""

    def __init__(self, local):
        self._keys = iter(local)
        self._local = local
        self._len = self._keys.__length_hint__()

    def __iter__(self):
        return self

    def __next__(self):
        key = next(self._keys)
        if len(self._local) != self._len:
            raise RuntimeError("dictionary changed size during iteration")
        return key


class DictProxy(_BaseDictProxy):
    """Stands for a dictionary."""

    _local: "Any"

    def __iter__(self) -> "Any":
        local = self._local
        if local is not None:
            try:
                return _Keys(local)
            except Unshareable:
                self._local = None
        return self._callmethod("__iter__")

    def __getitem__(self, key: "Any") -> "Any":
        local = self._local
        if local is not None:
            try:
                return local[key]
            except Unshareable:
                self._local = None
        return self._callmethod("__getitem__", (key,))

    def get(self, key: "Any", default: "Any" = None) -> "Any":
        """Return the value of a key, or else the default."""
        local = self._local
        if local is not None:
            try:
                return local.get(key, default)
            except Unshareable:
                self._local = None
        return self._callmethod("get", (key, default))

    def __setitem__(self, key: "Any", value: "Any") -> None:
        local = self._local
        if local is not None:
            try:
                if type(value) in _ATOMS:
                    local[key] = value
                else:
                    store(local.__setitem__, key, value)
                return
            except Unshareable:
                self._local = None
        self._callmethod("__setitem__", (key, value))

    def __contains__(self, key: "Any") -> bool:
        local = self._local
        if local is not None:
            try:
                return key in local
            except Unshareable:
                self._local = None
        return self._callmethod("__contains__", (key,))

    def __len__(self) -> int:
        local = self._local
        if local is not None:
            try:
                return len(local)
            except Unshareable:
                self._local = None
        return self._callmethod("__len__")

    def __ior__(self, value):
        super().__ior__(value)
        return self

    __class_getitem__: "Any" = classmethod(GenericAlias)


_BaseSetProxy: "Any" = MakeProxyType(
    "BaseSetProxy",
    (
        "__and__",
        "__class_getitem__",
        "__contains__",
        "__eq__",
        "__ge__",
        "__gt__",
        "__iand__",
        "__ior__",
        "__isub__",
        "__iter__",
        "__ixor__",
        "__le__",
        "__len__",
        "__lt__",
        "__or__",
        "__rand__",
        "__ror__",
        "__rsub__",
        "__rxor__",
        "__sub__",
        "__xor__",
        "add",
        "clear",
        "copy",
        "difference",
        "difference_update",
        "discard",
        "intersection",
        "intersection_update",
        "isdisjoint",
        "issubset",
        "issuperset",
        "pop",
        "remove",
        "symmetric_difference",
        "symmetric_difference_update",
        "union",
        "update",
    ),
)
_BaseSetProxy._method_to_typeid_ = {"__iter__": "Iterator"}
MutableSet.register(_BaseSetProxy)


class SetProxy(_BaseSetProxy):
    """Stands for a set."""

    def __ior__(self, value):
        self._callmethod("__ior__", (value,))
        return self

    def __iand__(self, value):
        self._callmethod("__iand__", (value,))
        return self

    def __ixor__(self, value):
        self._callmethod("__ixor__", (value,))
        return self

    def __isub__(self, value):
        self._callmethod("__isub__", (value,))
        return self

    __hash__ = BaseProxy.__hash__
    __class_getitem__: "Any" = classmethod(GenericAlias)


class NamespaceProxy(BaseProxy):
    """Stands for an object with attributes."""

    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__")
    _takes_local = True

    def __getattr__(self, key: str) -> "Any":
        if key[0] == "_":
            return object.__getattribute__(self, key)
        local = self._local
        if local is not None:
            try:
                return local[key]
            except KeyError:
                raise AttributeError(f"'Namespace' object has no attribute {key!r}") from None
            except Unshareable:
                self._local = None
        return self._callmethod("__getattribute__", (key,))

    def __setattr__(self, key: str, value: "Any") -> None:
        if key[0] == "_":
            return object.__setattr__(self, key, value)
        local = self._local
        if local is not None:
            try:
                return store(local.__setitem__, key, value)
            except Unshareable:
                self._local = None
        return self._callmethod("__setattr__", (key, value))

    def __delattr__(self, key: str) -> None:
        if key[0] == "_":
            return object.__delattr__(self, key)
        local = self._local
        if local is not None:
            try:
                del local[key]
                return None
            except KeyError:
                raise AttributeError(f"'Namespace' object has no attribute {key!r}") from None
            except Unshareable:
                self._local = None
        return self._callmethod("__delattr__", (key,))


class ValueProxy(BaseProxy):
    """Stands for a value."""

    _exposed_ = ("get", "set")
    _takes_local = True

    def get(self) -> "Any":
        """Return the value."""
        local = self._local
        if local is not None:
            return local[0]
        return self._callmethod("get")

    def set(self, value: "Any") -> None:
        """Set the value."""
        local = self._local
        if local is None:
            return self._callmethod("set", (value,))
        if type(value) in _ATOMS:
            local[0] = value
            return None
        return store(local.__setitem__, 0, value)

    value = property(get, set)

    __class_getitem__: "Any" = classmethod(GenericAlias)
