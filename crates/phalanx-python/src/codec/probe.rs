//! The codec as two Python functions, for the tests of its properties.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::{Main, decode, decode_exception, encode_exception, encode_with, frame_buffers};

/// The frame of `obj` and copies of its buffers.
#[pyfunction]
#[pyo3(signature = (obj, main_by_value = None))]
pub(crate) fn _codec_dumps<'py>(
    obj: &Bound<'py, PyAny>,
    main_by_value: Option<bool>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyList>)> {
    let py = obj.py();
    let main = main_by_value.map(|by_value| {
        if by_value {
            Main::ByValue
        } else {
            Main::ByReference
        }
    });
    let mut frame = Vec::new();
    let payloads = encode_with(py, obj, &mut frame, main)?;
    let copies = payloads
        .iter()
        .map(|payload| PyBytes::new(py, payload.as_slice(py)));
    Ok((
        PyBytes::new(py, &frame),
        PyList::new(py, copies.collect::<Vec<_>>())?,
    ))
}

/// The object of a frame; `buffers` export what belongs to it.
#[pyfunction]
#[pyo3(signature = (frame, buffers = Vec::new()))]
pub(crate) fn _codec_loads(
    py: Python<'_>,
    frame: &[u8],
    buffers: Vec<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    decode(py, frame, buffers)
}

/// The lengths of the buffers that a frame announces.
#[pyfunction]
pub(crate) fn _codec_buffers(frame: &[u8]) -> PyResult<Vec<u64>> {
    Ok(frame_buffers(frame)?.collect())
}

/// The frame of an exception.
#[pyfunction]
pub(crate) fn _codec_dump_exception<'py>(error: &Bound<'py, PyAny>) -> Bound<'py, PyBytes> {
    let mut frame = Vec::new();
    encode_exception(error.py(), error, &mut frame);
    PyBytes::new(error.py(), &frame)
}

/// The exception of a frame.
#[pyfunction]
pub(crate) fn _codec_load_exception(py: Python<'_>, frame: &[u8]) -> PyResult<Py<PyAny>> {
    decode_exception(py, frame)
}
