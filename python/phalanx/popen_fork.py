"""Starting a process as a copy of the calling one."""

import atexit
import os

from . import util
from ._core import fork, parent_sentinel

__all__ = ["Popen"]

_SIGINT, _SIGKILL, _SIGTERM = 2, 9, 15


def _live(process_obj):
    """Be the child of a fork, from its first step to its last."""
    code = 1
    try:
        # Functions to be called at exit: the parent's are not the child's, its own are.
        atexit._clear()
        code = process_obj._bootstrap(parent_sentinel=parent_sentinel())
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


class Popen:
    """A started process, as its `Process` object sees it."""

    method = "fork"

    def __init__(self, process_obj):
        util._flush_std_streams()
        self.returncode = None
        self.finalizer = None
        self._launch(process_obj)

    def _launch(self, process_obj):
        util._prepare_stdin()
        fork(lambda: _live(process_obj), self._noting(process_obj))

    def _noting(self, process_obj):
        """Return what the engine calls with its handle of the child, before anything can interrupt."""

        def started(child):
            self._child = child
            self.pid = child.pid
            self.sentinel = child.sentinel
            process_obj._popen = self

        return started

    def duplicate_for_child(self, fd):
        """Make a descriptor available to the child; return what the child knows it by."""
        return fd

    def poll(self, flag=os.WNOHANG):
        """Return the exit code; `None` if the process has not ended (or wait, with flag 0)."""
        if self.returncode is None:
            self.returncode = self._child.poll() if flag else self._child.wait()
        return self.returncode

    def wait(self, timeout=None):
        """Wait for the end and return the exit code; `None` when `timeout` is over."""
        if self.returncode is None:
            self.returncode = self._child.wait(timeout)
        return self.returncode

    def _send_signal(self, sig):
        if self.returncode is None:
            self._child.send_signal(sig)

    def interrupt(self):
        """Send `SIGINT`."""
        self._send_signal(_SIGINT)

    def terminate(self):
        """Send `SIGTERM`."""
        self._send_signal(_SIGTERM)

    def kill(self):
        """Send `SIGKILL`."""
        self._send_signal(_SIGKILL)

    def close(self):
        """Give up the descriptor of a process that has ended."""
        self._child.close()
