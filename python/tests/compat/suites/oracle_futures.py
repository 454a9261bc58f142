"""The interpreter's own tests of process pools in `concurrent.futures`.

They run with `on_worker_death="break"`, the standard library's answer to a death, which some of them are
about. What phalanx does instead by default is tested in `python/tests/futures`.
"""

import importlib
import pkgutil
import sys
from concurrent import futures

from phalanx.futures import ProcessPoolExecutor


class _Breaking(ProcessPoolExecutor):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, on_worker_death="break", **kwargs)


# Programs that the tests start import it by its name.
_Breaking.__name__ = _Breaking.__qualname__ = "ProcessPoolExecutor"
futures.ProcessPoolExecutor = _Breaking

try:
    _suite = importlib.import_module("test.test_concurrent_futures")
except ModuleNotFoundError:
    # Some distributions leave out this part of the package `test` only.
    print("this interpreter comes without test.test_concurrent_futures: nothing to run", file=sys.stderr)
    _suite = sys
_modules = [_suite]
for _module in pkgutil.iter_modules(getattr(_suite, "__path__", ())):
    if _module.name.startswith("test_"):
        _modules.append(importlib.import_module(f"{_suite.__name__}.{_module.name}"))
for _module in _modules:
    for _name, _kind in vars(_module).items():
        if _name.startswith("ProcessPool") and _name.endswith("Test"):
            globals()[_name] = _kind
