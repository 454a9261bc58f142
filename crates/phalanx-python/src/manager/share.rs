//! Handing shared objects to relatives that run already.

use phalanx::process::{own_slot, while_sharing_with};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::codec;
use crate::error::os_error;

/// Return the pickle of an object in one piece.
#[pyfunction]
pub(crate) fn _encode_whole<'py>(obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    codec::encode_whole(obj.py(), obj, None)
}

/// Return this process's place in its family's table, and its process id.
#[pyfunction]
pub(crate) fn _own_place() -> PyResult<(u16, u32)> {
    Ok((own_slot().map_err(os_error)?, std::process::id()))
}

/// Call `pack()`: what it shares is held for the process at that place too. Return its result, or
/// `None` if no such process is there.
#[pyfunction]
pub(crate) fn _share_with<'py>(
    place: (u16, u32),
    pack: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    while_sharing_with(place.0, place.1, || pack.call0()).transpose()
}
