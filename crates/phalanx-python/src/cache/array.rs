//! Arrays of NumPy: their bytes are digested where they are, without a copy if they are contiguous.

use crate::once::{MadeOnce, intern};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

use super::reduce;
use super::walk::{Walk, Written, write_payload};
use crate::ffi::Payload;

/// What is looked up once, when NumPy has been imported by somebody.
struct NumPy {
    ndarray: Py<PyAny>,
    memmap: Py<PyAny>,
    uint8: Py<PyAny>,
    ascontiguousarray: Py<PyAny>,
    zeros: Py<PyAny>,
}

static NUMPY: PyOnceLock<NumPy> = PyOnceLock::new();

/// NumPy, unless nobody has imported it: then there are no arrays.
fn numpy<'py>(py: Python<'py>) -> PyResult<Option<&'py NumPy>> {
    if let Some(numpy) = NUMPY.get(py) {
        return Ok(Some(numpy));
    }
    let modules = py.import("sys")?.getattr(intern!(py, "modules"))?;
    let Ok(module) = modules.get_item("numpy") else { return Ok(None) };
    // One that is just being imported has no arrays yet either.
    let Ok(module) = module.cast_into::<PyModule>() else { return Ok(None) };
    let (Ok(ndarray), Ok(memmap), Ok(uint8), Ok(ascontiguousarray), Ok(zeros)) = (
        module.getattr("ndarray"),
        module.getattr("memmap"),
        module.getattr("uint8"),
        module.getattr("ascontiguousarray"),
        module.getattr("zeros"),
    ) else {
        return Ok(None);
    };
    NUMPY
        .made(py, || {
            Ok(NumPy {
                ndarray: ndarray.unbind(),
                memmap: memmap.unbind(),
                uint8: uint8.unbind(),
                ascontiguousarray: ascontiguousarray.unbind(),
                zeros: zeros.unbind(),
            })
        })
        .map(Some)
}

/// New bytes, as an array: memory that nobody has touched yet, in large pages where the system has them.
/// Nothing without NumPy.
pub(super) fn bytes(py: Python<'_>, len: usize) -> PyResult<Option<Bound<'_, PyAny>>> {
    let Some(numpy) = numpy(py)? else { return Ok(None) };
    numpy.zeros.bind(py).call1((len, &numpy.uint8)).map(Some)
}

/// Writes an array of plain values; false for anything else.
///
/// Subclasses other than memory-mapped arrays have contents beside their bytes, as the mask of a masked
/// array; they are written by way of their pickle.
pub(super) fn write<'py>(
    walk: &mut Walk<'py>,
    obj: &Bound<'py, PyAny>,
    out: &mut Written,
) -> PyResult<bool> {
    let py = walk.py();
    let Some(numpy) = numpy(py)? else { return Ok(false) };
    let class = obj.get_type();
    let is_map = class.is(&numpy.memmap);
    if !is_map && !class.is(&numpy.ndarray) {
        return Ok(false);
    }
    let dtype = obj.getattr(intern!(py, "dtype"))?;
    if dtype.getattr(intern!(py, "hasobject"))?.extract()? {
        return Ok(false);
    }
    out.update(b"A");
    let as_class = if is_map && !walk.coerce_mmap { &numpy.memmap } else { &numpy.ndarray };
    reduce::name(as_class.bind(py), out)?;
    walk.value(&dtype, out)?;
    walk.value(&obj.getattr(intern!(py, "shape"))?, out)?;
    // The same values in another order give other results in many a function.
    let flags = obj.getattr(intern!(py, "flags"))?;
    let is = |name| -> PyResult<bool> { flags.getattr(name)?.extract() };
    let rows = is(intern!(py, "c_contiguous"))?;
    let columns = is(intern!(py, "f_contiguous"))?;
    let bytes = if rows {
        out.update(b"C");
        obj.clone()
    } else if columns {
        out.update(b"F");
        obj.getattr(intern!(py, "T"))?
    } else {
        out.update(b"X");
        walk.value(&obj.getattr(intern!(py, "strides"))?, out)?;
        numpy.ascontiguousarray.bind(py).call1((obj,))?
    };
    if obj.getattr(intern!(py, "nbytes"))?.extract::<usize>()? == 0 {
        return Ok(true);
    }
    // Not all types have a buffer of their own (dates have none), but bytes do.
    let flat = bytes.call_method1(intern!(py, "reshape"), (-1,))?;
    let bytes = flat.call_method1(intern!(py, "view"), (&numpy.uint8,))?;
    write_payload(b"b", &Payload::of_exporter(&bytes)?, py, out);
    Ok(true)
}
