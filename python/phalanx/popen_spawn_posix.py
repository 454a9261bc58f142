"""Starting a process with a fresh interpreter."""

from . import popen_fork, spawn
from ._core import Spawning

__all__ = ["Popen"]


class _DupFd:
    """A descriptor that the child inherits under the same number."""

    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        """In the child: return the descriptor."""
        return self.fd


class Popen(popen_fork.Popen):
    """A process started with a fresh interpreter."""

    method = "spawn"
    DupFd = _DupFd

    def __init__(self, process_obj):
        self._fds = []
        super().__init__(process_obj)

    def duplicate_for_child(self, fd):
        """Let the child inherit a descriptor; return its number there."""
        self._fds.append(fd)
        return fd

    def _launch(self, process_obj):
        place = Spawning()
        payload = spawn.pack(self, place, process_obj)
        command = spawn.get_command_line(fd="{fd}")
        place.spawn(*spawn.encode_command(command), payload, self._fds, self._noting(process_obj))
