//! The four methods of a lock as bare C functions: `with lock:` costs little more than the two
//! calls that the interpreter makes.
//!
//! A method made by PyO3 counts its entry, parses arguments and checks the type of `self`, together
//! more than taking a free lock takes. The functions here take a free lock or release a held one,
//! and call the complete method (`_acquire`, `_enter`, `_release`) when that is not all.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyClass;
use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyTuple};

use crate::once::intern;

/// A class of locks whose methods can be made quick.
pub(crate) trait QuickLock: PyClass<Frozen = True> + Sync {
    /// Acquires it if it is free and its last holder released it. Returns whether it did.
    fn acquire_free(&self) -> bool;

    /// Releases it if that is legal. Returns whether it did.
    fn release_held(&self) -> bool;
}

/// Gives the class its `acquire`, `release`, `__enter__` and `__exit__`.
pub(crate) fn quicken<T: QuickLock>(py: Python<'_>) -> PyResult<()> {
    let with_keywords = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    add::<T>(
        py,
        c"acquire",
        c"acquire($self, /, block=True, timeout=None)\n--\n\nAcquire it; return whether that \
          succeeded in time.",
        ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: acquire::<T> },
        with_keywords,
    )?;
    add::<T>(
        py,
        c"release",
        c"release($self, /)\n--\n\nRelease it.",
        ffi::PyMethodDefPointer { PyCFunction: release::<T> },
        ffi::METH_NOARGS,
    )?;
    add::<T>(
        py,
        c"__enter__",
        c"__enter__($self, /)\n--\n\nAcquire it.",
        ffi::PyMethodDefPointer { PyCFunction: enter::<T> },
        ffi::METH_NOARGS,
    )?;
    add::<T>(
        py,
        c"__exit__",
        c"__exit__($self, /, *args)\n--\n\nRelease it.",
        ffi::PyMethodDefPointer { PyCFunctionFast: exit::<T> },
        ffi::METH_FASTCALL,
    )
}

fn add<T: QuickLock>(
    py: Python<'_>,
    name: &'static CStr,
    doc: &'static CStr,
    function: ffi::PyMethodDefPointer,
    flags: c_int,
) -> PyResult<()> {
    let class = py.get_type::<T>();
    let definition = ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: function,
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
    };
    // The descriptor refers to its definition as long as the interpreter lives.
    let definition = Box::leak(Box::new(definition));
    // SAFETY: the definition is complete and never freed, the flags fit the function, and the
    // type is a live one. Heap of this process only: another process' death changes nothing.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, method)?
    };
    class.setattr(name.to_string_lossy(), method)
}

/// Runs one of the functions below for the `self` that the interpreter passed.
///
/// # Safety
/// To be called by the interpreter only, through a method descriptor of the class `T`, which has
/// checked that `this` is an instance.
unsafe fn run<T: QuickLock>(
    this: *mut ffi::PyObject,
    body: impl FnOnce(&T) -> Option<*mut ffi::PyObject>,
    slow: impl for<'py> FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with its lock held and a live instance of `T`, as it lies
    // in this process's heap. What the class points to in shared memory is changed by atomics
    // only, whoever dies.
    let (py, this) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, this).cast_unchecked::<T>())
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if let Some(result) = body(this.get()) {
            return Ok(result);
        }
        // Now with everything that PyO3 wants to know about the thread.
        Python::attach(|_| slow(this.as_any()).map(Bound::into_ptr))
    }));
    match outcome {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(_) => {
            PySystemError::new_err("a method of a lock has panicked").restore(py);
            std::ptr::null_mut()
        }
    }
}

/// `True` or `None` as a new reference.
fn new_reference(of: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called with the two immortal or counted singletons only, by a thread that holds
    // the interpreter's lock. Heap of this process only.
    unsafe {
        ffi::Py_INCREF(of);
    }
    of
}

fn yes() -> *mut ffi::PyObject {
    // SAFETY: a singleton of the interpreter, which outlives every call.
    new_reference(unsafe { ffi::Py_True() })
}

fn none() -> *mut ffi::PyObject {
    // SAFETY: a singleton of the interpreter, which outlives every call.
    new_reference(unsafe { ffi::Py_None() })
}

fn released<T: QuickLock>(lock: &T) -> Option<*mut ffi::PyObject> {
    lock.release_held().then(none)
}

unsafe extern "C" fn enter<T: QuickLock>(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let quick = |lock: &T| lock.acquire_free().then(yes);
    // SAFETY: called by the interpreter through the descriptor.
    unsafe { run(this, quick, |this| this.call_method0(intern!(this.py(), "_enter"))) }
}

unsafe extern "C" fn release<T: QuickLock>(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter through the descriptor.
    unsafe { run(this, released::<T>, |this| this.call_method0(intern!(this.py(), "_release"))) }
}

unsafe extern "C" fn exit<T: QuickLock>(
    this: *mut ffi::PyObject,
    _: *mut *mut ffi::PyObject,
    _: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter through the descriptor.
    unsafe { run(this, released::<T>, |this| this.call_method0(intern!(this.py(), "_release"))) }
}

unsafe extern "C" fn acquire<T: QuickLock>(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // Whatever the arguments are: a free lock needs no waiting. But they have to be looked at.
    let plain = count == 0 && names.is_null();
    let quick = |lock: &T| (plain && lock.acquire_free()).then(yes);
    // SAFETY: called by the interpreter through the descriptor, with `count` positional
    // arguments at `args` and behind them one for each name, all alive during the call.
    unsafe {
        run(this, quick, |this| {
            let (args, keywords) = unpack(this.py(), args, count as usize, names)?;
            this.call_method(intern!(this.py(), "_acquire"), args, Some(&keywords))
        })
    }
}

/// The arguments of a vector call as a tuple and a dictionary.
///
/// # Safety
/// `args` holds `count` live objects and one more for each name in the tuple `names`, which may
/// be null.
unsafe fn unpack<'py>(
    py: Python<'py>,
    args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    // SAFETY: by the caller's promise. Heap of this process only.
    let (at, names) = unsafe {
        let at = |index: usize| Bound::from_borrowed_ptr(py, *args.add(index));
        (at, Bound::from_borrowed_ptr_or_opt(py, names))
    };
    let positional = PyTuple::new(py, (0..count).map(at).collect::<Vec<_>>())?;
    let keywords = PyDict::new(py);
    if let Some(names) = names {
        for (index, name) in names.cast_into::<PyTuple>()?.iter().enumerate() {
            keywords.set_item(name, at(count + index))?;
        }
    }
    Ok((positional, keywords))
}
