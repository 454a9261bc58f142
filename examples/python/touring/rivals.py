"""Where each library has what `multiprocessing` itself has not: executors, and joblib's `Parallel` and `Memory`."""

import importlib
import sys


def is_phalanx(mp):
    """Whether the library has all of it itself."""
    return hasattr(mp, "Parallel")


def futures(mp):
    """The module with the executors of a library."""
    return mp.futures if is_phalanx(mp) else importlib.import_module("concurrent.futures")


def joblib(mp):
    """The module with the `Parallel`, `delayed` and `Memory` of a library, or joblib."""
    return mp if is_phalanx(mp) else importlib.import_module("joblib")


def let_go():
    """End the workers that `Parallel` has kept for its next call."""
    crews = sys.modules.get("phalanx._crews")
    if crews is not None:
        crews.end_all()
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    if loky is not None and loky._executor is not None:
        loky._executor.shutdown(wait=True, kill_workers=True)
