//! What a future shows as its `_condition`.

use std::time::Duration;

use phalanx_shm::sync::Deadline;
use pyo3::prelude::*;

use super::base::FutureBase;

/// A future's lock and bell, with the methods of `threading.Condition`. Made anew for each look at it:
/// all that it knows lies in the future.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct FutureCondition(Py<FutureBase>);

impl FutureCondition {
    pub(super) fn new(future: Py<FutureBase>) -> Self {
        Self(future)
    }

    /// What `acquire` of the interpreter's locks takes for ever is a negative number.
    fn patience(timeout: f64) -> Option<Duration> {
        if timeout < 0.0 { None } else { crate::interrupt::timeout(Some(timeout)) }
    }
}

#[pymethods]
impl FutureCondition {
    /// Holds the future: its state does not change meanwhile. Returns whether it holds it.
    #[pyo3(signature = (blocking=true, timeout=-1.0))]
    fn acquire(&self, py: Python<'_>, blocking: bool, timeout: f64) -> PyResult<bool> {
        let patience = if blocking { Self::patience(timeout) } else { Some(Duration::ZERO) };
        self.0.get().hold(py, patience)
    }

    /// Lets go of the future.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.0.get().let_go(py)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.get().hold(py, None)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.0.get().let_go(py)
    }

    /// Lets go of the future until somebody notifies; false if `timeout` seconds are over before.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.0.get().wait_for_notice(py, crate::interrupt::timeout(timeout))
    }

    /// Waits until `predicate()` is true, or for `timeout` seconds; returns what it said last.
    #[pyo3(signature = (predicate, timeout=None))]
    fn wait_for<'py>(
        &self,
        py: Python<'py>,
        predicate: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = crate::interrupt::timeout(timeout).map(Deadline::after);
        loop {
            let said = predicate.call0()?;
            if said.is_truthy()? || deadline.is_some_and(Deadline::has_passed) {
                return Ok(said);
            }
            self.0.get().wait_for_notice(py, deadline.map(Deadline::remaining))?;
        }
    }

    /// Wakes `n` of the threads that wait.
    #[pyo3(signature = (n=1))]
    fn notify(&self, py: Python<'_>, n: usize) -> PyResult<()> {
        self.0.get().notify(py, n)
    }

    /// Wakes all threads that wait.
    fn notify_all(&self, py: Python<'_>) -> PyResult<()> {
        self.0.get().notify(py, usize::MAX)
    }
}
