//! A property that CPython calls without a detour, for what takes a few nanoseconds itself.
use std::ffi::{c_int, c_void};

use pyo3::PyClass;
use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::type_object::PyTypeInfo;

/// A class with one property of that kind.
///
/// The quick functions are called first and decline, by `None` or false, what is not simple; then the
/// slow ones are called in the usual way. The quick ones do not run code in Python and do not panic.
pub(crate) trait QuickProperty: PyClass<Frozen = True> + PyTypeInfo + Sync {
    /// The value, if it can be had at once.
    fn quick_get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>>;

    /// The value.
    fn slow_get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// Sets the value, if that can be done at once; whether it was.
    fn quick_set(&self, value: Borrowed<'_, '_, PyAny>) -> bool;

    /// Sets the value.
    fn slow_set(&self, value: &Bound<'_, PyAny>) -> PyResult<()>;
}

/// The property as a descriptor, to be stored in a class derived from `T`'s. To be called once for
/// each class: it is never freed.
pub(crate) fn quick_property<'py, T: QuickProperty>(
    py: Python<'py>,
    doc: &'static std::ffi::CStr,
) -> PyResult<Bound<'py, PyAny>> {
    let definition = Box::leak(Box::new(ffi::PyGetSetDef {
        name: c"value".as_ptr(),
        get: Some(get::<T>),
        set: Some(set::<T>),
        doc: doc.as_ptr(),
        closure: std::ptr::null_mut(),
    }));
    // SAFETY: the type is alive and the definition is never freed. Heap of this process only:
    // another process' death changes nothing.
    unsafe {
        let descriptor = ffi::PyDescr_NewGetSet(T::type_object_raw(py), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)
    }
}

unsafe extern "C" fn get<T: QuickProperty>(
    object: *mut ffi::PyObject,
    _closure: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with an instance of the type that the descriptor was made
    // for, which it has checked, and which lives during the call. What another process does, or its
    // death, can change the value but not the object.
    let this = unsafe { instance::<T>(object) };
    // SAFETY: attached, as above.
    if let Some(value) = this.quick_get(unsafe { Python::assume_attached() }) {
        return value.into_ptr();
    }
    Python::attach(|py| match this.slow_get(py) {
        Ok(value) => value.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    })
}

unsafe extern "C" fn set<T: QuickProperty>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _closure: *mut c_void,
) -> c_int {
    // SAFETY: as in `get`; the value is null or lives during the call.
    let (this, value) = unsafe {
        let py = Python::assume_attached();
        (instance::<T>(object), Borrowed::from_ptr_or_opt(py, value))
    };
    if let Some(value) = value
        && this.quick_set(value)
    {
        return 0;
    }
    Python::attach(|py| {
        let done = match value {
            Some(value) => this.slow_set(&value),
            None => Err(PyAttributeError::new_err("can't delete attribute")),
        };
        match done {
            Ok(()) => 0,
            Err(error) => {
                error.restore(py);
                -1
            }
        }
    })
}

/// # Safety
/// The thread is attached, and `object` an instance of `T`'s class that lives as long as `'a`.
unsafe fn instance<'a, T: QuickProperty>(object: *mut ffi::PyObject) -> &'a T {
    // SAFETY: the caller's promise; a frozen class has no exclusive borrows. Heap of this process
    // only: another process' death changes nothing.
    unsafe {
        let object = Borrowed::from_ptr(Python::assume_attached(), object);
        let this: &T = object.cast_unchecked::<T>().get();
        &*std::ptr::from_ref(this)
    }
}
