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

/// Reducers that hold only while a process is being started: for what is passed on in no other way.
static INHERITED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
static ANY_INHERITED: AtomicBool = AtomicBool::new(false);

/// As `register_reducer`, but only for what is pickled for a process that is being started.
#[pyfunction]
pub(crate) fn register_inherited(
    kind: &Bound<'_, PyType>,
    reduce: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = kind.py();
    INHERITED.get_or_init(py, || PyDict::new(py).unbind()).bind(py).set_item(kind, reduce)?;
    ANY_INHERITED.store(true, Ordering::Relaxed);
    Ok(())
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

/// The reducers that hold now, if there are any.
#[inline]
pub(super) fn registered(py: Python<'_>) -> Option<Bound<'_, PyDict>> {
    if ANY_INHERITED.load(Ordering::Relaxed) && phalanx::process::spawning_slot().is_some() {
        return with_inherited(py);
    }
    ANY.load(Ordering::Relaxed).then(|| table(py).clone())
}

#[cold]
fn with_inherited(py: Python<'_>) -> Option<Bound<'_, PyDict>> {
    let merged = table(py).copy().ok()?;
    merged.update(INHERITED.get(py)?.bind(py).as_mapping()).ok()?;
    Some(merged)
}
