//! The parts of a function written in Python, without attribute look-ups.
use pyo3::ffi;
use pyo3::prelude::*;

/// What a function is made of; two functions with the same parts do the same.
pub(crate) struct FunctionParts<'py> {
    /// The code object.
    pub(crate) code: Bound<'py, PyAny>,
    /// The dictionary of its globals.
    pub(crate) globals: Bound<'py, PyAny>,
    /// The tuple of default values, if there are any.
    pub(crate) defaults: Option<Bound<'py, PyAny>>,
    /// The dictionary of default values of keyword-only arguments, if there are any.
    pub(crate) kwdefaults: Option<Bound<'py, PyAny>>,
    /// The tuple of cells, for a closure.
    pub(crate) closure: Option<Bound<'py, PyAny>>,
}

impl<'py> FunctionParts<'py> {
    /// The parts of `obj`, or `None` if it is not a function written in Python.
    pub(crate) fn of(obj: &Bound<'py, PyAny>) -> Option<Self> {
        let py = obj.py();
        let raw = obj.as_ptr();
        // SAFETY: the getters are called on an exact function, the type of which is checked first;
        // they return borrowed references (or null), turned into owned ones at once. Heap of this
        // process only: another process' death changes nothing.
        unsafe {
            if ffi::Py_TYPE(raw) != &raw mut ffi::PyFunction_Type {
                return None;
            }
            Some(Self {
                code: Bound::from_borrowed_ptr_or_opt(py, ffi::PyFunction_GetCode(raw))?,
                globals: Bound::from_borrowed_ptr_or_opt(py, ffi::PyFunction_GetGlobals(raw))?,
                defaults: Bound::from_borrowed_ptr_or_opt(py, ffi::PyFunction_GetDefaults(raw)),
                kwdefaults: Bound::from_borrowed_ptr_or_opt(py, ffi::PyFunction_GetKwDefaults(raw)),
                closure: Bound::from_borrowed_ptr_or_opt(py, ffi::PyFunction_GetClosure(raw)),
            })
        }
    }
}
