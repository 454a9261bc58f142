//! Doing what has to be done although a signal handler raises in the middle of it.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

/// What a signal handler raised, Ctrl-C above all, while something was done that has to be done
/// all the same. Other errors of what was done are of no interest.
#[derive(Default)]
pub(super) struct Raised(Option<PyErr>);

impl Raised {
    /// What a step gave, or nothing if it failed.
    pub(super) fn note<T: Default>(&mut self, result: PyResult<T>) -> T {
        result.unwrap_or_else(|error| {
            if Python::attach(|py| !error.is_instance_of::<PyException>(py)) {
                self.0.get_or_insert(error);
            }
            T::default()
        })
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// What was raised, now that everything is done.
    pub(super) fn into_result(self) -> PyResult<()> {
        self.0.map_or(Ok(()), Err)
    }
}
