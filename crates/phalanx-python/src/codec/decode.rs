//! Frames into objects.
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt};

use super::frame::{MAX_DEPTH, Reader, corrupt, tag};
use super::keys::Keys;
use super::pickler;
use crate::ffi::{Payload, list_from, str_from_utf8, tuple_from};

/// Makes the object that [`encode`](super::encode()) wrote as `frame`.
///
/// `buffers` are objects that export the frame's buffers, in order and with the lengths that
/// [`frame_buffers`](super::frame_buffers) gives. Arrays and the like keep them and use their
/// memory, so they have to stay valid and be nobody else's; `bytes`, `bytearray` and `str` are
/// copied out, except that an exact `bytes` is handed through as it is.
///
/// # Errors
///
/// `ValueError` for a damaged frame and for buffers that do not fit it; what unpickling raises.
#[inline]
pub(crate) fn decode(py: Python<'_>, frame: &[u8], buffers: Vec<Py<PyAny>>) -> PyResult<Py<PyAny>> {
    let mut decoder =
        Decoder { py, reader: Reader::new(frame), buffers: buffers.into_iter(), depth: 1 };
    Ok(decoder.frame()?.unbind())
}

struct Decoder<'a, 'py> {
    py: Python<'py>,
    reader: Reader<'a>,
    buffers: std::vec::IntoIter<Py<PyAny>>,
    depth: usize,
}

impl<'py> Decoder<'_, 'py> {
    fn frame(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let lengths = self.reader.buffer_table()?.len();
        if lengths != self.buffers.len() {
            let given = self.buffers.len();
            return Err(corrupt(&format!("{lengths} buffers announced, {given} given")));
        }
        let value = self.value()?;
        self.reader.finish()?;
        if self.buffers.len() > 0 {
            return Err(corrupt(&format!("{} buffers left over", self.buffers.len())));
        }
        Ok(value)
    }

    #[inline]
    fn value(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let tag = self.reader.u8()?;
        if let Some(atom) = self.atom(tag)? {
            return Ok(atom);
        }
        self.compound(tag)
    }

    /// The atom that `tag` opens; `None` if it opens something else.
    #[inline]
    fn atom(&mut self, tag: u8) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.py;
        Ok(Some(match tag {
            tag::INT => self.int()?,
            tag::FLOAT => self.float()?,
            tag::SHORT_STR => str_from_utf8(py, self.reader.short_bytes()?)?,
            tag::STR => str_from_utf8(py, self.reader.long_bytes()?)?,
            tag::NONE => py.None().into_bound(py),
            tag::FALSE => false.into_pyobject(py)?.to_owned().into_any(),
            tag::TRUE => true.into_pyobject(py)?.to_owned().into_any(),
            tag::SHORT_BYTES => PyBytes::new(py, self.reader.short_bytes()?).into_any(),
            tag::BYTES => PyBytes::new(py, self.reader.long_bytes()?).into_any(),
            tag::STR_BUFFER => {
                let payload = Payload::of_exporter(&self.buffer()?)?;
                str_from_utf8(py, payload.as_slice(py))?
            }
            tag::BYTES_BUFFER => {
                let buffer = self.buffer()?;
                if buffer.is_exact_instance_of::<PyBytes>() {
                    buffer
                } else {
                    let payload = Payload::of_exporter(&buffer)?;
                    PyBytes::new(py, payload.as_slice(py)).into_any()
                }
            }
            tag::BIG_INT => self.big_int()?,
            _ => return Ok(None),
        }))
    }

    fn compound(&mut self, tag: u8) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(match tag {
            tag::TUPLE => {
                let count = self.reader.count(1)?;
                tuple_from(py, count, || self.item())?.into_any()
            }
            tag::TUPLE_I64 => {
                let count = self.reader.count(8)?;
                tuple_from(py, count, || self.int())?.into_any()
            }
            tag::TUPLE_F64 => {
                let count = self.reader.count(8)?;
                tuple_from(py, count, || self.float())?.into_any()
            }
            tag::LIST => {
                let count = self.reader.count(1)?;
                list_from(py, count, || self.item())?.into_any()
            }
            tag::LIST_I64 => {
                let count = self.reader.count(8)?;
                list_from(py, count, || self.int())?.into_any()
            }
            tag::LIST_F64 => {
                let count = self.reader.count(8)?;
                list_from(py, count, || self.float())?.into_any()
            }
            tag::DICT => self.dict()?,
            tag::OPAQUE => {
                let stream = PyBytes::new(py, self.reader.remainder()).into_any();
                pickler::load(py, &stream, std::mem::take(&mut self.buffers))?
            }
            tag::OPAQUE_BUFFER => {
                let stream = self.buffer()?;
                pickler::load(py, &stream, std::mem::take(&mut self.buffers))?
            }
            tag::BYTE_ARRAY => PyByteArray::new(py, self.reader.long_bytes()?).into_any(),
            tag::BYTE_ARRAY_BUFFER => {
                let payload = Payload::of_exporter(&self.buffer()?)?;
                PyByteArray::new(py, payload.as_slice(py)).into_any()
            }
            other => return Err(corrupt(&format!("unknown tag {other}"))),
        })
    }

    fn dict(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let dict = PyDict::new(self.py);
        let count = self.reader.count(2)?;
        let mut keys = Keys::borrow();
        for _ in 0..count {
            let key = match self.reader.u8()? {
                tag::SHORT_STR => keys.get(self.py, self.reader.short_bytes()?)?,
                other => match self.atom(other)? {
                    Some(key) => key,
                    None => return Err(corrupt(&format!("tag {other} as a key"))),
                },
            };
            dict.set_item(key, self.item()?)?;
        }
        Ok(dict.into_any())
    }

    /// Anything that a container may hold.
    #[inline]
    fn item(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let tag = self.reader.u8()?;
        if let Some(atom) = self.atom(tag)? {
            return Ok(atom);
        }
        self.nested(tag)
    }

    /// A container within a container.
    fn nested(&mut self, tag: u8) -> PyResult<Bound<'py, PyAny>> {
        if matches!(tag, tag::OPAQUE | tag::OPAQUE_BUFFER) {
            return Err(corrupt(&format!("tag {tag} inside a container")));
        }
        if self.depth == MAX_DEPTH {
            return Err(corrupt(&format!("containers nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let container = self.compound(tag)?;
        self.depth -= 1;
        Ok(container)
    }

    #[cold]
    fn big_int(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let bytes = self.reader.long_bytes()?;
        if let Some(number) = phalanx::plain::BigInt::from_le_bytes(bytes).to_i128() {
            return Ok(number.into_pyobject(self.py)?.into_any());
        }
        let keywords = PyDict::new(self.py);
        keywords.set_item("signed", true)?;
        let int = self.py.get_type::<PyInt>();
        int.call_method("from_bytes", (PyBytes::new(self.py, bytes), "little"), Some(&keywords))
    }

    #[inline]
    fn int(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let value = i64::from_le_bytes(self.reader.array()?);
        Ok(value.into_pyobject(self.py)?.into_any())
    }

    #[inline]
    fn float(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let value = f64::from_le_bytes(self.reader.array()?);
        Ok(value.into_pyobject(self.py)?.into_any())
    }

    fn buffer(&mut self) -> PyResult<Bound<'py, PyAny>> {
        let next = self.buffers.next();
        Ok(next.ok_or_else(|| corrupt("a buffer too few"))?.into_bound(self.py))
    }
}
