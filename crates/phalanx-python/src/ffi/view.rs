//! Looks at an object by its exact type, without a call into Python and without a new reference.
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// What an object is, when its exact type is one that the native codec knows.
///
/// Subclasses are never seen through: an object of a subclass is `Other`.
pub(crate) enum View<'a, 'py> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int` of at most 64 bits, sign included.
    Int(i64),
    /// A `float`, bit for bit.
    Float(f64),
    /// A `str` that UTF-8 can express (no lone surrogates).
    Str(&'a [u8]),
    /// A `bytes`.
    Bytes(&'a [u8]),
    /// A `bytearray`.
    ByteArray,
    /// A `list`.
    List(Borrowed<'a, 'py, PyList>),
    /// A `tuple`.
    Tuple(Borrowed<'a, 'py, PyTuple>),
    /// A `dict`.
    Dict(Borrowed<'a, 'py, PyDict>),
    /// Anything else: a subclass, a wider integer, a string with surrogates, any other type.
    Other,
}

/// Classifies `obj` by its exact type; never runs Python code and leaves no exception set.
#[inline]
pub(crate) fn view<'a, 'py>(obj: Borrowed<'a, 'py, PyAny>) -> View<'a, 'py> {
    let raw = obj.as_ptr();
    // SAFETY: `raw` is a live object for 'a and the interpreter is attached ('py). Each access
    // below follows a comparison with the exact type it needs; exact builtin types run no user
    // code. The byte slices point into immutable objects that 'a keeps alive. Heap of this
    // process only: another process' death changes nothing.
    unsafe {
        let kind = ffi::Py_TYPE(raw);
        if kind == &raw mut ffi::PyLong_Type {
            let mut overflow = 0;
            let value = ffi::PyLong_AsLongLongAndOverflow(raw, &mut overflow);
            if overflow == 0 { View::Int(value) } else { View::Other }
        } else if kind == &raw mut ffi::PyUnicode_Type {
            utf8(obj).map_or(View::Other, View::Str)
        } else if kind == &raw mut ffi::PyFloat_Type {
            View::Float(ffi::PyFloat_AS_DOUBLE(raw))
        } else if raw == ffi::Py_None() {
            View::None
        } else if kind == &raw mut ffi::PyBool_Type {
            View::Bool(raw == ffi::Py_True())
        } else if kind == &raw mut ffi::PyTuple_Type {
            View::Tuple(obj.cast_unchecked())
        } else if kind == &raw mut ffi::PyDict_Type {
            View::Dict(obj.cast_unchecked())
        } else if kind == &raw mut ffi::PyBytes_Type {
            let data = ffi::PyBytes_AsString(raw).cast::<u8>();
            View::Bytes(std::slice::from_raw_parts(data, ffi::PyBytes_Size(raw) as usize))
        } else if kind == &raw mut ffi::PyList_Type {
            View::List(obj.cast_unchecked())
        } else if kind == &raw mut ffi::PyByteArray_Type {
            View::ByteArray
        } else {
            View::Other
        }
    }
}

/// The UTF-8 form of a `str`, or `None` for another type and for a string with lone surrogates.
///
/// An ASCII string is read in place; another one keeps the UTF-8 form that CPython caches in it.
#[inline]
pub(crate) fn utf8<'a>(obj: Borrowed<'a, '_, PyAny>) -> Option<&'a [u8]> {
    let raw = obj.as_ptr();
    // SAFETY: the type is checked before any access; a string is immutable and alive for 'a, and
    // so is the UTF-8 form cached inside it. The error of a string that has none is cleared.
    // Heap of this process only: another process' death changes nothing.
    unsafe {
        if ffi::PyUnicode_Check(raw) == 0 {
            return None;
        }
        if ffi::PyUnicode_IS_COMPACT_ASCII(raw) != 0 {
            let data = ffi::PyUnicode_1BYTE_DATA(raw);
            let len = ffi::PyUnicode_GET_LENGTH(raw) as usize;
            return Some(std::slice::from_raw_parts(data, len));
        }
        let mut len = 0;
        let data = ffi::PyUnicode_AsUTF8AndSize(raw, &mut len).cast::<u8>();
        if data.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(std::slice::from_raw_parts(data, len as usize))
    }
}

/// Whether anything beside one container and `held` handles of ours refers to `obj`.
#[inline]
pub(crate) fn is_shared(obj: Borrowed<'_, '_, PyAny>, held: isize) -> bool {
    // SAFETY: reads the reference count of a live object while attached. Heap of this process
    // only: another process' death changes nothing.
    unsafe { ffi::Py_REFCNT(obj.as_ptr()) > 1 + held }
}

/// Calls `visit` with the items of a part of a list until it answers `false`, or the list ends;
/// returns whether it never did. No reference is counted, so memory that is shared with forked
/// children stays shared.
///
/// `visit` must not run Python code: nothing else keeps the items alive.
#[inline]
pub(crate) fn each_item(
    list: &Bound<'_, PyList>,
    part: std::ops::Range<usize>,
    mut visit: impl FnMut(Borrowed<'_, '_, PyAny>) -> bool,
) -> bool {
    let end = part.end.min(list.len());
    (part.start..end).all(|index| {
        // SAFETY: in bounds, and with the interpreter attached and no Python code run nobody can
        // take the item out of the list meanwhile. Heap of this process only: another process'
        // death changes nothing.
        let item = unsafe {
            let raw = ffi::PyList_GET_ITEM(list.as_ptr(), index as ffi::Py_ssize_t);
            Borrowed::from_ptr(list.py(), raw)
        };
        visit(item)
    })
}
