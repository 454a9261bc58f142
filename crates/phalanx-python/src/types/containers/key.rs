//! Keys of shared dictionaries.
//!
//! Two keys are the same if Python says that they are equal: `1`, `1.0` and `True` are one key. The
//! *identity* of a key has the same bytes for equal keys; the *form* says which of the equal ones it
//! is, one byte for each number in it.
//!
//! ```text
//! identity := NONE | INT i64 | BIG len: u32 signed-le | FLOAT f64 (not integral)
//!           | STR len: u32 utf8 | BYTES len: u32 raw | TUPLE n: u32 identity*n
//! form     := one of int, bool, float, negative zero, for each INT and BIG
//! ```

use phalanx::manager::Key;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt};

use crate::ffi::{View, str_from_utf8, tuple_from, view};
use crate::once::intern;

const NONE: u8 = 0;
const INT: u8 = 1;
const BIG: u8 = 2;
const FLOAT: u8 = 3;
const STR: u8 = 4;
const BYTES: u8 = 5;
const TUPLE: u8 = 6;

const AS_INT: u8 = 0;
const AS_BOOL: u8 = 1;
const AS_FLOAT: u8 = 2;
const AS_NEGATIVE_ZERO: u8 = 3;

/// Tuples in tuples, so deep at most.
const DEPTH: usize = 16;

/// The object is no key that can be compared byte by byte.
pub(super) struct Unsuited;

impl From<PyErr> for Unsuited {
    fn from(_: PyErr) -> Self {
        Self
    }
}

/// The encoded form of a key.
#[derive(Default)]
pub(super) struct EncodedKey {
    identity: Vec<u8>,
    form: Vec<u8>,
}

impl EncodedKey {
    pub(super) fn of(obj: Borrowed<'_, '_, PyAny>) -> Result<Self, Unsuited> {
        let mut key = Self::default();
        key.add(obj, DEPTH)?;
        Ok(key)
    }

    #[inline]
    pub(super) fn identity(&self) -> &[u8] {
        &self.identity
    }

    #[inline]
    pub(super) fn key(&self) -> Key<'_> {
        Key { identity: &self.identity, form: &self.form }
    }

    #[inline]
    fn add(&mut self, obj: Borrowed<'_, '_, PyAny>, depth: usize) -> Result<(), Unsuited> {
        match view(obj) {
            View::Str(text) => self.run(STR, text)?,
            View::Int(value) => self.int(value, AS_INT),
            View::Bool(value) => self.int(i64::from(value), AS_BOOL),
            View::None => self.identity.push(NONE),
            View::Bytes(data) => self.run(BYTES, data)?,
            View::Float(value) => self.float(obj, value)?,
            View::Tuple(tuple) => {
                let depth = depth.checked_sub(1).ok_or(Unsuited)?;
                let len = u32::try_from(tuple.len()).map_err(|_| Unsuited)?;
                self.identity.push(TUPLE);
                self.identity.extend_from_slice(&len.to_le_bytes());
                for item in tuple.iter_borrowed() {
                    self.add(item, depth)?;
                }
            }
            View::Other if obj.is_exact_instance_of::<PyInt>() => self.big(&obj, AS_INT)?,
            _ => return Err(Unsuited),
        }
        Ok(())
    }

    fn run(&mut self, tag: u8, bytes: &[u8]) -> Result<(), Unsuited> {
        let len = u32::try_from(bytes.len()).map_err(|_| Unsuited)?;
        self.identity.reserve(5 + bytes.len());
        self.identity.push(tag);
        self.identity.extend_from_slice(&len.to_le_bytes());
        self.identity.extend_from_slice(bytes);
        Ok(())
    }

    fn int(&mut self, value: i64, form: u8) {
        self.identity.reserve(9);
        self.identity.push(INT);
        self.identity.extend_from_slice(&value.to_le_bytes());
        self.form.push(form);
    }

    fn float(&mut self, obj: Borrowed<'_, '_, PyAny>, value: f64) -> Result<(), Unsuited> {
        if value.is_nan() {
            // Equal to nothing, found by which object it is.
            return Err(Unsuited);
        }
        if value == 0.0 && value.is_sign_negative() {
            self.int(0, AS_NEGATIVE_ZERO);
        } else if value.fract() != 0.0 || value.is_infinite() {
            self.identity.push(FLOAT);
            self.identity.extend_from_slice(&value.to_bits().to_le_bytes());
        } else if value >= -(2f64.powi(63)) && value < 2f64.powi(63) {
            self.int(value as i64, AS_FLOAT);
        } else {
            let py = obj.py();
            self.big(&obj.call_method0(intern!(py, "__int__"))?, AS_FLOAT)?;
        }
        Ok(())
    }

    /// An integer of more than 64 bits.
    #[cold]
    fn big(&mut self, int: &Bound<'_, PyAny>, form: u8) -> Result<(), Unsuited> {
        let py = int.py();
        let bits: usize = int.call_method0(intern!(py, "bit_length"))?.extract()?;
        let bytes = int.py().get_type::<PyInt>().getattr(intern!(py, "to_bytes"))?;
        let signed = pyo3::types::PyDict::new(py);
        signed.set_item(intern!(py, "signed"), true)?;
        let bytes = bytes.call((int, bits / 8 + 1, intern!(py, "little")), Some(&signed))?;
        self.run(BIG, bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes())?;
        self.form.push(form);
        Ok(())
    }
}

/// Makes the key whose identity and form these are.
pub(super) fn decode<'py>(
    py: Python<'py>,
    identity: &[u8],
    form: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    Reader { py, identity, form }.item(DEPTH)
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    identity: &'a [u8],
    form: &'a [u8],
}

impl<'py> Reader<'_, 'py> {
    fn item(&mut self, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match self.array::<1>()?[0] {
            NONE => py.None().into_bound(py),
            INT => {
                let value = i64::from_le_bytes(self.array()?);
                match self.form()? {
                    AS_BOOL => (value != 0).into_pyobject(py)?.to_owned().into_any(),
                    AS_FLOAT => PyFloat::new(py, value as f64).into_any(),
                    AS_NEGATIVE_ZERO => PyFloat::new(py, -0.0).into_any(),
                    _ => value.into_pyobject(py)?.into_any(),
                }
            }
            BIG => {
                let bytes = PyBytes::new(py, self.run()?);
                let signed = pyo3::types::PyDict::new(py);
                signed.set_item(intern!(py, "signed"), true)?;
                let make = py.get_type::<PyInt>().getattr(intern!(py, "from_bytes"))?;
                let int = make.call((bytes, intern!(py, "little")), Some(&signed))?;
                if self.form()? == AS_FLOAT {
                    int.call_method0(intern!(py, "__float__"))?
                } else {
                    int
                }
            }
            FLOAT => {
                let bits = u64::from_le_bytes(self.array()?);
                PyFloat::new(py, f64::from_bits(bits)).into_any()
            }
            STR => str_from_utf8(py, self.run()?)?,
            BYTES => PyBytes::new(py, self.run()?).into_any(),
            TUPLE if depth > 0 => {
                let count = u32::from_le_bytes(self.array()?) as usize;
                if count > self.identity.len() {
                    return Err(damaged());
                }
                tuple_from(py, count, || self.item(depth - 1))?.into_any()
            }
            _ => return Err(damaged()),
        })
    }

    fn array<const N: usize>(&mut self) -> PyResult<[u8; N]> {
        let (taken, rest) = self.identity.split_first_chunk::<N>().ok_or_else(damaged)?;
        self.identity = rest;
        Ok(*taken)
    }

    fn run(&mut self) -> PyResult<&[u8]> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        let (taken, rest) = self.identity.split_at_checked(len).ok_or_else(damaged)?;
        self.identity = rest;
        Ok(taken)
    }

    fn form(&mut self) -> PyResult<u8> {
        let (first, rest) = self.form.split_first().ok_or_else(damaged)?;
        self.form = rest;
        Ok(*first)
    }
}

#[cold]
fn damaged() -> PyErr {
    PyValueError::new_err("a key of a shared dictionary was damaged by another process")
}
