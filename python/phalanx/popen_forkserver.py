"""Starting a process as a copy of the forkserver, which the engine calls the zygote."""

from . import forkserver, popen_fork, spawn

__all__ = ["Popen"]


class _DupFd:
    """A descriptor that is sent to the child, which knows it by its place in the list."""

    def __init__(self, ind):
        self.ind = ind

    def detach(self):
        """In the child: return the descriptor."""
        return forkserver.get_inherited_fds()[self.ind]


class Popen(popen_fork.Popen):
    """A process started by the forkserver."""

    method = "forkserver"
    DupFd = _DupFd

    def __init__(self, process_obj):
        self._fds = []
        super().__init__(process_obj)

    def duplicate_for_child(self, fd):
        """Send a descriptor to the child; return its place in the child's list."""
        self._fds.append(fd)
        return len(self._fds) - 1

    def _launch(self, process_obj):
        def pack(place, process_obj):
            return spawn.pack(self, place, process_obj)

        forkserver._forkserver.start(pack, process_obj, self._fds, self._noting(process_obj))
