//! The state of the shared memory, for people and for tests.

use phalanx::diagnosis;
use pyo3::prelude::*;

use crate::error::os_error;

/// Say who shares memory with this process, or with the process `pid`, and in what state each shared
/// object is: who holds which lock, how much waits in which queue, which worker runs which task.
///
/// Takes no lock, so that it answers while everything else is stuck.
#[pyfunction]
#[pyo3(signature = (pid = None))]
pub(crate) fn dump_state(pid: Option<u32>) -> PyResult<String> {
    match pid {
        None => Ok(diagnosis::dump_state()),
        Some(pid) => diagnosis::dump_state_of(pid).map_err(os_error),
    }
}

/// Return how many shared objects there are, how many parts they have, how many chunks of memory belong to
/// one process each, and how many bytes all of that is.
#[pyfunction]
pub(crate) fn arena_census() -> (usize, usize, usize, u64) {
    let (census, _) = diagnosis::census().unwrap_or_default();
    (census.objects, census.parts, census.owned, census.bytes)
}
