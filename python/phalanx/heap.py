"""Runs of bytes in shared memory."""

import sys
from _thread import allocate_lock

from . import util
from ._core import SharedBlock

__all__ = ["BufferWrapper"]


class Arena:
    """Zeroed shared memory of its own, which a child that is started can be given."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._block = SharedBlock(size)

    fd = -1  # There is no file: the memory is the engine's.

    @property
    def buffer(self) -> memoryview:
        """A view of all of the memory."""
        return memoryview(self._block)


class Heap:
    """Hands out runs of bytes, each with an arena of its own: the engine's allocator is behind them."""

    _alignment = 8

    def __init__(self, size: int = 0) -> None:
        self._lock = allocate_lock()
        self._size = size
        self._n_mallocs = self._n_frees = 0
        # What is handed out, by arena; nothing that was given back is kept.
        self._allocated_blocks: dict[Arena, set[tuple[int, int]]] = {}
        self._len_to_seq: dict[int, list[tuple[Arena, int, int]]] = {}
        self._pending_free_blocks: list[tuple[Arena, int, int]] = []

    @property
    def _arenas(self):
        return list(self._allocated_blocks)

    @classmethod
    def _roundup(cls, n, alignment):
        return (n + alignment - 1) // alignment * alignment

    def malloc(self, size: int) -> tuple[Arena, int, int]:
        """Return an arena and the begin and end of at least `size` bytes in it."""
        if size < 0:
            raise ValueError(f"Size {size} out of range")
        if sys.maxsize <= size:
            raise OverflowError(f"Size {size} too large")
        size = self._roundup(max(size, 1), self._alignment)
        arena = Arena(size)
        self._n_mallocs += 1
        self._allocated_blocks[arena] = {(0, size)}
        return arena, 0, size

    def free(self, block: tuple[Arena, int, int]) -> None:
        """Give back what `malloc` has returned."""
        # No lock is taken: the garbage collector may come here at any time.
        if self._allocated_blocks.pop(block[0], None) is not None:
            self._n_frees += 1


class BufferWrapper:
    """`size` zeroed bytes in memory that processes share."""

    _heap = Heap()

    def __init__(self, size: int) -> None:
        block = BufferWrapper._heap.malloc(size)
        self._state = block, size
        util.Finalize(self, BufferWrapper._heap.free, args=(block,))

    def create_memoryview(self) -> memoryview:
        """Return a view of the bytes."""
        (arena, start, _stop), size = self._state
        return arena.buffer[start : start + size]
