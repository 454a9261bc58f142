//! Calls with a keyword argument and no dictionary for it.
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Calls `callable(*positional, name=value)`, where `names` is the tuple `(name,)`.
///
/// The last object of `args` is the keyword's value, the others are positional.
pub(crate) fn call_with_keyword<'py, const N: usize>(
    callable: &Bound<'py, PyAny>,
    args: [Borrowed<'_, 'py, PyAny>; N],
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    const { assert!(N > 0) };
    let raw = args.map(|arg| arg.as_ptr());
    // SAFETY: `raw` holds N live objects for the length of the call: N - 1 positional ones and the
    // value of the one keyword in `names`. The result is a new reference or null with an error
    // set. Heap of this process only: another process' death changes nothing.
    unsafe {
        let result =
            ffi::PyObject_Vectorcall(callable.as_ptr(), raw.as_ptr(), N - 1, names.as_ptr());
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}
