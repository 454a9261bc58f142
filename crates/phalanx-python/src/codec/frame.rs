//! The layout of a frame, and a reader that believes nothing.
//!
//! ```text
//! frame  := [ BUFFERS  count: u32  length: u64 * count ]  value
//! value  := NONE | FALSE | TRUE
//!         | INT i64 | FLOAT f64
//!         | SHORT_STR len: u8 utf8 | STR len: u64 utf8
//!         | SHORT_BYTES len: u8 raw | BYTES len: u64 raw | BYTEARRAY len: u64 raw
//!         | STR_BUFFER | BYTES_BUFFER | BYTEARRAY_BUFFER          (the next buffer)
//!         | LIST n: u32 value*n | TUPLE n: u32 value*n            (values: atoms or small tuples)
//!         | LIST_I64 n: u32 i64*n | LIST_F64 ... | TUPLE_I64 ... | TUPLE_F64 ...
//!         | DICT n: u32 (key value)*n
//!         | PICKLE raw-to-the-end | PICKLE_BUFFER                 (the next buffer is the pickle)
//! ```
//!
//! Numbers are little-endian; nothing is aligned.
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// One byte that opens each value.
pub(super) mod tag {
    pub(in crate::codec) const NONE: u8 = 0;
    pub(in crate::codec) const FALSE: u8 = 1;
    pub(in crate::codec) const TRUE: u8 = 2;
    pub(in crate::codec) const INT: u8 = 3;
    pub(in crate::codec) const FLOAT: u8 = 4;
    pub(in crate::codec) const SHORT_STR: u8 = 5;
    pub(in crate::codec) const STR: u8 = 6;
    pub(in crate::codec) const SHORT_BYTES: u8 = 7;
    pub(in crate::codec) const BYTES: u8 = 8;
    pub(in crate::codec) const BYTEARRAY: u8 = 9;
    pub(in crate::codec) const STR_BUFFER: u8 = 10;
    pub(in crate::codec) const BYTES_BUFFER: u8 = 11;
    pub(in crate::codec) const BYTEARRAY_BUFFER: u8 = 12;
    pub(in crate::codec) const LIST: u8 = 13;
    pub(in crate::codec) const TUPLE: u8 = 14;
    pub(in crate::codec) const LIST_I64: u8 = 15;
    pub(in crate::codec) const LIST_F64: u8 = 16;
    pub(in crate::codec) const TUPLE_I64: u8 = 17;
    pub(in crate::codec) const TUPLE_F64: u8 = 18;
    pub(in crate::codec) const DICT: u8 = 19;
    pub(in crate::codec) const PICKLE: u8 = 20;
    pub(in crate::codec) const PICKLE_BUFFER: u8 = 21;
    pub(in crate::codec) const BUFFERS: u8 = 22;
}

/// From this many bytes on, a buffer travels outside the frame.
pub(super) const OUT_OF_BAND: usize = 64 * 1024;

/// The lengths, in order, of the buffers that belong to `frame`: what the transport needs to know
/// before it can call [`decode`](super::decode()).
///
/// # Errors
///
/// `ValueError` if the table of buffers does not fit into the frame.
pub(crate) fn frame_buffers(frame: &[u8]) -> PyResult<impl ExactSizeIterator<Item = u64> + '_> {
    Reader::new(frame).buffer_table()
}

/// Reads a frame from front to back; every length is checked against what is left.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }

    /// Takes the table of buffers off the front; empty for a frame without one.
    pub(super) fn buffer_table(
        &mut self,
    ) -> PyResult<impl ExactSizeIterator<Item = u64> + use<'a>> {
        let table: &'a [u8] = if self.rest.first() == Some(&tag::BUFFERS) {
            self.rest = &self.rest[1..];
            let count = self.count(8)?;
            self.take(count * 8)?
        } else {
            &[]
        };
        let lengths = table.chunks_exact(8);
        Ok(lengths.map(|raw| raw.try_into().map_or(0, u64::from_le_bytes)))
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> PyResult<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(short(len, self.rest.len())),
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> PyResult<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(short(N, self.rest.len())),
        }
    }

    #[inline]
    pub(super) fn u8(&mut self) -> PyResult<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Bytes with a length of one byte in front.
    #[inline]
    pub(super) fn short_bytes(&mut self) -> PyResult<&'a [u8]> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// Bytes with a length of eight bytes in front.
    pub(super) fn long_bytes(&mut self) -> PyResult<&'a [u8]> {
        let len = u64::from_le_bytes(self.array()?);
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// A number of things of at least `least` bytes each, so never more than can be there.
    #[inline]
    pub(super) fn count(&mut self, least: usize) -> PyResult<usize> {
        let count = u32::from_le_bytes(self.array()?) as usize;
        if count > self.rest.len() / least {
            return Err(corrupt(&format!(
                "{count} items of {least} bytes or more announced, {} bytes left",
                self.rest.len()
            )));
        }
        Ok(count)
    }

    /// Everything that is left.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Checks that nothing is left.
    pub(super) fn finish(&self) -> PyResult<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(corrupt(&format!("{} bytes left over", self.rest.len())))
    }
}

#[cold]
fn short(wanted: usize, left: usize) -> PyErr {
    corrupt(&format!("{wanted} bytes announced, {left} left"))
}

/// The error for bytes that no encoder wrote.
#[cold]
pub(super) fn corrupt(what: &str) -> PyErr {
    PyValueError::new_err(format!("cannot decode the frame, it is damaged: {what}"))
}
