//! Bytes of a Python object that travel outside the frame.
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The contiguous bytes of one object, kept alive and in place until this value is dropped.
pub(crate) struct Payload {
    data: *const u8,
    len: usize,
    owner: Owner,
}

/// Who keeps the bytes where they are.
enum Owner {
    /// An immutable object; the bytes are inside it.
    Object(#[expect(dead_code, reason = "held for its reference only")] Py<PyAny>),
    /// A buffer taken with `PyObject_GetBuffer`; boxed because the exporter may point into it.
    View(Box<ffi::Py_buffer>),
}

// SAFETY: the bytes belong to an object that the owner keeps in place whichever thread holds the
// owner, and releasing it attaches to the interpreter first. Heap of this process only: another
// process' death changes nothing.
unsafe impl Send for Payload {}
// SAFETY: shared references give out the address and the length, which never change, and the bytes
// themselves under the conditions of the functions that do. As above otherwise.
unsafe impl Sync for Payload {}

impl Payload {
    /// The contents of a `bytes` object.
    pub(crate) fn of_bytes(bytes: &Bound<'_, PyBytes>) -> Self {
        Self::inside(bytes.as_bytes(), bytes.as_any())
    }

    /// The UTF-8 form of a `str`; `None` if it has none.
    pub(crate) fn of_str(text: Borrowed<'_, '_, PyAny>) -> Option<Self> {
        Some(Self::inside(super::utf8(text)?, &text))
    }

    /// Takes the buffer of any object, in C or Fortran order, read-only or not.
    ///
    /// # Errors
    ///
    /// `BufferError` if the object has none or if it is not contiguous.
    pub(crate) fn of_exporter(obj: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: `view` is a valid place to fill, and stays where it is in its box. On failure
        // nothing is held; a buffer found not contiguous is released at once. Heap of this process
        // only: another process' death changes nothing.
        unsafe {
            if ffi::PyObject_GetBuffer(obj.as_ptr(), &mut *view, ffi::PyBUF_FULL_RO) != 0 {
                return Err(PyErr::fetch(obj.py()));
            }
            if ffi::PyBuffer_IsContiguous(&*view, b'A' as std::ffi::c_char) == 0 {
                ffi::PyBuffer_Release(&mut *view);
                return Err(PyBufferError::new_err("cannot send a buffer that is not contiguous"));
            }
        }
        let len = usize::try_from(view.len).unwrap_or(0);
        Ok(Self { data: view.buf.cast_const().cast(), len, owner: Owner::View(view) })
    }

    fn inside(bytes: &[u8], owner: &Bound<'_, PyAny>) -> Self {
        let owner = Owner::Object(owner.clone().unbind());
        Self { data: bytes.as_ptr(), len: bytes.len(), owner }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes, for as long as the interpreter stays attached: other threads of Python cannot
    /// change them meanwhile.
    pub(crate) fn as_slice<'a>(&'a self, _py: Python<'a>) -> &'a [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `data` is valid for `len` bytes while `self` lives. The attached thread is the
        // only one that runs Python code, so nothing written in Python changes them under the
        // slice. Heap of this process only: another process' death changes nothing.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    /// Calls `read` with the bytes, with the interpreter attached or not.
    ///
    /// Where another thread changes the object meanwhile, `read` sees some mixture of old and new
    /// bytes, so it should only copy them.
    pub(crate) fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        if self.len == 0 {
            return read(&[]);
        }
        // SAFETY: `data` is valid for `len` bytes while `self` lives. Heap of this process only:
        // another process' death changes nothing.
        read(unsafe { std::slice::from_raw_parts(self.data, self.len) })
    }

    /// Calls `read` with the bytes of several, under the same conditions.
    pub(crate) fn with_all<R>(payloads: &[Self], read: impl FnOnce(&[&[u8]]) -> R) -> R {
        let slices: Vec<&[u8]> = payloads
            .iter()
            .filter(|payload| payload.len > 0)
            // SAFETY: each `data` is valid for `len` bytes while the payload lives, which is longer than
            // `read` runs. Heap of this process only: another process' death changes nothing.
            .map(|payload| unsafe { std::slice::from_raw_parts(payload.data, payload.len) })
            .collect();
        read(&slices)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Owner::View(view) = &mut self.owner {
            // SAFETY: the buffer was taken once by `of_exporter` and is released once, here,
            // attached. If the interpreter is gone already there is nobody to give it back to.
            // Heap of this process only: another process' death changes nothing.
            let release = |_py: Python<'_>| unsafe { ffi::PyBuffer_Release(&mut **view) };
            Python::try_attach(release);
        }
    }
}
