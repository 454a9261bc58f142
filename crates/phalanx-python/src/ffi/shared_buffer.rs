//! Memory that processes share, as an object with the buffer protocol.
use std::ffi::{c_int, c_void};

use phalanx::message::SharedSlice;
use pyo3::ffi;
use pyo3::prelude::*;

/// A writable run of bytes in shared memory, kept there by this object.
///
/// Arrays that were unpickled over it hold it as their base.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct SharedBuffer(SharedSlice);

impl SharedBuffer {
    pub(crate) fn new(slice: SharedSlice) -> Self {
        Self(slice)
    }

    /// Calls `read` with the bytes, which nobody but this process can reach.
    pub(crate) fn with_bytes<R>(slice: &SharedSlice, read: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: the address is valid for the length while `slice` lives. It is for messages that
        // just arrived: their chunk belongs to this process, and no other has a view of it. A
        // death elsewhere changes nothing; our own ends the view too.
        let bytes =
            unsafe { std::slice::from_raw_parts(slice.address().cast_const(), slice.len()) };
        read(bytes)
    }
}

#[pymethods]
impl SharedBuffer {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    // SAFETY (of the signature): called by CPython with a `Py_buffer` to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let slice = &slf.get().0;
        let len = ffi::Py_ssize_t::try_from(slice.len())?;
        let address = slice.address().cast::<c_void>();
        // SAFETY: `view` is CPython's to fill, and the view takes a reference to this object, which
        // keeps the memory. Whoever writes there writes to memory that stays mapped and backed as
        // long as this process lives, whatever other processes do.
        let done = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address, len, 0, flags) };
        if done == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
