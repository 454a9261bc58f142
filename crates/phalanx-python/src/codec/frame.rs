//! Reading frames, whose layout is [`phalanx::plain::format`]'s, by a reader that believes nothing.
//!
//! What is opaque there is a pickle here.
pub(super) use phalanx::plain::format::{MAX_DEPTH, OUT_OF_BAND, tag};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

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
