"""phalanx: process parallelism that is fast and never hangs.

The interface is that of `multiprocessing`: `import phalanx as mp`.
"""

import sys

from . import context as context
from ._core import cancelled, rng
from .context import Process, _default_context
from .errors import (
    AuthenticationError,
    BufferTooShort,
    InputTooLongError,
    JobError,
    MaybeEncodingError,
    OwnerDiedError,
    ProcessError,
    RemoteError,
    RemoteTraceback,
    TimeoutError,
    WorkerDiedError,
)

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "process_cpu_count",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    # What phalanx has beyond that.
    "InputTooLongError",
    "JobError",
    "MaybeEncodingError",
    "Memory",
    "OwnerDiedError",
    "Parallel",
    "ProcessPoolExecutor",
    "Program",
    "RemoteError",
    "RemoteTraceback",
    "WorkerDiedError",
    "cancelled",
    "delayed",
    "effective_n_jobs",
    "expires_after",
    "get_reusable_executor",
    "parallel_config",
    "patch",
    "run",
    "register_joblib_backend",
    "rng",
    "unpatch",
]

Array = _default_context.Array
Barrier = _default_context.Barrier
BoundedSemaphore = _default_context.BoundedSemaphore
Condition = _default_context.Condition
Event = _default_context.Event
JoinableQueue = _default_context.JoinableQueue
Lock = _default_context.Lock
Manager = _default_context.Manager
Pipe = _default_context.Pipe
Pool = _default_context.Pool
Queue = _default_context.Queue
RLock = _default_context.RLock
RawArray = _default_context.RawArray
RawValue = _default_context.RawValue
Semaphore = _default_context.Semaphore
SimpleQueue = _default_context.SimpleQueue
Value = _default_context.Value
active_children = _default_context.active_children
allow_connection_pickling = _default_context.allow_connection_pickling
cpu_count = _default_context.cpu_count
current_process = _default_context.current_process
freeze_support = _default_context.freeze_support
get_all_start_methods = _default_context.get_all_start_methods
get_context = _default_context.get_context
get_logger = _default_context.get_logger
get_start_method = _default_context.get_start_method
log_to_stderr = _default_context.log_to_stderr
parent_process = _default_context.parent_process
process_cpu_count = _default_context.process_cpu_count
set_executable = _default_context.set_executable
set_forkserver_preload = _default_context.set_forkserver_preload
set_start_method = _default_context.set_start_method

SUBDEBUG = 5
SUBWARNING = 25

# Objects of the main module are found under both names, here and in children.
if "__main__" in sys.modules:
    sys.modules["__mp_main__"] = sys.modules["__main__"]

#: What is imported when it is first asked for, and the module that has it.
_LATER = {
    "Memory": "memory",
    "Parallel": "parallel",
    "ProcessPoolExecutor": "futures",
    "Program": "program",
    "delayed": "parallel",
    "effective_n_jobs": "parallel",
    "expires_after": "memory",
    "get_reusable_executor": "futures",
    "hash": "memory",
    "parallel_config": "parallel",
    "patch": "_patch",
    "register_joblib_backend": "_joblib_entry",
    "unpatch": "_patch",
    "run": "jobs",
}

_SUBMODULES = frozenset(
    {
        "backends",
        "connection",
        "dummy",
        "forkserver",
        "futures",
        "heap",
        "jobs",
        "managers",
        "parallel",
        "memory",
        "pool",
        "popen_fork",
        "popen_forkserver",
        "popen_spawn_posix",
        "program",
        "queues",
        "reduction",
        "resource_sharer",
        "resource_tracker",
        "shared_memory",
        "sharedctypes",
        "spawn",
        "synchronize",
        "util",
    }
)


TYPE_CHECKING = False  # For type checkers it is true.
if TYPE_CHECKING:
    from . import (
        backends as backends,
        connection as connection,
        dummy as dummy,
        forkserver as forkserver,
        futures as futures,
        heap as heap,
        jobs as jobs,
        managers as managers,
        memory as memory,
        parallel as parallel,
        pool as pool,
        popen_fork as popen_fork,
        popen_forkserver as popen_forkserver,
        popen_spawn_posix as popen_spawn_posix,
        process as process,
        program as program,
        queues as queues,
        reduction as reduction,
        resource_sharer as resource_sharer,
        resource_tracker as resource_tracker,
        shared_memory as shared_memory,
        sharedctypes as sharedctypes,
        spawn as spawn,
        synchronize as synchronize,
        util as util,
    )
    from ._joblib_entry import register_joblib_backend as register_joblib_backend
    from ._patch import patch as patch, unpatch as unpatch
    from .futures import (
        ProcessPoolExecutor as ProcessPoolExecutor,
        get_reusable_executor as get_reusable_executor,
    )
    from .jobs import run as run
    from .memory import Memory as Memory, expires_after as expires_after, hash as hash
    from .parallel import (
        Parallel as Parallel,
        delayed as delayed,
        effective_n_jobs as effective_n_jobs,
        parallel_config as parallel_config,
    )
    from .program import Program as Program
else:

    def __getattr__(name):
        """Import submodules, and what takes time to import, when they are first asked for."""
        if name in _SUBMODULES:
            __import__(f"{__name__}.{name}")
            return sys.modules[f"{__name__}.{name}"]
        if name in _LATER:
            module = __import__(f"{__name__}.{_LATER[name]}", fromlist=(name,))
            return globals().setdefault(name, getattr(module, name))
        if name == "reducer":
            return _default_context.reducer
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


del TYPE_CHECKING


class _JoblibEntry:
    """Tells joblib of phalanx's backend when it is imported later."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "joblib.parallel":
            return None
        from ._joblib_entry import spec_of

        return spec_of(name, path)


if "joblib.parallel" in sys.modules:
    from ._joblib_entry import register

    register(sys.modules["joblib.parallel"])
else:
    sys.meta_path.insert(0, _JoblibEntry)


def __dir__():
    return sorted({*globals(), *__all__, *_SUBMODULES})
