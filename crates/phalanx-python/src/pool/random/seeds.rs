//! The owner's side: which call's tasks begin where.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use phalanx::pool::Crew;
use phalanx_shm::object::{Bytes, Shared};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::streams::Streams;
use crate::message::out_of_memory;

/// The seed of one call, its number and that of the first of some tasks, where workers can read them.
pub(in super::super) type SeedOfCall = Arc<Shared<Bytes>>;

/// A seed, and how many calls have drawn from it.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct Seeds {
    /// The seed's bytes, the lowest first, in whole words.
    seed: Vec<u8>,
    calls: AtomicU64,
}

impl Seeds {
    /// The next call's seed, in shared memory.
    pub(in super::super) fn next_call(&self, crew: &Crew) -> PyResult<SeedOfCall> {
        self.keep(crew, self.count_call(), 0)
    }

    fn keep(&self, crew: &Crew, call: u64, first: u64) -> PyResult<SeedOfCall> {
        crew.keep(0, &self.of_call(call, first)).map(Arc::new).map_err(out_of_memory)
    }

    fn of_call(&self, call: u64, first: u64) -> Vec<u8> {
        [&call.to_le_bytes(), &first.to_le_bytes(), self.seed.as_slice()].concat()
    }
}

#[pymethods]
impl Seeds {
    /// Seeds for calls, from any integer that is not negative.
    #[new]
    fn new(seed: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Ok(number) = seed.call_method0("__index__") else {
            let repr = seed.repr()?;
            return Err(PyTypeError::new_err(format!(
                "seed must be an integer that is not negative, or None, not {repr}"
            )));
        };
        if number.lt(0)? {
            return Err(PyValueError::new_err(format!("seed must not be negative, not {number}")));
        }
        let bits: usize = number.call_method0("bit_length")?.extract()?;
        let length = bits.div_ceil(32).max(1) * 4;
        let seed = number.call_method1("to_bytes", (length, "little"))?.extract()?;
        Ok(Self { seed, calls: AtomicU64::new(0) })
    }

    /// The number of the call that begins now.
    fn count_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// What runs the tasks of the next call in threads of this process.
    fn in_threads(slf: &Bound<'_, Self>) -> SeededThreads {
        let seeds = slf.get();
        SeededThreads { bytes: seeds.of_call(seeds.count_call(), 0) }
    }

    /// Calls `function()` in this process with the random numbers of a task of a call. The state of
    /// `random` and of numpy's global generator is afterwards what it was before.
    fn run(
        &self,
        py: Python<'_>,
        call: u64,
        index: u64,
        function: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        Streams::of(py, &self.of_call(call, 0))?.run_here(py, index, function)
    }
}

/// The seeds of the tasks of one call that are sent one by one, each as a job of its own.
pub(in super::super) struct SeedsOfTasks {
    /// The seeds and the number of the call, if there are any.
    call: Option<(Py<Seeds>, u64)>,
    next: AtomicU64,
}

impl SeedsOfTasks {
    /// Those of the next call.
    pub(in super::super) fn of_next_call(py: Python<'_>, seeds: Option<&Py<Seeds>>) -> Self {
        let call = seeds.map(|seeds| (seeds.clone_ref(py), seeds.get().count_call()));
        Self { call, next: AtomicU64::new(0) }
    }

    /// The next task's.
    pub(in super::super) fn next_task(&self, crew: &Crew) -> PyResult<Option<SeedOfCall>> {
        let Some((seeds, call)) = &self.call else { return Ok(None) };
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        seeds.get().keep(crew, *call, first).map(Some)
    }
}

/// A function with its arguments.
type Call<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Bound<'py, PyDict>);

/// Runs calls in threads of one process, each with `phalanx.rng()` to itself.
///
/// What threads have in common, the state of `random` and of numpy's global generator, is left alone.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct SeededThreads {
    bytes: Vec<u8>,
}

#[pymethods]
impl SeededThreads {
    /// Runs a call, `(function, args, kwargs)`, that has a number: a pair of both.
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        numbered: (u64, Call<'py>),
    ) -> PyResult<Bound<'py, PyAny>> {
        let (index, (function, args, kwargs)) = numbered;
        let streams = Streams::of(py, &self.bytes)?;
        streams.run_in_thread(py, index, || function.call(args, Some(&kwargs)))
    }
}
