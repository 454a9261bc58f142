//! What `phalanx.resource_tracker` and `phalanx.shared_memory` ask of the engine.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::RawFd;

use phalanx::named;
use phalanx::named::tracker;
use phalanx_os::signal::SignalSet;
use phalanx_os::spawn::{self, Program};
use phalanx_shm::family::Family;
use phalanx_shm::peers::SlotId;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::os_error;

/// Take a name of shared memory away.
#[pyfunction]
pub(crate) fn remove_segment(name: &str) -> PyResult<()> {
    if name.contains('\0') {
        return Err(PyValueError::new_err("embedded null byte"));
    }
    named::remove(name).map_err(|e| {
        let error = os_error(e);
        Python::attach(|py| {
            let _ = error.value(py).setattr("filename", name);
        });
        error
    })
}

/// Return a name for shared memory that probably nobody has.
#[pyfunction]
pub(crate) fn some_segment_name() -> PyResult<String> {
    named::some_name().map_err(os_error)
}

/// Start a program that finds the given descriptors open, and signals blocked; return its process id.
#[pyfunction]
#[pyo3(signature = (path, args, passfds, block_signals = false))]
pub(crate) fn spawnv_passfds(
    path: &[u8],
    args: Vec<Vec<u8>>,
    passfds: Vec<RawFd>,
    block_signals: bool,
) -> PyResult<u32> {
    let text = |bytes: Vec<u8>| {
        CString::new(bytes).map_err(|_| PyValueError::new_err("embedded null byte"))
    };
    let path = text(path.to_vec())?;
    let arguments = args.into_iter().map(text).collect::<PyResult<Vec<_>>>()?;
    let mask = block_signals.then(SignalSet::all);
    let program = Program { path: &path, arguments: &arguments, keep: &passfds, mask };
    spawn::spawn(&program).map_err(os_error)
}

/// Return the process id of the first process of the program that this one belongs to.
#[pyfunction]
pub(crate) fn first_process() -> u32 {
    // Nobody can have its place before it has ended, and the others end with it.
    let first = Family::existing().zip(SlotId::from_raw(1));
    let pid = first.map_or(0, |(family, first)| family.arena().table().pid(first));
    if pid == 0 { std::process::id() } else { pid }
}

/// Be the tracker that reads from a descriptor: when all who could write to it have ended, and process
/// `root` too if one is given, return what they left behind, by kind.
///
/// `bad(text)` is called for lines that say nothing. The kinds that can be removed are the keys of
/// `cleanup`.
#[pyfunction]
pub(crate) fn track<'py>(
    py: Python<'py>,
    fd: RawFd,
    root: Option<u32>,
    cleanup: &Bound<'py, PyDict>,
    bad: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let pipe = File::from(phalanx_os::inherit::take(fd).map_err(os_error)?);
    let kinds: Vec<String> =
        cleanup.keys().iter().map(|kind| kind.extract()).collect::<PyResult<_>>()?;
    let bad = bad.clone().unbind();
    let book = py.detach(|| {
        let knows = |kind: &str| kinds.iter().any(|known| known == kind);
        let report = |line: &tracker::BadLine| {
            Python::attach(|py| {
                // A report that fails is no reason to leave things behind.
                let _ = bad.call1(py, (line.to_string(),));
            });
        };
        tracker::keep_book(pipe, root, knows, report)
    });
    let left = PyDict::new(py);
    for (kind, names) in book.map_err(|e| PyOSError::new_err(e.to_string()))?.left_behind() {
        left.set_item(kind, names)?;
    }
    Ok(left)
}
