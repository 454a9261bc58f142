//! Results that will be there some time: `apply_async`, `map_async`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyGenericAlias, PyType};

use super::job::Job;
use super::owner::Owner;

/// A call in progress, as those see it who wait for its outcome.
pub(crate) trait Pending: Send + Sync {
    /// Whether the outcome is there.
    fn is_ready(&self, py: Python<'_>) -> PyResult<bool>;
    /// Waits for the outcome; returns false if `timeout` is over before.
    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<bool>;
    /// The outcome, once it is there: always the same object, or the same exception.
    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;
    /// Cancels it if it has not begun, and with `running` also if it has. Returns whether it did.
    fn cancel(&self, _py: Python<'_>, _running: bool) -> PyResult<bool> {
        Err(PyNotImplementedError::new_err(format!(
            "cannot cancel the call of {}: calls can be cancelled that a pool of processes was given with \
             options, as in pool.options().apply_async(...)",
            self.name()
        )))
    }
    /// What the user calls the function.
    fn name(&self) -> &str;
    /// For the collector of garbage: an exception refers to the frames that it went through, and one of
    /// those to this result.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
    /// Forgets what it refers to: nobody can ask any more.
    fn clear(&self);
}

/// A call whose tasks are run by worker processes.
pub(super) struct InProcesses {
    pub(super) owner: Arc<Owner>,
    pub(super) job: Arc<Job>,
}

impl Pending for InProcesses {
    fn is_ready(&self, py: Python<'_>) -> PyResult<bool> {
        if self.job.is_done() {
            return Ok(true);
        }
        self.owner.collect(py);
        if !self.job.is_done() {
            self.owner.look_after_workers(py)?;
        }
        Ok(self.job.is_done())
    }

    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<bool> {
        self.owner.wait_until(py, timeout, |_| self.job.is_done())
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.job.outcome(py)
    }

    fn name(&self) -> &str {
        &self.job.name
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What others refer to as well is not this object's to tell of.
        if Arc::strong_count(&self.job) == 1 { self.job.traverse(visit) } else { Ok(()) }
    }

    fn clear(&self) {
        self.job.forget();
    }
}

/// What a wait for a result raises when its time is over.
pub(crate) fn timed_out(py: Python<'_>) -> PyErr {
    let make = || py.import("phalanx.errors")?.getattr("TimeoutError")?.call0();
    make().map_or_else(|error| error, PyErr::from_value)
}

/// Calls the callback that fits a job's outcome, whose result is ready afterwards. What a callback
/// raises is reported and changes nothing.
pub(super) fn call_back(py: Python<'_>, job: &Arc<Job>) {
    let (outcome, callbacks) = (job.outcome(py), job.take_callbacks());
    callbacks.tell(py, outcome.map_err(|error| error.into_value(py).into_any()));
    job.called_back();
}

macro_rules! result_class {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[pyclass(frozen, subclass, weakref, module = "phalanx.pool")]
        pub(crate) struct $name(Box<dyn Pending>);

        impl $name {
            pub(crate) fn new(pending: Box<dyn Pending>) -> Self {
                Self(pending)
            }
        }

        #[pymethods]
        impl $name {
            fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
                self.0.traverse(&visit)
            }

            fn __clear__(&self) {
                self.0.clear();
            }

        /// The class with a parameter, for annotations.
        #[classmethod]
        fn __class_getitem__<'py>(
            cls: &Bound<'py, PyType>,
            item: &Bound<'py, PyAny>,
        ) -> PyResult<Bound<'py, PyGenericAlias>> {
            PyGenericAlias::new(cls.py(), cls.as_any(), item)
        }

            /// Whether the outcome is there.
            fn ready(&self, py: Python<'_>) -> PyResult<bool> {
                self.0.is_ready(py)
            }

            /// Whether the call ended without an exception; `ValueError` if it has not ended.
            fn successful(&self, py: Python<'_>) -> PyResult<bool> {
                if !self.0.is_ready(py)? {
                    return Err(PyValueError::new_err(format!("{} not ready", self.0.name())));
                }
                Ok(self.0.outcome(py).is_ok())
            }

            /// Cancels what has not begun, and with `running=True` also what runs: its worker process is
            /// asked to end, and killed if it has not a second later. Returns whether anything was
            /// cancelled; the result is a `CancelledError` then. For calls of `Pool.options`.
            #[pyo3(signature = (*, running=false))]
            fn cancel(&self, py: Python<'_>, running: bool) -> PyResult<bool> {
                self.0.cancel(py, running)
            }

            /// Waits for the outcome, for at most `timeout` seconds.
            #[pyo3(signature = (timeout=None))]
            fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
                self.0.wait(py, crate::interrupt::timeout(timeout)).map(drop)
            }

            /// Waits for the outcome and returns it, or raises the exception that ended the call;
            /// `TimeoutError` if it is not there after `timeout` seconds.
            #[pyo3(signature = (timeout=None))]
            pub(crate) fn get(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
                if !self.0.wait(py, crate::interrupt::timeout(timeout))? {
                    return Err(timed_out(py));
                }
                self.0.outcome(py)
            }
        }
    };
}

result_class! {
    /// The result of `Pool.apply_async`.
    ApplyResult
}
result_class! {
    /// The result of `Pool.map_async` and `Pool.starmap_async`.
    MapResult
}
