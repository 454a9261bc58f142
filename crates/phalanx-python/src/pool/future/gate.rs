//! Where one thread waits until another lets it through.

use std::time::Duration;

use crate::once::{FoundOnce, intern};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The longest that a lock of the interpreter waits in one go, in seconds.
const LONGEST: f64 = 1e6;

/// A closed gate. It is a lock of the interpreter's, so that waiting at it answers signals.
pub(super) struct Gate(Py<PyAny>);

impl Gate {
    pub(super) fn closed(py: Python<'_>) -> PyResult<Self> {
        static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let make = MAKE.found(py, "_thread", "allocate_lock")?;
        let lock = make.call0()?;
        lock.call_method0(intern!(py, "acquire"))?;
        Ok(Self(lock.unbind()))
    }

    /// Another handle of the same gate.
    pub(super) fn handle(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }

    /// Lets the thread through that waits at it.
    pub(super) fn open(&self, py: Python<'_>) {
        // It fails only for a gate that is open.
        let _ = self.0.call_method0(py, intern!(py, "release"));
    }

    /// Waits until it is opened; false if `timeout` is over before.
    pub(super) fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<bool> {
        let acquire = intern!(py, "acquire");
        let opened = match timeout {
            None => self.0.call_method0(py, acquire),
            Some(Duration::ZERO) => self.0.call_method1(py, acquire, (false,)),
            Some(timeout) => {
                let seconds = timeout.as_secs_f64().min(LONGEST);
                self.0.call_method1(py, acquire, (true, seconds))
            }
        };
        opened?.is_truthy(py)
    }
}
