"""Finalizers, after-fork functions, logging, and what happens when a process exits."""

import atexit
import itertools
import os
import sys
from _thread import _local, allocate_lock
from _weakref import ref
from time import monotonic

from . import process
from ._core import WeakCallback
from ._std_streams import (
    _close_stdin as _close_stdin,
    _flush_std_streams as _flush_std_streams,
    _prepare_stdin as _prepare_stdin,
)

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from logging import Logger
    from typing import Any

__all__ = [
    "sub_debug",
    "debug",
    "info",
    "sub_warning",
    "warn",
    "get_logger",
    "log_to_stderr",
    "get_temp_dir",
    "register_after_fork",
    "is_exiting",
    "Finalize",
    "ForkAwareThreadLock",
    "ForkAwareLocal",
    "close_all_fds_except",
    "SUBDEBUG",
    "SUBWARNING",
]

NOTSET = 0
SUBDEBUG = 5
DEBUG = 10
INFO = 20
SUBWARNING = 25
WARNING = 30

LOGGER_NAME = "phalanx"
DEFAULT_LOGGING_FORMAT = "[%(levelname)s/%(processName)s] %(message)s"

_logger: "Logger | None" = None
#: What a parent that is no copy of this process has passed on of its resource tracker.
_tracker_fd: int | None = None
_log_to_stderr = False


def sub_debug(msg: object, *args: object) -> None:
    """Log a message below the level `DEBUG`."""
    if _logger:
        _logger.log(SUBDEBUG, msg, *args, stacklevel=2)


def debug(msg: object, *args: object) -> None:
    """Log a message at the level `DEBUG`."""
    if _logger:
        _logger.log(DEBUG, msg, *args, stacklevel=2)


def info(msg: object, *args: object) -> None:
    """Log a message at the level `INFO`."""
    if _logger:
        _logger.log(INFO, msg, *args, stacklevel=2)


def sub_warning(msg: object, *args: object) -> None:
    """Log a message below the level `WARNING`."""
    if _logger:
        _logger.log(SUBWARNING, msg, *args, stacklevel=2)


def warn(msg: object, *args: object) -> None:
    """Log a message at the level `WARNING`."""
    if _logger:
        _logger.log(WARNING, msg, *args, stacklevel=2)


def _name_process(record):
    """Put the name of the running process into a log record."""
    record.processName = process.current_process().name
    return True


def get_logger() -> "Logger":
    """Return the package's logger, which is made at the first call."""
    global _logger
    import logging

    if not _logger:
        logger = logging.getLogger(LOGGER_NAME)
        logger.propagate = False
        logger.addFilter(_name_process)
        # Handlers are closed by logging's own exit function: ours has to run before it.
        atexit.unregister(_exit_function)
        atexit.register(_exit_function)
        _logger = logger
    return _logger


def log_to_stderr(level: int | str | None = None) -> "Logger":
    """Let the package's logger write to standard error; return it."""
    global _log_to_stderr
    import logging

    logger = get_logger()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(DEFAULT_LOGGING_FORMAT))
    logger.addHandler(handler)
    if level:
        logger.setLevel(level)
    _log_to_stderr = True
    return logger


abstract_sockets_supported = sys.platform == "linux"


def is_abstract_socket_namespace(address):
    """Return whether the address of a local socket lies in no file system."""
    if not address:
        return False
    if isinstance(address, bytes):
        return address[0] == 0
    if isinstance(address, str):
        return address[0] == "\0"
    raise TypeError(f"address type of {address!r} unrecognized")


def _remove_temp_dir(rmtree, tempdir):
    rmtree(tempdir, ignore_errors=True)
    current = process.current_process()
    if current is not None:
        current._config["tempdir"] = None


#: How long the path of a folder for temporary folders may be, so that sockets can have addresses in those.
_LONGEST_BASE = 107 - len("/pymp-xxxxxxxx") - len("/listener-") - 16


def _short_enough(base):
    if len(os.fsencode(base)) <= _LONGEST_BASE:
        return base
    usual = (path for path in ("/tmp", "/var/tmp", "/usr/tmp") if os.access(path, os.W_OK | os.X_OK))
    return next(usual, base)


def get_temp_dir() -> str:
    """Return a folder that is removed when the process exits."""
    config = process.current_process()._config
    tempdir = config.get("tempdir")
    if tempdir is None:
        import shutil
        import tempfile

        tempdir = tempfile.mkdtemp(prefix="pymp-", dir=_short_enough(tempfile.gettempdir()))
        info("created temp directory %s", tempdir)
        Finalize(None, _remove_temp_dir, args=(shutil.rmtree, tempdir), exitpriority=-100)
        config["tempdir"] = tempdir
    return tempdir


_afterfork_counter = itertools.count()


def __getattr__(name):
    if name == "_afterfork_registry":
        # Made when it is needed: a fresh child usually does without the import.
        from weakref import WeakValueDictionary

        from ._weak import undisturbed

        return globals().setdefault(name, undisturbed(WeakValueDictionary()))
    if name == "_args_from_interpreter_flags":
        from ._flags import _args_from_interpreter_flags

        return globals().setdefault(name, _args_from_interpreter_flags)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register_after_fork(obj: "Any", func: "Callable[[Any], object]") -> None:
    """Call `func(obj)` in forked children at their start, as long as `obj` lives."""
    registry = __getattr__("_afterfork_registry")
    registry[(next(_afterfork_counter), id(obj), func)] = obj


def _run_after_forkers():
    registry = globals().get("_afterfork_registry")
    if not registry:
        return
    for (_, _, func), obj in sorted(registry.items(), key=lambda item: item[0][:2]):
        try:
            func(obj)
        except Exception as e:
            info("after forker raised exception %s", e)


_finalizer_registry: "dict[Any, Finalize]" = {}
_finalizer_counter = itertools.count()


class Finalize:
    """Call a function once: when an object dies, when asked to, or when the process exits.

    With an `exitpriority` it is called at exit at the latest, those of high priority first and the
    latest first among equals. A forked child does not call what its parent registered.
    """

    def __init__(
        self,
        obj: "Any",
        callback: "Callable[..., Any]",
        args: "Iterable[Any]" = (),
        kwargs: "dict[str, Any] | None" = None,
        exitpriority: int | None = None,
    ) -> None:
        if exitpriority is not None and not isinstance(exitpriority, int):
            raise TypeError(
                f"Exitpriority ({exitpriority!r}) must be None or int, not {type(exitpriority)!s}"
            )
        self._weakref: Any
        self._args: Any
        self._kwargs: Any
        self._callback: Any
        self._key: Any
        if obj is None and exitpriority is None:
            raise ValueError("Without object, exitpriority cannot be None")
        self._callback = callback
        self._args = args
        self._kwargs = kwargs or {}
        self._pid = os.getpid()
        self._key = (exitpriority, next(_finalizer_counter))
        # The last two steps: one that is interrupted before is as one that was never made.
        if obj is not None:
            self._weakref = ref(obj, WeakCallback(self))
        _finalizer_registry[self._key] = self

    # The globals are bound as defaults because they may be gone when the interpreter ends.
    def __call__(self, wr=None, _registry=_finalizer_registry, _getpid=os.getpid):
        """Call the function, unless it has been called, cancelled, or belongs to the parent."""
        if _registry.pop(self._key, None) is None:
            return None
        result = None
        if self._pid == _getpid():
            result = self._callback(*self._args, **self._kwargs)
        self._forget()
        return result

    def _forget(self):
        self._weakref = self._callback = self._args = self._kwargs = self._key = None

    def cancel(self) -> None:
        """Never call the function."""
        if _finalizer_registry.pop(self._key, None) is not None:
            self._forget()

    def still_active(self) -> bool:
        """Return whether the function may still be called."""
        return self._key in _finalizer_registry

    def __repr__(self):
        try:
            obj = self._weakref()
        except (AttributeError, TypeError):
            obj = None
        name = type(self).__name__
        if obj is None:
            return f"<{name} object, dead>"
        parts = [f"callback={getattr(self._callback, '__name__', self._callback)}"]
        if self._args:
            parts.append(f"args={self._args}")
        if self._kwargs:
            parts.append(f"kwargs={self._kwargs}")
        if self._key[0] is not None:
            parts.append(f"exitpriority={self._key[0]}")
        return f"<{name} object, {', '.join(parts)}>"


def _run_finalizers(minpriority=None):
    """Call the finalizers that have a priority, and at least the given one."""
    if _finalizer_registry is None:  # The interpreter has taken this module apart.
        return  # type: ignore[unreachable]
    due = [
        key
        for key in list(_finalizer_registry)
        if key[0] is not None and (minpriority is None or key[0] >= minpriority)
    ]
    for key in sorted(due, reverse=True):
        finalizer = _finalizer_registry.get(key)
        if finalizer is not None:
            try:
                finalizer()
            except Exception:
                import traceback

                traceback.print_exc()
    if minpriority is None:
        _finalizer_registry.clear()


_exiting = False


def is_exiting() -> bool:
    """Return whether the process is about to exit."""
    return _exiting or _exiting is None


#: So many seconds a daemonic process has to end when the program does; then it is killed.
_GRACE = 1.0


def _exit_function(
    info=info,
    debug=debug,
    _run_finalizers=_run_finalizers,
    active_children=process.active_children,
    current_process=process.current_process,
):
    """End the daemonic children, wait for the others, and run the finalizers. Runs at exit."""
    global _exiting
    if _exiting:
        return
    _exiting = True
    info("process shutting down")
    _run_finalizers(0)
    if current_process() is not None:
        for child in active_children():
            if child.daemon or child._is_service:
                info("calling terminate() for daemon %s", child.name)
                child._popen.terminate()
        deadline = monotonic() + _GRACE
        for child in active_children():
            info("calling join() for process %s", child.name)
            if child.daemon or child._is_service:
                # One that is stopped, or ignores the signal, would let us wait for ever.
                child.join(max(0.0, deadline - monotonic()))
                if child._popen.poll() is None:
                    child._popen.kill()
            child.join()
    debug("running the remaining finalizers")
    _run_finalizers()


atexit.register(_exit_function)


class ForkAwareThreadLock:
    """A lock between threads that is free in a forked child."""

    def __init__(self):
        self._lock = allocate_lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        register_after_fork(self, ForkAwareThreadLock._at_fork_reinit)

    def _at_fork_reinit(self):
        self._lock._at_fork_reinit()  # type: ignore[attr-defined]

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)


class ForkAwareLocal(_local):
    """Values of each thread, none of which a forked child inherits."""

    def __init__(self):
        register_after_fork(self, lambda obj: obj.__dict__.clear())

    def __reduce__(self):
        return type(self), ()


try:
    MAXFD = os.sysconf("SC_OPEN_MAX")
except (OSError, ValueError):
    MAXFD = 256


def close_all_fds_except(fds: "Iterable[int]") -> None:
    """Close all descriptors but the given ones."""
    last = -1
    for fd in [*sorted(fds), MAXFD]:
        # Some versions of Python take an empty range at zero for all descriptors.
        if last + 1 < fd:
            os.closerange(last + 1, fd)
        last = fd


def close_fds(*fds):
    """Close each of the descriptors."""
    for fd in fds:
        os.close(fd)


def spawnv_passfds(path: bytes | str, args: "Iterable[bytes | str]", passfds: "Iterable[int]") -> int:
    """Start a program that finds only the given descriptors open; return its process id."""
    from ._core import spawnv_passfds

    return spawnv_passfds(os.fsencode(path), [os.fsencode(arg) for arg in args], sorted(passfds))


def _log_levels(are_wanted):
    """Return the levels that loggers have at present, for workers whose records are to come here."""
    if not are_wanted:
        return None
    from . import _logs

    return _logs.levels()


def _cleanup_tests():
    """Give up everything that tests may have left: for CPython's own tests."""
    import gc

    from . import forkserver

    process._cleanup()
    forkserver._forkserver._stop()
    tracker = sys.modules.get("phalanx.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._stop()
    _run_finalizers()
    gc.collect()
