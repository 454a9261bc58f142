"""numpy's memory maps as arguments of `Parallel`: they travel by the name of their file.

A worker maps the same file, so that nothing is copied, and what it writes into a map that can be
written is there for all. That is how tasks fill an array that is too large to be returned.
"""

import sys

from ._core import _register_shared

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any

_is_known = False


def share() -> None:
    """See to it that memory maps are shared, if the program uses numpy."""
    global _is_known
    if not _is_known and "numpy" in sys.modules:
        from numpy import memmap

        _register_shared(memmap, _reduce)
        _is_known = True


def _reduce(array):
    root = array
    while type(root.base) is type(array):
        root = root.base
    name = getattr(root, "filename", None)
    if name is None or root.mode is None or not _is_within(array, root):
        return array.__reduce_ex__(5)
    start = root.offset + _address(array) - _address(root)
    # Made anew it would be emptied; what can be written can be written there too.
    mode = "r+" if root.mode == "w+" else root.mode
    writable = bool(array.flags.writeable)
    return _map, (str(name), mode, start, array.dtype, array.shape, array.strides, writable)


def _address(array):
    return array.__array_interface__["data"][0]


def _is_within(array, root):
    low = high = _address(array)
    for count, stride in zip(array.shape, array.strides, strict=True):
        reach = (count - 1) * stride
        low, high = (low + reach, high) if reach < 0 else (low, high + reach)
    # An array that runs backwards begins at its end; one of nothing is nowhere.
    first, last = _address(root), _address(root) + root.nbytes
    return array.size > 0 and first <= low == _address(array) and high + array.itemsize <= last


def _map(name, mode, start, dtype, shape, strides, writable):
    from numpy import memmap, ndarray

    length = sum((count - 1) * stride for count, stride in zip(shape, strides, strict=True))
    whole: Any = memmap(name, "uint8", mode, start, (length + dtype.itemsize,))
    array: Any = ndarray.__new__(memmap, shape, dtype, whole, 0, strides)
    array._mmap, array.filename, array.offset, array.mode = whole._mmap, whole.filename, start, mode
    array.flags.writeable = writable and mode != "r"
    return array
