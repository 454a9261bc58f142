//! What is made once and kept, in a way that a fork cannot come between.
//!
//! `PyOnceLock` lets one thread make the value and the others wait. If the process forks meanwhile (making it
//! may import something, and so let other threads run), the child waits for a thread that it does not
//! have. Here whoever needs the value makes it, perhaps two threads at a time, and the first to be done is
//! kept.

use pyo3::PyTypeCheck;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub(crate) trait MadeOnce<T> {
    /// The value, made now if need be.
    fn made(&self, py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<&T>;
}

impl<T> MadeOnce<T> for PyOnceLock<T> {
    fn made(&self, py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<&T> {
        if let Some(value) = self.get(py) {
            return Ok(value);
        }
        let value = make()?;
        // Setting it lets nobody else run.
        let _ = self.set(py, value);
        Ok(self.get(py).expect("it has just been set"))
    }
}

pub(crate) trait FoundOnce<T> {
    /// What a module has by that name, imported now if need be.
    fn found<'py>(&self, py: Python<'py>, module: &str, name: &str) -> PyResult<&Bound<'py, T>>;
}

impl<T: PyTypeCheck> FoundOnce<T> for PyOnceLock<Py<T>> {
    fn found<'py>(&self, py: Python<'py>, module: &str, name: &str) -> PyResult<&Bound<'py, T>> {
        let find = || Ok(py.import(module)?.getattr(name)?.cast_into()?.unbind());
        self.made(py, find).map(|found| found.bind(py))
    }
}
