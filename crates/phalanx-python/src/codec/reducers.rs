//! Reducers that the program registered for its own types, beside those of `copyreg`.
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::once::KeptTable;

static REDUCERS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Spares the usual case, a program that registers nothing, every look at the table.
static ANY: AtomicBool = AtomicBool::new(false);

fn table(py: Python<'_>) -> &Bound<'_, PyDict> {
    REDUCERS.table(py)
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
    INHERITED.table(py).set_item(kind, reduce)?;
    ANY_INHERITED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Reducers for what tasks of one call share: in force only while `sharing` runs in the same thread.
static SHARED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

thread_local! {
    static IS_SHARING: Cell<bool> = const { Cell::new(false) };
}

/// As `register_reducer`, but only for the arguments of calls that share what is large.
#[pyfunction]
#[pyo3(name = "_register_shared")]
pub(crate) fn register_shared(kind: &Bound<'_, PyType>, reduce: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = kind.py();
    SHARED.table(py).set_item(kind, reduce)
}

/// Runs something for which the reducers of `register_shared` are in force.
pub(crate) fn sharing<R>(is_shared: bool, work: impl FnOnce() -> R) -> R {
    let before = IS_SHARING.replace(is_shared);
    let result = work();
    IS_SHARING.set(before);
    result
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
        return with_more(py, &INHERITED);
    }
    if IS_SHARING.get() && SHARED.get(py).is_some() {
        return with_more(py, &SHARED);
    }
    ANY.load(Ordering::Relaxed).then(|| table(py).clone())
}

#[cold]
fn with_more<'py>(
    py: Python<'py>,
    more: &'static PyOnceLock<Py<PyDict>>,
) -> Option<Bound<'py, PyDict>> {
    let merged = table(py).copy().ok()?;
    merged.update(more.get(py)?.bind(py).as_mapping()).ok()?;
    Some(merged)
}
