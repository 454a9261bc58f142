//! Python objects into messages and back: the codec and the transport put together.

use std::cell::Cell;

use phalanx::message::{Arrived, Incoming, Outgoing, Parcel};
use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;

use crate::codec::{self, OutOfBand};
use crate::ffi::{Payload, SharedBuffer};

/// Copies of more bytes than this are made without the GIL.
const LONG_COPY: usize = 512 * 1024;

/// Buffers that grew beyond this are not kept for the next message.
const KEEP: usize = 1 << 20;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends a buffer that is used again and again. What runs inside may ask for one too.
#[inline]
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = SCRATCH.take();
    buffer.clear();
    let result = work(&mut buffer);
    if buffer.capacity() <= KEEP {
        SCRATCH.set(buffer);
    }
    result
}

/// Makes the message whose frame is `frame` and whose buffers are `payloads`.
///
/// # Errors
/// `MemoryError` when there is no shared memory for it.
#[inline]
pub(crate) fn outgoing<'a>(
    py: Python<'_>,
    family: &'static Family,
    frame: &'a [u8],
    payloads: &OutOfBand,
) -> PyResult<Outgoing<'a>> {
    if payloads.is_empty() {
        return Outgoing::new(family, frame).map_err(out_of_memory);
    }
    parcel(py, family, frame, payloads).map(Outgoing::Parcel)
}

#[cold]
fn parcel(
    py: Python<'_>,
    family: &'static Family,
    frame: &[u8],
    payloads: &OutOfBand,
) -> PyResult<Parcel> {
    let lengths: Vec<usize> = payloads.iter().map(Payload::len).collect();
    let write = || -> Result<Parcel, AllocError> {
        let mut parcel = Parcel::new(family, frame, &lengths)?;
        for payload in payloads {
            payload.with_bytes(|bytes| parcel.push(bytes));
        }
        Ok(parcel)
    };
    let parcel = if lengths.iter().sum::<usize>() > LONG_COPY {
        // The payloads keep their objects alive and in place meanwhile.
        py.detach(write)
    } else {
        write()
    };
    parcel.map_err(out_of_memory)
}

/// Makes the object of a message; `frame` holds the frame of an inline one from `start` on.
#[inline]
pub(crate) fn object_of(
    py: Python<'_>,
    message: Incoming,
    frame: &mut Vec<u8>,
    start: usize,
) -> PyResult<Py<PyAny>> {
    match message {
        Incoming::Inline => codec::decode(py, &frame[start..], Vec::new()),
        Incoming::Parcel(parcel) => {
            frame.truncate(0);
            parcel.read_frame(frame).map_err(damaged)?;
            object_of_parcel(py, parcel, &frame[start..])
        }
    }
}

/// Makes the object of a message that came as a parcel, or else as a frame.
#[inline]
pub(crate) fn object(py: Python<'_>, frame: &[u8], parcel: Option<Arrived>) -> PyResult<Py<PyAny>> {
    let Some(parcel) = parcel else { return codec::decode(py, frame, Vec::new()) };
    let mut frame = Vec::new();
    parcel.read_frame(&mut frame).map_err(damaged)?;
    object_of_parcel(py, parcel, &frame)
}

/// Makes the object of a message with a chunk of its own, whose frame has been read.
#[cold]
pub(crate) fn object_of_parcel(
    py: Python<'_>,
    parcel: Arrived,
    frame: &[u8],
) -> PyResult<Py<PyAny>> {
    let lengths = codec::frame_buffers(frame)?;
    if lengths.len() == 0 {
        // The chunk may be used for the next message while this one is unpickled.
        drop(parcel);
        return codec::decode(py, frame, Vec::new());
    }
    let slices = parcel.into_buffers(lengths).map_err(damaged)?;
    let buffers = slices
        .into_iter()
        .map(|slice| Ok(Bound::new(py, SharedBuffer::new(slice))?.into_any().unbind()));
    codec::decode(py, frame, buffers.collect::<PyResult<_>>()?)
}

/// There is no shared memory left for what the caller wanted to store.
#[cold]
pub(crate) fn out_of_memory(error: AllocError) -> PyErr {
    PyMemoryError::new_err(error.to_string())
}

#[cold]
pub(crate) fn damaged(error: phalanx::message::Damaged) -> PyErr {
    PyValueError::new_err(error.to_string())
}
