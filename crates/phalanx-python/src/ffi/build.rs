//! Makes strings, lists and tuples without a detour through temporary values.
use pyo3::exceptions::PyOverflowError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// A new `str` from UTF-8 bytes; a `UnicodeDecodeError` if they are not UTF-8.
#[inline]
pub(crate) fn str_from_utf8<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let len = length(bytes.len())?;
    // SAFETY: `PyUnicode_New` with a maximum of 127 gives a compact ASCII string of exactly `len`
    // bytes, not shared with anybody yet, and ASCII bytes are all that is written to it. Strings
    // of length 0 and 1 may be shared singletons and take the other road. Heap of this process
    // only: another process' death changes nothing.
    unsafe {
        if bytes.len() > 1 && bytes.is_ascii() {
            let text = ffi::PyUnicode_New(len, 127);
            if !text.is_null() {
                let data = ffi::PyUnicode_1BYTE_DATA(text);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
            }
            return Bound::from_owned_ptr_or_err(py, text);
        }
        let text = ffi::PyUnicode_DecodeUTF8(bytes.as_ptr().cast(), len, c"strict".as_ptr());
        Bound::from_owned_ptr_or_err(py, text)
    }
}

/// A new list of `len` items, each made by `item`; the first error ends it.
#[inline]
pub(crate) fn list_from<'py>(
    py: Python<'py>,
    len: usize,
    mut item: impl FnMut() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let size = length(len)?;
    // SAFETY: a new list of `size` empty places, each filled once and in order with a reference
    // given away; on an error the list is dropped, and lists tolerate empty places then. Heap of
    // this process only: another process' death changes nothing.
    unsafe {
        let list = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(size))?;
        for index in 0..size {
            ffi::PyList_SET_ITEM(list.as_ptr(), index, item()?.into_ptr());
        }
        Ok(list.cast_into_unchecked())
    }
}

/// A new tuple of `len` items, each made by `item`; the first error ends it.
#[inline]
pub(crate) fn tuple_from<'py>(
    py: Python<'py>,
    len: usize,
    mut item: impl FnMut() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let size = length(len)?;
    // SAFETY: as for lists; a tuple of length 0 is the shared empty one and nothing is written
    // to it. Heap of this process only: another process' death changes nothing.
    unsafe {
        let tuple = Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(size))?;
        for index in 0..size {
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index, item()?.into_ptr());
        }
        Ok(tuple.cast_into_unchecked())
    }
}

fn length(len: usize) -> PyResult<ffi::Py_ssize_t> {
    ffi::Py_ssize_t::try_from(len)
        .map_err(|_| PyOverflowError::new_err(format!("cannot make an object of {len} items")))
}
