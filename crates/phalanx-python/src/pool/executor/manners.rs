//! How a pool deals with the death of its workers.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyModule;

use super::super::owner::locked;

/// The rules of a pool, or of an executor's pool.
#[derive(Default)]
pub(in super::super) struct Manners {
    /// The errors are those of executors.
    is_executor: bool,
    /// The first death ends everything, unless the call says otherwise that was running.
    breaks: bool,
    /// So it does whatever calls say: the workers are being ended.
    is_ending: AtomicBool,
    /// Seats whose worker this process has sent to its end.
    condemned: Mutex<HashSet<usize>>,
}

impl Manners {
    /// The manners of a pool's own calls.
    pub(in super::super) fn of_pool(breaks: bool) -> Self {
        Self { breaks, ..Self::default() }
    }

    /// The manners of an executor's pool.
    pub(super) fn of_executor(breaks: bool) -> Self {
        Self { is_executor: true, breaks, ..Self::default() }
    }

    /// From now on the first death ends everything.
    pub(super) fn break_from_now_on(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
    }

    /// Whether a death ends everything, given what the call has asked for that was running.
    pub(in super::super) fn breaks(&self, asked: Option<bool>) -> bool {
        self.is_ending.load(Ordering::SeqCst) || asked.unwrap_or(self.breaks)
    }

    /// Whether the errors are those of executors, whose thread ends the workers.
    pub(in super::super) fn is_executor(&self) -> bool {
        self.is_executor
    }

    /// The death of the worker of a seat will be no surprise.
    pub(super) fn condemn(&self, seat: usize) {
        locked(&self.condemned).insert(seat);
    }

    /// Whether the worker of a seat, which has died, was condemned.
    pub(in super::super) fn take_condemned(&self, seat: usize) -> bool {
        locked(&self.condemned).remove(&seat)
    }

    /// The class of the error of a task whose worker died.
    pub(in super::super) fn worker_died<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.is_executor {
            module(py)?.getattr("TaskWorkerDiedError")
        } else {
            py.import("phalanx.errors")?.getattr("WorkerDiedError")
        }
    }

    /// What every call gets of a pool that cannot go on because of an error.
    pub(in super::super) fn broken(&self, py: Python<'_>, error: &PyErr) -> PyErr {
        if !self.is_executor {
            return error.clone_ref(py);
        }
        let make = || module(py)?.getattr("_broken")?.call1((error.clone_ref(py).into_value(py),));
        make().map_or_else(|error| error, PyErr::from_value)
    }
}

/// The module whose classes an executor's errors are.
pub(super) fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("phalanx.futures")
}
