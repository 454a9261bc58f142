//! Looking after the zygote.

use phalanx::process::zygote;
use pyo3::prelude::*;

use super::spawning::{Command, launching};

/// Start the zygote by the given command, with what `prepare()` returns as its payload, if this
/// process knows of none.
#[pyfunction]
pub(crate) fn ensure_zygote(
    py: Python<'_>,
    path: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    prepare: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let command = Command::new(path, arguments)?;
    launching(py, &command, prepare, zygote::ensure_running)
}

/// Return the process id of the zygote if this process started it and it is still running.
#[pyfunction]
pub(crate) fn zygote_pid() -> Option<u32> {
    zygote::pid()
}

/// Return how the zygote that this process started last has ended; `None` while it runs.
#[pyfunction]
pub(crate) fn zygote_exitcode(py: Python<'_>) -> Option<i32> {
    py.detach(zygote::exit_status).map(phalanx::process::ExitStatus::as_exitcode)
}

/// Let go of the zygote, which ends once no other process knows it either.
#[pyfunction]
pub(crate) fn zygote_stop(py: Python<'_>) {
    py.detach(zygote::stop);
}
