"""Shared memory with a name, and a list in it."""

import struct
from functools import partial
from types import GenericAlias

from . import _core, resource_tracker

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["SharedMemory", "ShareableList"]

_USE_POSIX = True
_SHM_SAFE_NAME_LENGTH = 14
_SHM_NAME_PREFIX = "/psm_"


_make_filename = _core.some_segment_name


def _create(size):
    """Make memory under a name that nobody has."""
    while True:
        try:
            return _core.Segment(_make_filename(), size)
        except FileExistsError:
            pass


class SharedMemory:
    """Memory that any process of the same user can open by its name.

    With `create` it is made, zeroed, and `size` bytes of memory are reserved for it; without a name
    one is chosen. Otherwise what has the name is opened. It is mapped when `buf` is first asked for,
    which raises `OSError` if the process has no room for it. The memory stays until `unlink` is called,
    by any process; opening and closing it never removes it. What a program has made and not removed
    when all of its processes have ended, however that happened, is removed with a warning, unless
    `track` is false.

    >>> from phalanx.shared_memory import SharedMemory
    >>> made = SharedMemory(create=True, size=10)
    >>> opened = SharedMemory(made.name)
    >>> made.buf[0] = 7
    >>> opened.buf[0]
    7
    >>> opened.close()
    >>> made.close()
    >>> made.unlink()
    """

    # What an object has whose making failed.
    _name: "str | None" = None
    _mmap: "_core.Segment | None" = None
    #: Made when it is first asked for, and the memory is mapped then.
    _buf: memoryview | None = None
    _size = 0
    _track = True
    _prepend_leading_slash = True

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True
    ) -> None:
        if not size >= 0:
            raise ValueError("'size' must be a positive integer")
        if create and size == 0:
            raise ValueError("'size' must be a positive number different from zero")
        if name is None and not create:
            raise ValueError("'name' can only be None if create=True")
        self._track = track
        if name is None:
            segment = _create(size)
        else:
            name = "/" + name if self._prepend_leading_slash else name
            segment = _core.Segment(name, size if create else None)
        self._mmap = segment
        self._name = name = segment.name
        self._size = segment.size()
        if create and track:
            resource_tracker.register(name, "shared_memory")

    def __del__(self) -> None:
        try:
            self.close()
        except (OSError, BufferError):
            pass  # Views of the memory keep it mapped for as long as they live.

    def __reduce__(self):
        return self.__class__, (self.name, False, self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self.size})"

    @property
    def buf(self) -> memoryview:
        """A view of the memory; `None` once it is closed."""
        buf = self._buf
        if buf is None and self._mmap is not None:
            # Of threads that come here at once, all get the first one's.
            buf = vars(self).setdefault("_buf", memoryview(self._mmap))
        return buf  # type: ignore[return-value]

    @property
    def name(self) -> str:
        """The name by which others can open it."""
        name = self._name
        return name[1:] if self._prepend_leading_slash and name and name[0] == "/" else name  # type: ignore

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._size

    @property
    def _fd(self):
        return -1 if self._mmap is None else self._mmap.fileno()

    def close(self) -> None:
        """Close the memory in this process; it stays for others.

        Raises `BufferError` while there are other views of it than `buf`.
        """
        if self._buf is not None:
            self._buf.release()
            self._buf = None
        if self._mmap is not None:
            self._mmap.close()
            self._mmap = None

    def unlink(self) -> None:
        """Remove the name: once, by any process. The memory is freed when all have closed it."""
        if self._name:
            _core.remove_segment(self._name)
            if self._track:
                resource_tracker.unregister(self._name, "shared_memory")


_encoding = "utf8"
_WORD = 8
_NUL = b"\x00"

#: How each kind of value is packed; text and bytes have a room of their own size.
_FORMATS = {int: "q", float: "d", bool: "xxxxxxx?", type(None): "xxxxxx?x"}
_IS_OBJECT, _IS_TEXT, _IS_BYTES, _IS_NONE = range(4)


def _code(value):
    """Return the number that says what a value's bytes have to be made into."""
    if isinstance(value, str):
        return _IS_TEXT
    if isinstance(value, bytes):
        return _IS_BYTES
    return _IS_NONE if value is None else _IS_OBJECT


def _packed(value):
    return value.encode(_encoding) if isinstance(value, str) else value


def _format(value):
    """Return the format that a new item is packed with."""
    packed = _packed(value)
    if isinstance(packed, bytes):
        # As much as the standard library, or more where that would cut text short.
        room = max(len(value) // _WORD + 1, -(-len(packed) // _WORD))
        return f"{_WORD * room}s"
    return _FORMATS[type(value)]


class ShareableList:
    """A list of a fixed length in shared memory, of numbers, booleans, text, bytes and `None`.

    Items can be replaced, text and bytes only by such as fit into the room of the first. Zero bytes
    at their end are lost. The lists of the standard library have the same format.

    >>> from phalanx.shared_memory import ShareableList
    >>> made = ShareableList(["text", 1, 2.5, None])
    >>> opened = ShareableList(name=made.shm.name)
    >>> made[1] = -5
    >>> list(opened)
    ['text', -5, 2.5, None]
    >>> opened.shm.close()
    >>> made.shm.close()
    >>> made.shm.unlink()
    """

    # In shared memory: the length n; n + 1 offsets of the items' bytes; these; n formats of eight
    # bytes each; n codes of one byte each.

    def __init__(self, sequence: "Iterable[Any] | None" = None, *, name: str | None = None) -> None:
        if name is not None and sequence is None:
            self.shm = SharedMemory(name)
            self._list_len = len(self)
            self._allocated_offsets = list(struct.unpack_from(f"{self._list_len + 1}q", self.shm.buf, _WORD))
            return
        items = list(sequence or ())
        formats = [_format(item) for item in items]
        offsets = [0]
        for packing in formats:
            offsets.append(offsets[-1] + struct.calcsize(packing))
        self._list_len = len(items)
        self._allocated_offsets = offsets
        size = self._offset_back_transform_codes + self._list_len
        self.shm = SharedMemory(name, create=True, size=size)
        struct.pack_into(f"{self._list_len + 2}q", self.shm.buf, 0, self._list_len, *offsets)
        for position, (packing, item) in enumerate(zip(formats, items, strict=True)):
            self._put(position, packing, item)

    def _put(self, position, packing, value):
        offset = self._offset_data_start + self._allocated_offsets[position]
        struct.pack_into(packing, self.shm.buf, offset, _packed(value))
        formats = self._offset_packing_formats + position * _WORD
        struct.pack_into("8s", self.shm.buf, formats, packing.encode())
        struct.pack_into("b", self.shm.buf, self._offset_back_transform_codes + position, _code(value))

    def _position(self, position, message):
        position = position if position >= 0 else position + self._list_len
        if not 0 <= position < self._list_len:
            raise IndexError(message)
        return position

    def _get_packing_format(self, position):
        position = self._position(position, "Requested position out of range.")
        at = self._offset_packing_formats + position * _WORD
        return bytes(self.shm.buf[at : at + _WORD]).rstrip(_NUL).decode()

    def __getitem__(self, position: int) -> "Any":
        position = self._position(position, "index out of range")
        offset = self._offset_data_start + self._allocated_offsets[position]
        (value,) = struct.unpack_from(self._get_packing_format(position), self.shm.buf, offset)
        code = self.shm.buf[self._offset_back_transform_codes + position]
        if code == _IS_TEXT:
            return value.rstrip(_NUL).decode(_encoding)
        if code == _IS_BYTES:
            return value.rstrip(_NUL)
        return None if code == _IS_NONE else value

    def __setitem__(self, position: int, value: "Any") -> None:
        position = self._position(position, "assignment index out of range")
        packed = _packed(value)
        if isinstance(packed, bytes):
            room = self._allocated_offsets[position + 1] - self._allocated_offsets[position]
            if len(packed) > room:
                raise ValueError("bytes/str item exceeds available storage")
            packing = f"{room}s"
        else:
            packing = _FORMATS[type(value)]
        self._put(position, packing, value)

    def __reduce__(self):
        return partial(self.__class__, name=self.shm.name), ()

    def __len__(self) -> int:
        return struct.unpack_from("q", self.shm.buf, 0)[0]

    def __iter__(self) -> "Iterator[Any]":
        return (self[position] for position in range(self._list_len))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)}, name={self.shm.name!r})"

    @property
    def format(self) -> str:
        """The formats of all items, as the module `struct` has them."""
        return "".join(map(self._get_packing_format, range(self._list_len)))

    @property
    def _offset_data_start(self):
        return (self._list_len + 2) * _WORD

    @property
    def _offset_packing_formats(self):
        return self._offset_data_start + self._allocated_offsets[-1]

    @property
    def _offset_back_transform_codes(self):
        return self._offset_packing_formats + self._list_len * _WORD

    def count(self, value: "Any") -> int:
        """Return how many items are equal to the value."""
        return sum(value == item for item in self)

    def index(self, value: "Any") -> int:
        """Return the place of the first item that is equal to the value."""
        for position, item in enumerate(self):
            if value == item:
                return position
        raise ValueError(f"{value!r} not in this container")

    def __class_getitem__(cls, item: "Any") -> GenericAlias:
        return GenericAlias(cls, item)
