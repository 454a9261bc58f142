//! Memory for `ctypes` objects that processes share.
use std::ffi::{c_int, c_void};

use phalanx::value::{Block, NewBlockError};
use phalanx_shm::family::Family;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;

/// A run of zeroed bytes that processes share, with the buffer protocol.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct SharedBlock(Block);

impl SharedBlock {
    pub(crate) fn block(&self) -> &Block {
        &self.0
    }
}

#[pymethods]
impl SharedBlock {
    #[new]
    fn new(size: usize) -> PyResult<Self> {
        match Block::new(size) {
            Ok(block) => Ok(Self(block)),
            Err(NewBlockError::NoArena(e)) => Err(crate::error::os_error(e)),
            Err(other) => Err(PyMemoryError::new_err(other.to_string())),
        }
    }

    /// The block at `offset`, which this process was given.
    #[staticmethod]
    fn _attach(offset: u64) -> PyResult<Self> {
        let block = Block::from_offset(Family::get().map_err(crate::error::os_error)?, offset);
        Ok(Self(block.map_err(|e| PyRuntimeError::new_err(e.to_string()))?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (u64,))> {
        let py = slf.py();
        py.import("phalanx.context")?.call_method1("assert_spawning", (slf,))?;
        Ok((py.get_type::<Self>().getattr("_attach")?, (slf.get().0.share(),)))
    }

    /// Where the bytes are in this process.
    #[getter]
    fn address(&self) -> usize {
        self.0.address() as usize
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    // SAFETY (of the signature): called by CPython with a `Py_buffer` to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let block = &slf.get().0;
        let len = ffi::Py_ssize_t::try_from(block.len())?;
        let address = block.address().cast::<c_void>();
        // SAFETY: `view` is CPython's to fill, and the view takes a reference to this object, which
        // keeps the memory mapped and backed whatever other processes do. They may write to it at
        // any time, as is the purpose of shared values.
        let done = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address, len, 0, flags) };
        if done == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
