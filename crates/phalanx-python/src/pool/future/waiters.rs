//! Telling those who wait for several futures: the waiters that `wait` and `as_completed` of
//! `concurrent.futures` leave at each.

use crate::once::{FoundOnce, intern};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyType};

/// Tells all waiters, by the method of that name.
pub(super) fn tell_all(
    waiters: &Bound<'_, PyList>,
    future: &Bound<'_, PyAny>,
    method: &Bound<'_, PyString>,
) -> PyResult<()> {
    for waiter in waiters.iter() {
        if waiter.get_type().is(class_of_as_completed(future.py())?) {
            tell_as_completed(&waiter, future)?;
        } else {
            waiter.call_method1(method, (future,))?;
        }
    }
    Ok(())
}

fn class_of_as_completed(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.found(py, "concurrent.futures._base", "_AsCompletedWaiter")
}

/// Does as the methods of `as_completed`'s waiter do, which are all the same; but the event of a waiter
/// that has not come to look since the last time is set already, and setting it is what takes long.
fn tell_as_completed(waiter: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiter.py();
    let lock = waiter.getattr(intern!(py, "lock"))?;
    lock.call_method0(intern!(py, "acquire"))?;
    let tell = || {
        let finished = waiter.getattr(intern!(py, "finished_futures"))?;
        finished.cast::<PyList>()?.append(future)?;
        let event = waiter.getattr(intern!(py, "event"))?;
        if !event.call_method0(intern!(py, "is_set"))?.is_truthy()? {
            event.call_method0(intern!(py, "set"))?;
        }
        Ok(())
    };
    let told = tell();
    lock.call_method0(intern!(py, "release"))?;
    told
}
