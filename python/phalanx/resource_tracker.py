"""Removing what a program leaves behind when it is killed: shared memory with a name.

A small process of its own does that once the program has ended, however it ended. It is started when
the first segment is made, and serves the children too.
"""

import os
import sys
from _thread import RLock

from . import _core, spawn, util

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ensure_running", "register", "unregister"]

#: The longest line. A pipe takes it in one piece, even if its name is in digits.
_LONGEST = 512


def cleanup_noop(name):
    """Refuse: nothing of this kind is ever registered."""
    raise RuntimeError("noop should never be registered or cleaned up")


def _ignore(name):
    """Remove nothing: for tests."""


def _remove_semaphore(name):
    """Remove a semaphore of the standard library's."""
    os.unlink(f"/dev/shm/sem.{name.lstrip('/')}")


#: How to remove what is left of each kind.
_CLEANUP_FUNCS: "dict[str, Callable[[str], object]]" = {
    "noop": cleanup_noop,
    "semaphore": _remove_semaphore,
    "shared_memory": _core.remove_segment,
}
if sys.version_info >= (3, 13):
    _CLEANUP_FUNCS["dummy"] = _ignore


class ResourceTracker:
    """The process that removes what others leave behind, seen from one of the others."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._fd: int | None = util._tracker_fd
        self._pid: int | None = None
        self._exitcode: int | None = None

    def _stop(self):
        with self._lock:
            if self._fd is None:
                return
            # It ends when nobody can write to it any more.
            os.close(self._fd)
            self._fd = None
            self._reap()

    def _reap(self):
        pid, self._pid, self._exitcode = self._pid, None, None
        if pid is not None:
            try:
                self._exitcode = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except ChildProcessError:
                pass  # Another process has started it.

    def getfd(self) -> int:
        """Return the descriptor that the tracker's lines are written to."""
        self.ensure_running()
        assert self._fd is not None
        return self._fd

    def ensure_running(self) -> None:
        """Start the tracker unless it runs."""
        with self._lock:
            if self._fd is not None:
                if self._check_alive():
                    return
                os.close(self._fd)
                self._fd = None
                self._reap()
                import warnings

                warnings.warn(
                    "resource_tracker: process died unexpectedly, relaunching.  Some resources might leak.",
                    stacklevel=2,
                )
            self._start()

    def _start(self):
        root: int | None = _core.first_process()
        # The tracker of the first process sees by its pipe that all the others have ended.
        root = None if root == os.getpid() else root
        read, write = os.pipe()
        try:
            passed = [read]
            try:
                passed.append(sys.stderr.fileno())
            except (AttributeError, OSError, ValueError):
                pass
            program = f"from phalanx.resource_tracker import main; main({read}, {root})"
            executable = spawn.get_executable()
            command = [executable, *util._args_from_interpreter_flags(), "-c", program]
            path, arguments = spawn.encode_command(command)
            self._pid = _core.spawnv_passfds(path, arguments, passed, True)
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        self._fd = write

    def _check_alive(self):
        try:
            assert self._fd is not None
            os.write(self._fd, b"PROBE:0:noop\n")
        except OSError:
            return False
        return True

    def register(self, name: str, rtype: str) -> None:
        """Have the tracker remove what has the name if nobody else does."""
        self._send("REGISTER", name, rtype)

    def unregister(self, name: str, rtype: str) -> None:
        """Let the tracker forget a name."""
        # One that does not run knows of nothing.
        if self._fd is not None:
            self._send("UNREGISTER", name, rtype)

    def _send(self, command, name, rtype):
        if len(f"{command}:{name}:{rtype}\n".encode()) > _LONGEST:
            raise ValueError("msg too long")
        if not (name.isascii() and name.isprintable()):
            command, name = f"{command}-HEX", name.encode().hex()
        line = f"{command}:{name}:{rtype}\n".encode("ascii")
        if self._fd is not None:
            try:
                os.write(self._fd, line)
                return
            except OSError:
                pass
        self.ensure_running()
        assert self._fd is not None
        os.write(self._fd, line)


_resource_tracker = ResourceTracker()
ensure_running = _resource_tracker.ensure_running
register = _resource_tracker.register
unregister = _resource_tracker.unregister
getfd = _resource_tracker.getfd


def main(fd: int, root: int | None = None) -> None:
    """Be the tracker that reads from the descriptor, and exit.

    With `root` it also waits for the end of that process.
    """
    import signal

    # Ctrl-C and `kill` are meant for the program, whose end is still to be seen.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    # Whoever reads the program's output is not to wait for the tracker.
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    bad = []

    def complain(text):
        bad.append(text)
        sys.stderr.write(f"resource_tracker: {text}\n")

    left = _core.track(fd, root, _CLEANUP_FUNCS, complain)
    failed = False
    for rtype, names in left.items():
        if rtype != "dummy":
            _warn(
                f"resource_tracker: There appear to be {len(names)} leaked {rtype} objects "
                f"to clean up at shutdown: {set(names)}"
            )
        for name in names:
            try:
                _CLEANUP_FUNCS[rtype](name)
            except Exception as e:
                failed = True
                _warn(f"resource_tracker: {name!r}: {e}")
    sys.exit(2 if failed else 1 if left else 3 if bad else 0)


def _warn(text):
    import warnings

    warnings.warn(text, stacklevel=2)
