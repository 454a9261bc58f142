"""How a cached value lies on the disk: a pickle, and beside it the bytes of its arrays.

Arrays are kept out of the pickle, each at a multiple of 64 bytes, so that a value is read at once and an
array can be mapped where it lies. The engine adds the checksums.
"""

import io
import pickle
import struct
import sys

#: What follows: how it is compressed, the number of arrays, the length of the pickle.
_HEAD = struct.Struct("<4sIQ")
#: Where an array begins, from the end of the pickle on, and its length.
_PLACE = struct.Struct("<QQ")
_ALIGN = 64
_PLAIN = b"\0\0\0\0"

#: Names for `compress`, and the module of each.
_MODULES = {"zlib": "zlib", "gzip": "zlib", "bz2": "bz2", "lzma": "lzma", "xz": "lzma"}


def check_compress(compress):
    """Return the name of the module that compresses and the level, or `None` for neither."""
    if not compress:
        return None
    name, level = compress if isinstance(compress, tuple) else ("zlib", compress)
    if isinstance(compress, str):
        name, level = compress, 3
    if name not in _MODULES:
        raise ValueError(f"cannot compress with {name!r}: choose one of {', '.join(sorted(_MODULES))}")
    level = 3 if level is True else level
    if not isinstance(level, int) or not 0 <= level <= 9:
        raise ValueError(f"cannot compress at level {level!r}: an int from 0 to 9 is expected")
    return (_MODULES[name], level) if level else None


def encode(value, compress):
    """Return the parts of which the stored form of a value consists."""
    stream, arrays = _dump(value)
    places, parts, end = [], [], 0
    for array in arrays:
        start = -(-end // _ALIGN) * _ALIGN
        if start > end:
            parts.append(bytes(start - end))
        parts.append(array)
        end = start + array.nbytes
        places.append(_PLACE.pack(start, array.nbytes))
    front = b"".join([*places, stream])
    if arrays:
        front += bytes(-(_HEAD.size + len(front)) % _ALIGN)
    chosen = check_compress(compress)
    if chosen:
        module, level = chosen
        head = _HEAD.pack(module.encode().ljust(4, b"\0"), len(arrays), len(stream))
        return [head, _compress(module, level, b"".join([front, *parts]))]
    return [_HEAD.pack(_PLAIN, len(arrays), len(stream)) + front, *parts]


def decode(entry, mmap_mode):
    """Return the value that an entry holds; its arrays are mapped if `mmap_mode` says how."""
    if mmap_mode is None:
        data = entry.read()
    else:
        with open(entry.path, "rb") as file:
            file.seek(entry.offset)
            head = file.read(_HEAD.size)
            tag, count, length = _HEAD.unpack(head)
            if tag == _PLAIN and count:
                entry.verify()
                front = head + file.read(count * _PLACE.size + length)
                return _load(front, count, length, _Mapped(entry, _front(count, length), mmap_mode))
        data = entry.read()
    tag, count, length = _HEAD.unpack_from(data)
    if tag != _PLAIN:
        body = _decompress(tag.rstrip(b"\0").decode(), memoryview(data)[_HEAD.size :])
        data = bytearray(_HEAD.pack(_PLAIN, count, length)) + body
    if not count:
        return pickle.loads(memoryview(data)[_HEAD.size :])
    return _load(data, count, length, _InMemory(data, _front(count, length)))


def _front(count, length):
    """Return where the first array begins."""
    return -(-(_HEAD.size + count * _PLACE.size + length) // _ALIGN) * _ALIGN


class _InMemory:
    """Makes arrays of a value that was read."""

    def __init__(self, data, start):
        self.data = data
        self.start = start

    def __call__(self, place, dtype, shape, order):
        import numpy

        start = self.start + place[0]
        return numpy.ndarray(shape, dtype, self.data, start, order=order)


class _Mapped:
    """Makes arrays that lie in the file."""

    def __init__(self, entry, front, mode):
        self.path = str(entry.path)
        self.start = entry.offset + front
        # To write to the file would damage the entry; what is written stays in memory.
        self.mode = "r" if mode == "r" else "c"

    def __call__(self, place, dtype, shape, order):
        import numpy

        start = self.start + place[0]
        return numpy.memmap(self.path, dtype, self.mode, start, shape, order)  # type: ignore[call-overload]


def _array(index, dtype, shape, order):
    """Stand for an array in the pickle."""
    raise pickle.UnpicklingError("a value of the cache can only be read by the cache")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, make):
        super().__init__(file)
        self._make = make

    def find_class(self, module, name):
        if module == __name__ and name == "_array":
            return self._make
        return super().find_class(module, name)


def _load(data, count, length, make):
    view = memoryview(data)[_HEAD.size :]
    places = list(_PLACE.iter_unpack(view[: count * _PLACE.size]))

    def array(index, dtype, shape, order):
        return make(places[index], dtype, shape, order)

    table = count * _PLACE.size
    return _Unpickler(io.BytesIO(view[table : table + length]), array).load()


class _Arrays:
    """Takes the arrays out of a pickle."""

    def __init__(self, numpy):
        self.numpy = numpy
        self.found = []

    def __call__(self, obj):
        kind = type(obj)
        numpy = self.numpy
        if kind is not numpy.ndarray and kind is not numpy.memmap:
            return NotImplemented
        if obj.dtype.hasobject or not obj.nbytes:
            return NotImplemented
        flags = obj.flags
        order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
        rows = obj.T if order == "F" else numpy.ascontiguousarray(obj)
        self.found.append(rows.reshape(-1).view(numpy.uint8).view(numpy.ndarray))
        return _array, (len(self.found) - 1, obj.dtype, obj.shape, order)


def _dump(value):
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "memmap"):
        return _dump_with(value, None)
    arrays = _Arrays(numpy)
    return _dump_with(value, arrays)


def _dump_with(value, arrays):
    """Pickle a value by names, or by what it consists of where names do not do."""
    try:
        if arrays is None:
            return pickle.dumps(value, 5), []
        file = io.BytesIO()
        pickler = _Pickler(file, 5)
        pickler.arrays = arrays
        pickler.dump(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        import cloudpickle  # type: ignore[import-untyped]

        if arrays is None:
            return cloudpickle.dumps(value, 5), []
        arrays.found.clear()
        file = io.BytesIO()

        class ByValue(cloudpickle.Pickler):
            def reducer_override(self, obj):
                reduced = arrays(obj)
                return super().reducer_override(obj) if reduced is NotImplemented else reduced

        ByValue(file, 5).dump(value)
    return file.getvalue(), arrays.found


class _Pickler(pickle.Pickler):
    arrays: "_Arrays"

    def reducer_override(self, obj):
        return self.arrays(obj)


def _compress(module, level, body):
    compressor = __import__(module)
    if module == "lzma":
        return compressor.compress(body, preset=level)
    return compressor.compress(body, level)


def _decompress(module, body):
    if module not in _MODULES:
        raise ValueError(f"the value is compressed with {module!r}, which is not known here")
    return __import__(module).decompress(body)
