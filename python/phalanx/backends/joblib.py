"""phalanx as a backend of joblib: `joblib.parallel_config(backend="phalanx")`.

scikit-learn and whatever else calls joblib then runs its tasks in phalanx's workers. They stay from one
call to the next, and large arrays reach them through shared memory.
"""

import warnings

from joblib._parallel_backends import (  # type: ignore[import-untyped]
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from .. import _crews, _memory_maps
from .._core import Sharing, cpu_count
from ..process import current_process

TYPE_CHECKING = False  # For type checkers it is true; `typing` takes long to import.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["PhalanxBackend"]


class PhalanxBackend(AutoBatchingMixin, ParallelBackendBase):
    """Runs the batches of joblib's `Parallel` in the worker processes of phalanx."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False

    _crew: "Any" = None
    _sharing: "Any" = None
    _parameters: "Any" = None

    @property
    def _workers(self):
        return self._crew

    def effective_n_jobs(self, n_jobs: "int | None") -> int:
        """Return how many tasks run beside each other."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        where = None
        if current_process().daemon:
            where = "in daemonic processes"
        elif not (self.in_main_thread() or self.nesting_level == 0):
            # A process made from a thread of a call would be a copy of whatever others hold just then.
            where = "below threads"
        if where is not None:
            if n_jobs != 1:
                warnings.warn(
                    f"phalanx-backed parallel loops cannot be nested {where}, setting n_jobs=1",
                    stacklevel=3,
                )
            return 1
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: "Any" = None,
        prefer: "Any" = None,
        require: "Any" = None,
        **parameters: "Any",
    ) -> int:
        """Take workers for one or more calls, and return how many there are."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._parameters = parameters = {**parameters, **self.backend_kwargs}
        idle = parameters.get("idle_worker_timeout")
        key = _crews.Key(
            "processes",
            n_jobs,
            self.inner_max_num_threads,
            None,
            parameters.get("initializer"),
            tuple(parameters.get("initargs", ())),
            _crews.IDLE_SECONDS if idle is None else idle,
        )
        self._crew = _crews.take(key)
        self._crew.serve_callbacks()
        return n_jobs

    def start_call(self) -> None:
        """Begin a call: what its tasks have in common is shared among them."""
        min_bytes, mode = self._parameters.get("max_nbytes"), self._parameters.get("mmap_mode")
        if min_bytes is not None and mode is not None:
            self._sharing = Sharing(min_bytes, mode == "r")
            _memory_maps.share()

    def stop_call(self) -> None:
        """End a call."""
        self._sharing = None

    def submit(self, func: "Callable[[], Any]", callback: "Callable[[Any], object] | None" = None) -> "Any":
        """Send a batch; `callback` is called with its outcome."""
        done = None if callback is None else lambda value: callback((value, None))
        failed = None if callback is None else lambda error: callback((None, error))
        core = self._crew.core
        if self._sharing is None:
            return core.apply(_call, (func,), {}, done, failed)
        return self._sharing.apply(core, _call, (func,), done, failed)

    apply_async = submit

    def retrieve_result_callback(self, outcome: "Any") -> "Any":
        """Return what a batch returned, or raise what it raised."""
        value, error = outcome
        if error is not None:
            raise error
        return value

    def terminate(self) -> None:
        """Give the workers back."""
        crew, self._crew = self._crew, None
        if crew is not None:
            if crew.core.unfinished():
                crew.end()
            else:
                _crews.give_back(crew)
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End what runs, with its workers."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.end()
        if ensure_ready:
            # What joblib has cut from the input and not sent yet would be done by the next call.
            batches = self.parallel._ready_batches
            with batches.mutex:
                batches.queue.clear()
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self._parameters)


def _call(batch):
    return batch()
