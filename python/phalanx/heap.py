"""Runs of bytes in shared memory."""

from ._core import SharedBlock

__all__ = ["BufferWrapper"]


class BufferWrapper:
    """`size` zeroed bytes in memory that processes share."""

    def __init__(self, size):
        if size < 0:
            raise ValueError(f"Size {size} out of range")
        self._block = SharedBlock(size)

    def create_memoryview(self):
        """Return a view of the bytes."""
        return memoryview(self._block)
