//! Memory that arrived from another process, as an object with the buffer protocol.
use std::ffi::c_int;

use phalanx::message::SharedSlice;
use pyo3::ffi;
use pyo3::prelude::*;

/// A run of shared memory that belongs to this process, as a writable buffer.
///
/// Arrays that arrive keep one as their base: their elements lie in the memory they were sent in,
/// nothing has been copied. The memory is free again when the last object that uses it is gone.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct SharedBuffer(SharedSlice);

impl SharedBuffer {
    pub(crate) fn new(slice: SharedSlice) -> Self {
        Self(slice)
    }
}

#[pymethods]
impl SharedBuffer {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!("<SharedBuffer of {} bytes>", self.0.len())
    }

    // SAFETY: called by the interpreter with a view to fill.
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (address, len) = (slf.0.address(), slf.0.len() as isize);
        // SAFETY: the memory stays mapped and ours as long as the slice lives, and the view keeps
        // a reference to the object that owns it. Only this process uses it: it was sent to us
        // alone. If another process dies, nothing changes; if we die, the sweep frees it.
        unsafe {
            match ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address.cast(), len, 0, flags) {
                0 => Ok(()),
                _ => Err(PyErr::fetch(slf.py())),
            }
        }
    }
}
