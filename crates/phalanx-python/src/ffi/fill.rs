//! Writing into the buffer of an object that was just made.
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Gives `write` all bytes of an object's buffer, without the interpreter.
///
/// # Errors
///
/// `BufferError` if anybody else refers to the object, or if it has no writable buffer in one piece.
pub(crate) fn fill_new<R: Send>(
    obj: &Bound<'_, PyAny>,
    write: impl FnOnce(&mut [u8]) -> R + Send,
) -> PyResult<R> {
    let py = obj.py();
    let mut view = Box::new(ffi::Py_buffer::new());
    // SAFETY: `view` is a valid place to fill, and stays where it is in its box; on failure nothing is held.
    // The reference count of a live object is read while attached. Heap of this process only: another
    // process' death changes nothing.
    let is_new = unsafe {
        if ffi::PyObject_GetBuffer(obj.as_ptr(), &mut *view, ffi::PyBUF_WRITABLE) != 0 {
            return Err(PyErr::fetch(py));
        }
        // Ours, and that of the buffer.
        ffi::Py_REFCNT(obj.as_ptr()) <= 2
    };
    let (data, len) = (view.buf as usize, usize::try_from(view.len).unwrap_or(0));
    let result = match is_new && len > 0 {
        true => Ok(py.detach(|| {
            // SAFETY: the buffer is valid for `len` initialised bytes until it is released below, and nobody
            // else can reach them, since nobody else refers to the object. Heap of this process only: another
            // process' death changes nothing.
            write(unsafe { std::slice::from_raw_parts_mut(data as *mut u8, len) })
        })),
        false => Err(PyBufferError::new_err("cannot fill a buffer that is empty or not new")),
    };
    // SAFETY: taken above and released once, attached. Heap of this process only: another process' death
    // changes nothing.
    unsafe { ffi::PyBuffer_Release(&mut *view) };
    result
}
