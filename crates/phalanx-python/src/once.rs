//! What is made once and kept, in a way that a fork cannot come between.
//!
//! `PyOnceLock::get_or_init` lets one thread make the value and the others wait, and gives up the interpreter
//! before it begins. If another thread forks then, the child waits for a thread that it does not have. Here
//! whoever needs the value makes it, perhaps two threads at a time, and the first to be done is kept; to
//! keep it lets nobody else run. The same for `pyo3::intern`, which is such a lock behind a macro.

use pyo3::PyTypeCheck;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

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

pub(crate) trait KeptTable {
    /// The dictionary, empty at first.
    fn table<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict>;
}

impl KeptTable for PyOnceLock<Py<PyDict>> {
    fn table<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        let table = self.made(py, || Ok(PyDict::new(py).unbind()));
        table.expect("making a dictionary raises nothing").bind(py)
    }
}

/// A `str` made once and kept: `intern!(py, "name")`.
macro_rules! intern {
    ($py: expr, $text: expr) => {{
        static NAME: $crate::once::Name = $crate::once::Name::new($text);
        NAME.get($py)
    }};
}
pub(crate) use intern;

/// What `intern!` keeps.
pub(crate) struct Name {
    text: &'static str,
    made: PyOnceLock<Py<PyString>>,
}

impl Name {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self { text, made: PyOnceLock::new() }
    }

    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        match self.made.get(py) {
            Some(made) => made.bind(py),
            None => self.make(py),
        }
    }

    #[cold]
    fn make<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        let make = || Ok(PyString::intern(py, self.text).unbind());
        self.made.made(py, make).expect("making a string raises nothing").bind(py)
    }
}
