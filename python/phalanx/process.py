"""Process objects, and which of them stands for the running process."""

import itertools
import os
import sys
from _thread import _count

from . import _standard

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

__all__ = ["BaseProcess", "current_process", "active_children", "parent_process"]

ORIGINAL_DIR: str | None

try:
    ORIGINAL_DIR = os.path.abspath(os.getcwd())
except OSError:
    ORIGINAL_DIR = None


def current_process() -> "BaseProcess":
    """Return the object that stands for the running process."""
    return _current_process


def active_children() -> "list[BaseProcess]":
    """Return the list of this process's children that have not ended, joining those that have."""
    _cleanup()
    return list(_children)


def parent_process() -> "BaseProcess | None":
    """Return the object that stands for the parent process; `None` in the main process."""
    return _parent_process


def _cleanup():
    """Collect the children that have ended."""
    for child in list(_children):
        popen = child._popen
        if popen is not None and popen.poll() is not None:
            _children.discard(child)


class BaseProcess:
    """An activity that runs in a process of its own.

    Pass a `target` to be called there with `args` and `kwargs`, or override `run`. The interface is
    that of `threading.Thread`.

    >>> process = mp.Process(target=abs, args=(-1,))
    >>> process.start()
    >>> process.join()
    >>> process.exitcode
    0
    """

    #: The name of the start method that the class stands for.
    _start_method: str | None
    _identity: tuple[int, ...]
    _config: "dict[str, Any]"
    _parent_pid: int | None
    _popen: "Any"
    #: True while a child is being made from what its parent sent.
    _inheriting: bool
    #: Whether it works for a pool, whose owner tells of an interrupt for all.
    _is_worker = False
    #: Whether somebody asks it to end when it is not needed any more; if nobody has, it is ended at exit.
    _is_service = False

    @staticmethod
    def _Popen(process_obj: "Any") -> "Any":
        raise NotImplementedError

    # What a process that starts afresh finds in its environment beyond its parent's, before it imports.
    _environment: "Mapping[str, str] | None" = None

    def __init__(
        self,
        group: None = None,
        target: "Callable[..., object] | None" = None,
        name: str | None = None,
        args: "Iterable[Any]" = (),
        kwargs: "Mapping[str, Any] | None" = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        assert group is None, "group argument must be None for now"
        parent = _current_process
        self._identity = (*parent._identity, next(_process_counter))
        self._config = parent._config.copy()
        self._parent_pid = os.getpid()
        self._parent_name = parent.name
        self._popen = None
        self._closed = False
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs) if kwargs else {}
        self._name = name or f"{type(self).__name__}-{':'.join(map(str, self._identity))}"
        if daemon is not None:
            self.daemon = daemon
        __getattr__("_dangling").add(self)

    def _check_closed(self):
        if self._closed:
            raise ValueError("process object is closed")

    def run(self) -> None:
        """Do the work of the process: call the target. Override it to do something else."""
        if self._target:
            self._target(*self._args, **self._kwargs)

    def start(self) -> None:
        """Start the process. To be called at most once for an object.

        A daemonic process may have children too; they end with it.
        """
        self._check_closed()
        assert self._popen is None, "cannot start a process twice"
        assert self._parent_pid == os.getpid(), "can only start a process object created by current process"
        _cleanup()
        self._popen = self._Popen(self)
        self._sentinel = self._popen.sentinel
        # The target may refer to this object; both would live until the collector runs.
        del self._target, self._args, self._kwargs
        _children.add(self)

    def interrupt(self) -> None:
        """Ask the process to stop as Ctrl-C would: send it `SIGINT`."""
        self._check_closed()
        self._popen.interrupt()

    def terminate(self) -> None:
        """Ask the process to end: send it `SIGTERM`."""
        self._check_closed()
        self._popen.terminate()

    def kill(self) -> None:
        """End the process: send it `SIGKILL`."""
        self._check_closed()
        self._popen.kill()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process has ended, or `timeout` seconds."""
        self._check_closed()
        assert self._parent_pid == os.getpid(), "can only join a child process"
        assert self._popen is not None, "can only join a started process"
        if self._popen.wait(timeout) is not None:
            _children.discard(self)

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        self._check_closed()
        if self is _current_process:
            return True
        assert self._parent_pid == os.getpid(), "can only test a child process"
        if self._popen is None:
            return False
        if self._popen.poll() is None:
            return True
        _children.discard(self)
        return False

    def close(self) -> None:
        """Give up the resources of a process that has ended, or was never started.

        Raises `ValueError` while it runs. Of the methods and attributes most raise `ValueError`
        from then on.
        """
        if self._popen is not None:
            if self._popen.poll() is None:
                raise ValueError(
                    "Cannot close a process while it is still running. "
                    "You should first call join() or terminate()."
                )
            self._popen.close()
            self._popen = None
            del self._sentinel
            _children.discard(self)
        self._closed = True

    @property
    def name(self) -> str:
        """The process's name; it has no meaning and need not be unique."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        assert isinstance(name, str), "name must be a string"
        self._name = name

    @property
    def daemon(self) -> bool:
        """Whether the process is terminated when its parent exits, in place of being waited for."""
        return self._config.get("daemon", False)

    @daemon.setter
    def daemon(self, daemonic: bool) -> None:
        assert self._popen is None, "process has already started"
        self._config["daemon"] = daemonic

    @property
    def authkey(self) -> bytes:
        """The key by which connections of this family of processes authenticate."""
        return self._config["authkey"]

    @authkey.setter
    def authkey(self, authkey: bytes) -> None:
        self._config["authkey"] = AuthenticationString(authkey)

    @property
    def exitcode(self) -> int | None:
        """How the process ended: its code, or a signal's negative number; `None` before."""
        self._check_closed()
        return None if self._popen is None else self._popen.poll()

    @property
    def ident(self) -> int | None:
        """The process id; `None` before the start."""
        self._check_closed()
        if self is _current_process:
            return os.getpid()
        return self._popen and self._popen.pid

    pid = ident

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable once the process has ended."""
        self._check_closed()
        try:
            return self._sentinel
        except AttributeError:
            raise ValueError("process not started") from None

    def __repr__(self):
        exitcode = None
        if self is _current_process:
            status = "started"
        elif self._closed:
            status = "closed"
        elif self._parent_pid != os.getpid():
            status = "unknown"
        elif self._popen is None:
            status = "initial"
        else:
            exitcode = self._popen.poll()
            status = "started" if exitcode is None else "stopped"
        info = [type(self).__name__, f"name={self._name!r}"]
        if self._popen is not None:
            info.append(f"pid={self._popen.pid}")
        info += [f"parent={self._parent_pid}", status]
        if exitcode is not None:
            names = __getattr__("_exitcode_to_name")
            info.append(f"exitcode={names.get(exitcode, exitcode)}")
        if self.daemon:
            info.append("daemon")
        return f"<{' '.join(info)}>"

    def _bootstrap(self, parent_sentinel=None):
        """Become the running process, do its work, and return its exit code."""
        global _current_process, _parent_process, _process_counter, _children
        # An import statement would run code whose memory a forked child has to copy.
        context, util = sys.modules["phalanx.context"], sys.modules["phalanx.util"]

        try:
            if self._start_method is not None:
                context._force_start_method(self._start_method)
            _process_counter = itertools.count(1)
            _children = set()
            util._close_stdin()
            former = _current_process
            _current_process = self
            _parent_process = _ParentProcess(self._parent_name, self._parent_pid, parent_sentinel)
            _tell_neighbours(self._name)
            try:
                self._after_fork()
            finally:
                # Its finalizers must not run before the after-fork functions have.
                del former
            util.info("child process calling self.run()")
            try:
                self.run()
                exitcode = 0
            finally:
                _exit_neighbours()
                util._exit_function()
        except SystemExit as e:
            if e.code is None:
                exitcode = 0
            elif isinstance(e.code, int):
                exitcode = e.code
            else:
                sys.stderr.write(f"{e.code}\n")
                exitcode = 1
        except BaseException as e:
            exitcode = 1
            if self._is_worker and isinstance(e, KeyboardInterrupt):
                # The parent was interrupted too, and says so; one report is enough.
                return exitcode
            import traceback

            sys.stderr.write(f"Process {self.name}:\n")
            traceback.print_exc()
        finally:
            threading = sys.modules.get("threading")
            # Alone there is nobody to wait for: a forked child saves the pages that the look would copy.
            if threading is not None and _count() > 0:
                threading._shutdown()
            util.info("process exiting with exitcode %d", exitcode)
            util._flush_std_streams()
        return exitcode

    @staticmethod
    def _after_fork():
        util = sys.modules["phalanx.util"]
        util._finalizer_registry.clear()
        util._run_after_forkers()
        _run_neighbours_after_fork()


def start_worker(worker):
    """Start a process that its owner will know of when this returns, and nobody if it raises."""
    worker._is_service = True
    try:
        worker.start()
    except BaseException:
        # Ctrl-C, for one, when it had been started: it would take work, and nobody look after it.
        if getattr(worker, "_popen", None) is not None:  # programs' own classes need not have one
            worker.kill()
        raise


def _tell_neighbours(name):
    """Let `threading` and the standard library's `multiprocessing` know of the new process."""
    threading = sys.modules.get("threading")
    if threading is not None and getattr(threading, "_HAVE_THREAD_NATIVE_ID", False):
        threading.main_thread()._set_native_id()
    neighbour = _standard.loaded("process")
    if neighbour is not None:
        neighbour._children = set()
        # Log records take the name from here.
        neighbour.current_process()._name = name


def _run_neighbours_after_fork():
    """Do for the standard library's objects what its own forks do."""
    neighbour = _standard.loaded("util")
    if neighbour is not None:
        neighbour._finalizer_registry.clear()
        # What is empty is looked at from outside, which costs a forked child fewer copies of pages.
        if neighbour._afterfork_registry.data:
            neighbour._run_after_forkers()


def _exit_neighbours():
    """Let the standard library's objects finish: its queues send what they have been given."""
    neighbour = _standard.loaded("util")
    if neighbour is not None and (neighbour._finalizer_registry or _standard.loaded("process")._children):
        neighbour._exit_function()


class AuthenticationString(bytes):
    """A key that cannot be pickled by accident: only for a child that is being started."""

    def __reduce__(self):
        from .context import get_spawning_popen

        if get_spawning_popen() is None:
            raise TypeError("Pickling an AuthenticationString object is disallowed for security reasons")
        return AuthenticationString, (bytes(self),)


class _ParentProcess(BaseProcess):
    """Stands for the parent in its child: it can be watched, not controlled."""

    def __init__(self, name, pid, sentinel):
        self._identity = ()
        self._name = name
        self._pid = pid
        self._parent_pid = None
        self._popen = None
        self._closed = False
        self._sentinel = sentinel
        self._config = {}

    def is_alive(self) -> bool:
        """Return whether the parent process runs."""
        from ._core import wait_for_parent

        return not wait_for_parent(0)

    @property
    def ident(self) -> int | None:
        """The parent's process id."""
        return self._pid

    pid = ident

    def join(self, timeout: float | None = None) -> None:
        """Wait until the parent has ended, or `timeout` seconds."""
        from ._core import wait_for_parent

        wait_for_parent(timeout)


class _MainProcess(BaseProcess):
    """Stands for the process that nobody of this family started."""

    def __init__(self):
        self._identity = ()
        self._name = "MainProcess"
        self._parent_pid = None
        self._popen = None
        self._closed = False
        # All of it is inherited by descendants.
        self._config = {"authkey": AuthenticationString(os.urandom(32)), "semprefix": "/mp"}
        # Who has it shares our memory.
        self._config["family"] = os.urandom(16)

    def close(self) -> None:
        """Do nothing: the main process cannot be closed."""


_parent_process: "_ParentProcess | None" = None
_current_process: BaseProcess = _MainProcess()
_process_counter = itertools.count(1)
_children: set[BaseProcess] = set()
del _MainProcess


def _exitcode_names():
    """Map negative exit codes to the names of signals."""
    import _signal  # type: ignore[import-not-found]

    return {
        -number: f"-{name}" for name, number in vars(_signal).items() if name[:3] == "SIG" and "_" not in name
    }


def _weak_set():
    from _weakrefset import WeakSet

    from ._weak import undisturbed

    return undisturbed(WeakSet())


# Made when they are needed: a fresh child usually does without.
_LAZY = {"_exitcode_to_name": _exitcode_names, "_dangling": _weak_set}


def __getattr__(name):
    value = globals().get(name)
    if value is None and name in _LAZY:
        value = globals().setdefault(name, _LAZY[name]())
    if value is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return value
