"""The server of a `SharedMemoryManager`, which removes the memory of its clients when it ends."""

from .. import util
from .server import Server

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from typing import Any


class _SharedMemoryTracker:
    """The shared memory blocks that a server removes when it ends."""

    def __init__(self, name, segment_names=None):
        self.shared_memory_context_name = name
        self.segment_names = [] if segment_names is None else segment_names

    def register_segment(self, segment_name):
        """Remember a block."""
        util.debug("Register segment %r", segment_name)
        self.segment_names.append(segment_name)

    def destroy_segment(self, segment_name):
        """Remove a block."""
        from ..shared_memory import SharedMemory

        util.debug("Destroy segment %r", segment_name)
        self.segment_names.remove(segment_name)
        segment = SharedMemory(segment_name)
        segment.close()
        segment.unlink()

    def unlink(self):
        """Remove all blocks."""
        for segment_name in self.segment_names[:]:
            self.destroy_segment(segment_name)

    def __del__(self):
        self.unlink()

    def __getstate__(self):
        return (self.shared_memory_context_name, self.segment_names)

    def __setstate__(self, state):
        self.shared_memory_context_name, self.segment_names = state


class SharedMemoryServer(Server):
    """A server that removes the shared memory blocks of its clients when it ends."""

    public = [*Server.public, "track_segment", "release_segment", "list_segments"]  # noqa: RUF012

    def __init__(self, *args: "Any", **kwargs: "Any") -> None:
        import os

        Server.__init__(self, *args, **kwargs)
        address = self.address
        if isinstance(address, bytes):
            address = os.fsdecode(address)
        self.shared_memory_context = _SharedMemoryTracker(f"shm_{address}_{os.getpid()}")

    def create(self, c: "Any", typeid: str, /, *args: "Any", **kwargs: "Any") -> "Any":
        """Make an object; return its id and the names of its methods."""
        if hasattr(self.registry[typeid][-1], "_shared_memory_proxy"):
            kwargs["shared_memory_context"] = self.shared_memory_context
        return Server.create(self, c, typeid, *args, **kwargs)

    def shutdown(self, c: "Any") -> None:
        """Remove all blocks and end the server."""
        self.shared_memory_context.unlink()
        Server.shutdown(self, c)

    def track_segment(self, c: "Any", segment_name: str) -> None:
        """Remove this block too when the server ends."""
        self.shared_memory_context.register_segment(segment_name)

    def release_segment(self, c: "Any", segment_name: str) -> None:
        """Remove a block now."""
        self.shared_memory_context.destroy_segment(segment_name)

    def list_segments(self, c: "Any") -> list[str]:
        """Return the names of the blocks."""
        return self.shared_memory_context.segment_names
