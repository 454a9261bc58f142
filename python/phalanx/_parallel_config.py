"""Where `Parallel` takes what a call of it does not say: `parallel_config`, and the rules for it."""

import ast
import operator
import threading

from . import _crews
from ._core import cpu_count as _usable

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_active = threading.local()

#: Names of joblib's for the two ways in which tasks can run beside each other.
PROCESSES = frozenset({"loky", "multiprocessing", "phalanx", "processes"})
THREADS = frozenset({"threading", "threads"})
SEQUENTIAL = frozenset({"sequential"})
#: Classes of backends, joblib's own among them.
_OBJECTS = {
    "LokyBackend": "processes",
    "MultiprocessingBackend": "processes",
    "PhalanxBackend": "processes",
    "SequentialBackend": "sequential",
    "ThreadingBackend": "threads",
}


def forget() -> None:
    """Begin anew in a worker: what was set around the call is not meant for calls within its tasks."""
    _active.__dict__.clear()


class Unset:
    """Stands for a parameter that was not given, and says what it is then."""

    __slots__ = ("default",)

    def __init__(self, default: "Any") -> None:
        self.default = default

    def __repr__(self) -> str:
        return f"default({self.default!r})"


UNSET: "dict[str, Any]" = {
    "backend": Unset(None),
    "n_jobs": Unset(None),
    "verbose": Unset(0),
    "temp_folder": Unset(None),
    "max_nbytes": Unset("1M"),
    "mmap_mode": Unset("r"),
    "prefer": Unset(None),
    "require": Unset(None),
    "inner_max_num_threads": Unset(None),
    "backend_params": Unset({}),
}


def chosen(name: str, value: "Any") -> "Any":
    """Return what was given for a parameter: in the call, or else by `parallel_config`."""
    if not isinstance(value, Unset):
        return value
    value = getattr(_active, "config", UNSET)[name]
    return value.default if isinstance(value, Unset) else value


class parallel_config:
    """Set what calls of `Parallel` use that do not say otherwise, in this thread and within a `with`.

    The parameters are those of `Parallel`. `backend` says where tasks run: `"processes"` (or joblib's
    names `"loky"` and `"multiprocessing"`), `"threads"` (or `"threading"`) or `"sequential"`; further
    keyword arguments go with it (`initializer`, `initargs`, `idle_worker_timeout`, `context`).

    >>> with parallel_config(n_jobs=2):
    ...     Parallel()(delayed(abs)(-n) for n in range(3))
    [0, 1, 2]
    """

    def __init__(
        self,
        backend: "Any" = UNSET["backend"],
        *,
        n_jobs: "Any" = UNSET["n_jobs"],
        verbose: "Any" = UNSET["verbose"],
        temp_folder: "Any" = UNSET["temp_folder"],
        max_nbytes: "Any" = UNSET["max_nbytes"],
        mmap_mode: "Any" = UNSET["mmap_mode"],
        prefer: "Any" = UNSET["prefer"],
        require: "Any" = UNSET["require"],
        inner_max_num_threads: "int | None" = None,
        **backend_params: "Any",
    ) -> None:
        if isinstance(backend, Unset):
            if inner_max_num_threads is not None or backend_params:
                raise ValueError(
                    "inner_max_num_threads and other constructor parameters backend_params are only "
                    "supported when backend is not None."
                )
        else:
            kind_of(backend)
        given = {
            "backend": backend,
            "n_jobs": n_jobs,
            "verbose": verbose,
            "temp_folder": temp_folder,
            "max_nbytes": max_nbytes,
            "mmap_mode": mmap_mode,
            "prefer": prefer,
            "require": require,
        }
        if not isinstance(backend, Unset):
            given["inner_max_num_threads"] = inner_max_num_threads
            given["backend_params"] = backend_params
        self.old_parallel_config = getattr(_active, "config", UNSET)
        given = {name: value for name, value in given.items() if not isinstance(value, Unset)}
        self.parallel_config = {**self.old_parallel_config, **given}
        _active.config = self.parallel_config

    def __enter__(self) -> "dict[str, Any]":
        return self.parallel_config

    def __exit__(self, *raised: object) -> None:
        self.unregister()

    def unregister(self) -> None:
        """Go back to what was set before."""
        _active.config = self.old_parallel_config


class parallel_backend(parallel_config):
    """The older form of `parallel_config`: by default, calls within it use all processors."""

    def __init__(
        self,
        backend: "Any",
        n_jobs: "int | None" = -1,
        inner_max_num_threads: "int | None" = None,
        **backend_params: "Any",
    ) -> None:
        super().__init__(
            backend, n_jobs=n_jobs, inner_max_num_threads=inner_max_num_threads, **backend_params
        )


def kind_of(backend: "Any") -> "str | None":
    """Return where a backend runs tasks: `"processes"`, `"threads"`, `"sequential"`, or whatever fits."""
    if backend is None or isinstance(backend, Unset):
        return None
    if isinstance(backend, str):
        for kind, names in (("processes", PROCESSES), ("threads", THREADS), ("sequential", SEQUENTIAL)):
            if backend in names:
                return kind
        known = sorted(PROCESSES | THREADS | SEQUENTIAL)
        raise ValueError(f"Invalid backend: {backend}, expected one of {known}")
    if hasattr(backend, "Pool") and hasattr(backend, "Lock"):
        return "processes"
    if type(backend).__name__ in _OBJECTS:
        return _OBJECTS[type(backend).__name__]
    raise ValueError(
        f"Invalid backend: {backend!r} is no name: for a backend of joblib's, use joblib.Parallel"
    )


def resolve(backend: "Any", prefer: "Any", require: "Any") -> str:
    """Return where tasks run: `"processes"`, `"threads"` or `"sequential"`."""
    is_given = backend is not None and not isinstance(backend, Unset)
    if not is_given:
        backend = chosen("backend", UNSET["backend"])
    prefer, require = chosen("prefer", prefer), chosen("require", require)
    if prefer not in ("processes", "threads", None):
        raise ValueError(f"prefer={prefer} is not a valid backend hint")
    if require not in ("sharedmem", None):
        raise ValueError(f"require={require} is not a valid backend constraint")
    if prefer == "processes" and require == "sharedmem":
        raise ValueError("prefer == 'processes' and require == 'sharedmem' are inconsistent settings")
    kind = kind_of(backend)
    if require == "sharedmem":
        if kind == "processes" and is_given:
            raise ValueError(f"Backend {backend} does not support shared memory")
        return "sequential" if kind == "sequential" else "threads"
    if kind is None:
        # Within a task of another call: threads at first, and one after the other further down.
        level = _crews.nesting_level()
        kind = ("processes", "threads", "sequential")[min(level, 2)]
        if level < 2 and prefer is not None:
            kind = prefer
    return kind


def jobs_of(n_jobs: "Any", kind: str) -> int:
    """Return how many tasks `n_jobs` lets run beside each other."""
    if n_jobs is None:
        return 1
    try:
        n_jobs = int(n_jobs)
    except ValueError:
        raise ValueError("n_jobs could not be converted to int") from None
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 in Parallel has no meaning")
    if kind == "sequential":
        return 1
    return n_jobs if n_jobs > 0 else max(_usable() + 1 + n_jobs, 1)


def cpu_count(only_physical_cores: bool = False) -> int:
    """Return the number of processors that this process can keep busy."""
    return _usable(only_physical_cores)


def effective_n_jobs(n_jobs: "int | None" = -1) -> int:
    """Return how many tasks `Parallel(n_jobs)` would run beside each other here."""
    if n_jobs is None:
        n_jobs = chosen("n_jobs", UNSET["n_jobs"])
    return jobs_of(n_jobs, resolve(UNSET["backend"], UNSET["prefer"], UNSET["require"]))


_OPERATIONS: "dict[type, Callable[..., Any]]" = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}


def ahead_of(pre_dispatch: "Any", n_jobs: int) -> "int | None":
    """Return how many batches may be on their way, `None` for all, by a number or an expression."""
    if pre_dispatch == "all":
        return None
    if not isinstance(pre_dispatch, str):
        return int(pre_dispatch)

    def value(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name) and node.id == "n_jobs":
            return n_jobs
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.operand))
        raise ValueError(f"{pre_dispatch!r} is not a valid pre_dispatch expression: arithmetic only")

    try:
        tree = ast.parse(pre_dispatch.strip(), mode="eval")
    except SyntaxError:
        raise ValueError(f"{pre_dispatch!r} is not a valid pre_dispatch expression") from None
    return int(value(tree.body))


_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


def bytes_of(size: "int | str | None") -> "int | None":
    """Return a number of bytes for a size such as `"1M"`."""
    if not isinstance(size, str):
        return size
    try:
        return int(float(size[:-1]) * _UNITS[size[-1]])
    except (KeyError, ValueError, IndexError):
        raise ValueError(
            f"invalid size {size!r}: a number followed by K, M or G, such as '1M', is wanted"
        ) from None
