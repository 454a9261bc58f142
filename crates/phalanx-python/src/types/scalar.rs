//! Numbers as C stores them: between Python objects and the bits of a shared word.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::ffi::{View, view};
use crate::once::intern;

/// A type of number, by its code in the module `array`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    Bool,
}

impl Scalar {
    pub(super) fn of_code(code: char) -> Option<Self> {
        Some(match code {
            'b' => Self::I8,
            'B' => Self::U8,
            'h' => Self::I16,
            'H' => Self::U16,
            'i' => Self::I32,
            'I' => Self::U32,
            'l' | 'q' => Self::I64,
            'L' | 'Q' => Self::U64,
            'f' => Self::F32,
            'd' => Self::F64,
            '?' => Self::Bool,
            _ => return None,
        })
    }

    /// The number whose bits, low ones first, are those of the word.
    #[inline]
    pub(super) fn load<'py>(self, py: Python<'py>, word: u64) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::I32 => (word as i32).into_pyobject(py)?.into_any(),
            Self::F64 => PyFloat::new(py, f64::from_bits(word)).into_any(),
            Self::I64 => (word as i64).into_pyobject(py)?.into_any(),
            Self::U64 => word.into_pyobject(py)?.into_any(),
            Self::I8 => (word as i8).into_pyobject(py)?.into_any(),
            Self::U8 => (word as u8).into_pyobject(py)?.into_any(),
            Self::I16 => (word as i16).into_pyobject(py)?.into_any(),
            Self::U16 => (word as u16).into_pyobject(py)?.into_any(),
            Self::U32 => (word as u32).into_pyobject(py)?.into_any(),
            Self::F32 => PyFloat::new(py, f64::from(f32::from_bits(word as u32))).into_any(),
            Self::Bool => (word as u8 != 0).into_pyobject(py)?.to_owned().into_any(),
        })
    }

    /// The word of a Python number; integers wrap around, as in C.
    #[inline]
    pub(super) fn store(self, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        Ok(match self {
            Self::F64 => real(value)?.to_bits(),
            Self::F32 => u64::from((real(value)? as f32).to_bits()),
            Self::Bool => u64::from(value.is_truthy()?),
            Self::I64 | Self::U64 => integer(value)?,
            Self::I32 | Self::U32 => integer(value)? & 0xffff_ffff,
            Self::I16 | Self::U16 => integer(value)? & 0xffff,
            Self::I8 | Self::U8 => integer(value)? & 0xff,
        })
    }
}

impl Scalar {
    /// As `store`, for numbers of the exact type that fit; declines all others.
    #[inline]
    pub(super) fn quick_store(self, value: &Bound<'_, PyAny>) -> Option<u64> {
        match (self, view(value.as_borrowed())) {
            (Self::F64, View::Float(number)) => Some(number.to_bits()),
            (Self::I64, View::Int(number)) => Some(number.cast_unsigned()),
            (Self::I32 | Self::U32, View::Int(number)) => {
                Some(number.cast_unsigned() & 0xffff_ffff)
            }
            (Self::I16 | Self::U16, View::Int(number)) => Some(number.cast_unsigned() & 0xffff),
            (Self::I8 | Self::U8, View::Int(number)) => Some(number.cast_unsigned() & 0xff),
            _ => None,
        }
    }
}

#[inline]
fn real(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract()
}

#[inline]
fn integer(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    if !value.is_instance_of::<PyInt>() {
        return Err(not_an_integer(value));
    }
    value.extract::<i64>().map(i64::cast_unsigned).or_else(|_| wide(value))
}

#[cold]
fn wide(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value.call_method1(intern!(value.py(), "__and__"), (u64::MAX,))?.extract()
}

#[cold]
fn not_an_integer(value: &Bound<'_, PyAny>) -> PyErr {
    match value.get_type().name() {
        Ok(name) => PyTypeError::new_err(format!("an integer is required (got type {name})")),
        Err(error) => error,
    }
}
