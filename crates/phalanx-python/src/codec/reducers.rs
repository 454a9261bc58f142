//! Reducers that the program registered for its own types, beside those of `copyreg`.
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

static REDUCERS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Spares the usual case, a program that registers nothing, every look at the table.
static ANY: AtomicBool = AtomicBool::new(false);

fn table(py: Python<'_>) -> &Bound<'_, PyDict> {
    REDUCERS.get_or_init(py, || PyDict::new(py).unbind()).bind(py)
}

/// Makes `reduce(obj)` the way in which objects of exactly the type `kind` are pickled.
#[pyfunction]
pub(crate) fn register_reducer(
    kind: &Bound<'_, PyType>,
    reduce: &Bound<'_, PyAny>,
) -> PyResult<()> {
    table(kind.py()).set_item(kind, reduce)?;
    ANY.store(true, Ordering::Relaxed);
    Ok(())
}

/// The registered reducers, if there are any.
#[inline]
pub(super) fn registered(py: Python<'_>) -> Option<&Bound<'_, PyDict>> {
    ANY.load(Ordering::Relaxed).then(|| table(py))
}
