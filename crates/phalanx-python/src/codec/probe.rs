//! The codec as two Python functions, for the tests of its properties.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::{
    FunctionCache, Main, decode, decode_exception, encode_exception, encode_with, frame_buffers,
    ship,
};

/// The frame of `obj` and copies of its buffers.
#[pyfunction]
#[pyo3(signature = (obj, main_by_value = None))]
pub(crate) fn _codec_dumps<'py>(
    obj: &Bound<'py, PyAny>,
    main_by_value: Option<bool>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyList>)> {
    let py = obj.py();
    let main = main_by_value.map(main_mode);
    let mut frame = Vec::new();
    let payloads = encode_with(py, obj, &mut frame, main)?;
    let copies = payloads.iter().map(|payload| PyBytes::new(py, payload.as_slice(py)));
    Ok((PyBytes::new(py, &frame), PyList::new(py, copies.collect::<Vec<_>>())?))
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

/// The id and the bytes of a callable.
#[pyfunction]
#[pyo3(signature = (callable, main_by_value = None))]
pub(crate) fn _codec_ship<'py>(
    callable: &Bound<'py, PyAny>,
    main_by_value: Option<bool>,
) -> PyResult<(u64, Bound<'py, PyBytes>)> {
    let py = callable.py();
    let shipped = ship(py, callable, main_by_value.map(main_mode))?;
    Ok((shipped.id, PyBytes::new(py, &shipped.bytes)))
}

/// A worker's functions.
#[pyclass(module = "phalanx._core")]
pub(crate) struct _CodecFunctions(FunctionCache);

#[pymethods]
impl _CodecFunctions {
    #[new]
    #[pyo3(signature = (kept = None))]
    fn new(kept: Option<usize>) -> Self {
        Self(kept.map_or_else(FunctionCache::default, FunctionCache::with_capacity))
    }

    fn get(&mut self, py: Python<'_>, id: u64) -> PyResult<Option<Py<PyAny>>> {
        self.0.get(py, id)
    }

    fn resolve(&mut self, py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
        self.0.resolve(py, bytes)
    }
}

fn main_mode(by_value: bool) -> Main {
    if by_value { Main::ByValue } else { Main::ByReference }
}
