//! Python objects as messages of the engine: encoded, copied once, and used where they arrive.

use phalanx::message::{Arrived, Damaged, Outgoing, Parcel};
use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::ring::INLINE_MAX;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::codec::{OutOfBand, decode, encode, frame_buffers};
use crate::ffi::SharedBuffer;

/// This process's family.
pub(crate) fn family() -> PyResult<&'static Family> {
    Family::get().map_err(|e| PyOSError::new_err(format!("cannot set up shared memory: {e}")))
}

/// The error of a request for more shared memory than there is.
pub(crate) fn no_memory(e: AllocError) -> PyErr {
    PyMemoryError::new_err(e.to_string())
}

/// The error of a message that contradicts itself.
fn damaged(e: Damaged) -> PyErr {
    PyValueError::new_err(e.to_string())
}

/// Encodes an object into `frame` (which is cleared) and makes a message of it.
///
/// # Errors
/// What pickling raises; `MemoryError` when there is no shared memory.
pub(crate) fn pack<'a>(
    py: Python<'_>,
    family: &'static Family,
    object: &Bound<'_, PyAny>,
    frame: &'a mut Vec<u8>,
) -> PyResult<Outgoing<'a>> {
    frame.clear();
    let buffers = encode(py, object, frame)?;
    parcel(py, family, frame, &buffers)
}

/// Makes a message of a frame and its buffers, each of which is copied once.
///
/// # Errors
/// `MemoryError` when there is no shared memory.
pub(crate) fn parcel<'a>(
    py: Python<'_>,
    family: &'static Family,
    frame: &'a [u8],
    buffers: &OutOfBand,
) -> PyResult<Outgoing<'a>> {
    if buffers.is_empty() && frame.len() <= INLINE_MAX {
        return Ok(Outgoing::Inline(frame));
    }
    let lengths: Vec<usize> = buffers.iter().map(crate::ffi::Payload::len).collect();
    let mut parcel = Parcel::new(family, frame, &lengths).map_err(no_memory)?;
    for buffer in buffers {
        parcel.push(buffer.as_slice(py));
    }
    Ok(Outgoing::Parcel(parcel))
}

/// Makes the object that [`pack`] sent: `frame` is the message's bytes, unless it came as a parcel.
///
/// # Errors
/// What unpickling raises; `ValueError` for a message that no encoder made.
pub(crate) fn unpack(
    py: Python<'_>,
    frame: &[u8],
    arrived: Option<Arrived>,
) -> PyResult<Py<PyAny>> {
    let Some(arrived) = arrived else {
        return decode(py, frame, Vec::new());
    };
    let mut frame = Vec::new();
    arrived.read_frame(&mut frame).map_err(damaged)?;
    let lengths: Vec<u64> = frame_buffers(&frame)?.collect();
    if lengths.is_empty() {
        drop(arrived);
        return decode(py, &frame, Vec::new());
    }
    let slices = arrived.into_buffers(lengths).map_err(damaged)?;
    let buffers = slices
        .into_iter()
        .map(|slice| Ok(Py::new(py, SharedBuffer::new(slice))?.into_any()))
        .collect::<PyResult<Vec<_>>>()?;
    decode(py, &frame, buffers)
}
