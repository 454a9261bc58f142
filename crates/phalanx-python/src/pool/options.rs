//! What is asked of single calls beyond the calls themselves.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// What was asked of one call beyond the call itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// How long it may run.
    pub(super) timeout: Option<Duration>,
    /// How often it is tried again after a failure.
    pub(super) retries: u32,
    /// Calls of a higher one are begun before those of a lower.
    pub(super) priority: i32,
    /// Whether the death of the worker that runs it ends everything; if it does not say, its pool does.
    pub(super) breaks: Option<bool>,
}

/// Options of calls, as a user gives them: checked, and not to be changed.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct CallOptions {
    timeout: Option<f64>,
    terms: Terms,
}

impl CallOptions {
    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let options = PyDict::new(py);
        options.set_item("timeout", self.timeout)?;
        options.set_item("retries", self.terms.retries)?;
        options.set_item("priority", self.terms.priority)?;
        options.set_item("on_worker_death", self.terms.breaks.map(name_of_manners))?;
        Ok(options)
    }
}

#[pymethods]
impl CallOptions {
    #[new]
    #[pyo3(signature = (*, timeout=None, retries=0, priority=0, on_worker_death=None))]
    fn new(
        timeout: Option<f64>,
        retries: i64,
        priority: i32,
        on_worker_death: Option<&str>,
    ) -> PyResult<Self> {
        if let Some(seconds) = timeout.filter(|seconds| seconds.is_nan() || *seconds <= 0.0) {
            return Err(PyValueError::new_err(format!(
                "timeout must be positive, not {seconds:?}"
            )));
        }
        if retries < 0 {
            return Err(PyValueError::new_err(format!(
                "retries must not be negative, not {retries}"
            )));
        }
        let terms = Terms {
            timeout: crate::interrupt::timeout(timeout),
            retries: u32::try_from(retries).unwrap_or(u32::MAX),
            priority,
            breaks: on_worker_death.map(breaks).transpose()?,
        };
        Ok(Self { timeout, terms })
    }

    /// The same options but for those that are given.
    #[pyo3(signature = (**changes))]
    fn replace<'py>(
        slf: &Bound<'py, Self>,
        changes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = slf.get().as_dict(slf.py())?;
        if let Some(changes) = changes {
            options.update(changes.as_mapping())?;
        }
        let class: Bound<'py, PyType> = slf.get_type();
        class.call((), Some(&options))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut parts = Vec::new();
        for (name, value) in self.as_dict(py)? {
            parts.push(format!("{name}={}", value.repr()?));
        }
        Ok(format!("CallOptions({})", parts.join(", ")))
    }
}

/// What `on_worker_death` says: whether the first death ends everything.
pub(super) fn breaks(on_worker_death: &str) -> PyResult<bool> {
    match on_worker_death {
        "isolate" => Ok(false),
        "break" => Ok(true),
        other => Err(PyValueError::new_err(format!(
            "on_worker_death must be 'isolate' or 'break', not {other:?}"
        ))),
    }
}

fn name_of_manners(breaks: bool) -> &'static str {
    if breaks { "break" } else { "isolate" }
}
