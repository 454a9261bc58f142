//! Memory that processes share, as an object with the buffer protocol.
use std::ffi::{c_int, c_void};

use phalanx::message::SharedSlice;
use phalanx::stash::StashView;
use pyo3::ffi;
use pyo3::prelude::*;

/// A writable run of bytes in shared memory, kept there by this object.
///
/// Arrays that were unpickled over it hold it as their base.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct SharedBuffer(Source);

/// Where the bytes lie.
enum Source {
    /// In memory that was sent to this process alone.
    Own(SharedSlice),
    /// In a private view of memory that several were given, and whether it is only to be read.
    Stashed(StashView, bool),
}

impl Source {
    fn place(&self) -> (*mut u8, usize) {
        match self {
            Self::Own(slice) => (slice.address(), slice.len()),
            Self::Stashed(view, _) => (view.address(), view.len()),
        }
    }
}

impl SharedBuffer {
    pub(crate) fn new(slice: SharedSlice) -> Self {
        Self(Source::Own(slice))
    }

    pub(crate) fn stashed(view: StashView, is_read_only: bool) -> Self {
        Self(Source::Stashed(view, is_read_only))
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
        self.0.place().1
    }

    // SAFETY (of the signature): called by CPython with a `Py_buffer` to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (address, len) = slf.get().0.place();
        let len = ffi::Py_ssize_t::try_from(len)?;
        let address = address.cast::<c_void>();
        let read_only = c_int::from(matches!(slf.get().0, Source::Stashed(_, true)));
        // SAFETY: `view` is CPython's to fill, and the view takes a reference to this object, which
        // keeps the memory. Whoever writes there writes to memory that stays mapped and backed as
        // long as this process lives, whatever other processes do.
        let done =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), address, len, read_only, flags) };
        if done == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
