//! What joins the `__main__` of a worker because a function brought it along.
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::ffi::FunctionParts;
use crate::once::KeptTable;

static ADOPTING: AtomicBool = AtomicBool::new(false);

/// By name, what `__main__` holds only because it was adopted.
static ADOPTED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

fn adopted(py: Python<'_>) -> &Bound<'_, PyDict> {
    ADOPTED.table(py)
}

/// Makes this process a worker: functions of the sender's `__main__` join its own from now on.
#[pyfunction]
#[pyo3(name = "_adopt_main")]
pub(crate) fn begin_adopting() {
    ADOPTING.store(true, Ordering::Relaxed);
}

/// The same, and everything that `__main__` holds by now follows the sender too: this process was made
/// as a copy of the sender, and none of it was set by what it runs itself.
#[pyfunction]
#[pyo3(name = "_adopt_whole_main")]
pub(crate) fn begin_adopting_all(py: Python<'_>) -> PyResult<()> {
    begin_adopting();
    let main = py.import("sys")?.getattr("modules")?.get_item("__main__")?;
    adopted(py).update(main.getattr("__dict__")?.cast::<PyDict>()?.as_mapping())
}

/// Whether functions of the sender's `__main__` join that of this process.
#[pyfunction]
pub(crate) fn _adopts_main() -> bool {
    ADOPTING.load(Ordering::Relaxed)
}

/// Gives `namespace` a value that a function brought along.
///
/// Definitions follow the sender. Every other value that this process has set itself stays: an
/// initializer may have set it.
#[pyfunction]
#[pyo3(name = "_adopt_global")]
pub(crate) fn adopt(
    namespace: &Bound<'_, PyDict>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let is_definition = value.is_instance_of::<PyType>() || FunctionParts::of(value).is_some();
    if !is_definition
        && let Some(present) = namespace.get_item(name)?
        && !is_adopted(name, &present)?
    {
        return Ok(());
    }
    namespace.set_item(name, value)?;
    adopted(namespace.py()).set_item(name, value)
}

/// Whether `value` is what was adopted under `name`.
pub(super) fn is_adopted(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(adopted(name.py()).get_item(name)?.is_some_and(|ours| ours.is(value)))
}
