"""How many threads the libraries under a worker's tasks use: BLAS, OpenMP and their like.

Each of n workers with as many threads as there are processors would make them wait for one another,
so that a worker is given its share of the processors. Libraries read the environment when they are
loaded; those that a forked worker has already are told through `threadpoolctl`, if it is installed.
"""

import contextlib
import os
import sys

from ._core import cpu_count, undisturbed

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def environment(workers: int, wanted: "int | None") -> "dict[str, str]":
    """Return the variables for one of so many workers: `wanted` threads, or else its share.

    A variable that the program's own environment has stays as it is unless `wanted` is given.
    """
    share = str(wanted or max(cpu_count() // workers, 1))
    kept = {} if wanted else os.environ
    variables = {name: kept.get(name, share) for name in VARIABLES}
    variables.setdefault("ENABLE_IPC", os.environ.get("ENABLE_IPC", "1"))  # Intel's TBB
    return variables


@contextlib.contextmanager
def exported(variables: "dict[str, str]") -> "Iterator[None]":
    """Have the variables in the environment for a while: for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        os.environ.update(variables)
        yield
    finally:
        undisturbed(_put_back, before)


def _put_back(variables):
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def limit(variables: "dict[str, str]") -> None:
    """Hold the libraries of this process to the variables, loaded or not."""
    os.environ.update(variables)
    if "numpy" not in sys.modules and "threadpoolctl" not in sys.modules:
        return
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        return
    limits = {"openmp": variables["OMP_NUM_THREADS"], "blas": variables["OPENBLAS_NUM_THREADS"]}
    threadpool_limits({name: int(value) for name, value in limits.items() if value.isdigit()})


def forking_is_safe(variables: "dict[str, str]") -> bool:
    """Return whether a forked worker can use so many threads.

    GNU's OpenMP waits for ever in a forked child for the threads of its parent, unless the child uses
    one thread only.
    """
    if variables["OMP_NUM_THREADS"] == "1":
        return True
    try:
        with open("/proc/self/maps", "rb") as maps:
            return b"libgomp" not in maps.read()
    except OSError:
        return False
