//! Calls of Python functions in threads that may be left behind when the interpreter ends.
//!
//! Before Python 3.14 a thread that wants to go on with Python code while the interpreter ends is unwound, by
//! `pthread_exit`. Frames of Rust must not be unwound so: the process would be aborted. So such a
//! thread is stopped where it would come back into Rust, and ends with the process. PyO3 does the same
//! where a thread waits for the interpreter itself.
use std::hint::black_box;
use std::mem::{forget, transmute};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

type Call = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *mut ffi::PyObject,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// Dropped by nothing but an unwinding that must not come further.
struct Stop;

impl Drop for Stop {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Calls `function(*args, **kwargs)` in a thread that nobody waits for at the end of the program.
pub(crate) fn call_in_thread<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: the pointer is that of a function with these arguments; the two conventions differ in whether
    // it may unwind. Live objects of this process' own heap, for the length of the call; the result is a new
    // reference, or null with an error set. If the call is unwound, `stop` keeps this thread here,
    // without the interpreter, and nothing above it is touched. Another process' death changes nothing.
    unsafe {
        // PyO3 declares that it does not unwind. Were it called by its name the compiler would believe that,
        // and leave out what stops the thread.
        let call: *const () = black_box(ffi::PyObject_Call as *const ());
        let call: Call = transmute(call);
        let stop = Stop;
        let result = call(function.as_ptr(), args.as_ptr(), kwargs);
        forget(stop);
        Bound::from_owned_ptr_or_err(function.py(), result)
    }
}
