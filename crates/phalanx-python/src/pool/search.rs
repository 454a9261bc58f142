//! Searches: calls that are over with the first result that decides them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use super::input::Input;
use super::job::Callbacks;
use super::owner::Owner;
use super::stream::{Fetched, IMapIterator};
use super::wire::Mode;

/// Runs tasks until `test` is true for a result; the result, if there is one. However it ends, what has
/// not begun is not run any more, and what runs can see that it is not wanted.
pub(super) fn search(
    py: Python<'_>,
    owner: &Arc<Owner>,
    function: &Bound<'_, PyAny>,
    iterable: &Bound<'_, PyAny>,
    test: &Bound<'_, PyAny>,
    chunksize: Option<usize>,
) -> PyResult<Option<(Py<PyAny>,)>> {
    let input = Input::of(iterable)?;
    let job = owner.open(py, function, Mode::Each, false, Callbacks::default(), None)?;
    job.is_search.store(true, Ordering::Relaxed);
    let id = job.id;
    let results = IMapIterator::start(py, Arc::clone(owner), job, input, chunksize, false, None);
    let found = look_through(py, &results, test);
    if !matches!(found, Ok(None)) {
        owner.crew.cancel(id);
        let error = super::executor::cancelled(py);
        results.stream.abandon(py, owner, &error);
    }
    found
}

fn look_through(
    py: Python<'_>,
    results: &IMapIterator,
    test: &Bound<'_, PyAny>,
) -> PyResult<Option<(Py<PyAny>,)>> {
    loop {
        let Fetched::Result(piece) = results.fetch(py, None)? else { return Ok(None) };
        let value = piece.answer.decode(py)?;
        if test.call1((value.bind(py),))?.is_truthy()? {
            return Ok(Some((value,)));
        }
    }
}

/// Return whether the result of the running task is not wanted any more.
///
/// That is so when the others have answered the question that it is a part of (`Pool.any` and the like),
/// or when its future was cancelled. For tasks that take long and can stop early: whatever they return
/// then, nobody looks at it. It takes some ten nanoseconds. Outside of a task of a pool it is false.
#[pyfunction]
pub(crate) fn cancelled() -> bool {
    phalanx::cancelled()
}
