//! Frames into values, by a reader that believes nothing.

use std::slice::Iter;

use super::encode::deeper;
use super::error::damaged;
use super::format::tag;
use super::{BigInt, Plain, PlainError};

/// The lengths of the buffers that the frame announces, and the rest of the frame.
pub(super) fn buffer_table(frame: &[u8]) -> Result<(Vec<u64>, &[u8]), PlainError> {
    let Some((&tag::BUFFERS, rest)) = frame.split_first() else { return Ok((Vec::new(), frame)) };
    let mut reader = Reader { rest, buffers: [].iter() };
    let count = reader.count(8)?;
    let mut lengths = Vec::with_capacity(count);
    for _ in 0..count {
        lengths.push(u64::from_le_bytes(reader.array()?));
    }
    Ok((lengths, reader.rest))
}

pub(super) fn whole(frame: &[u8], buffers: &[Vec<u8>]) -> Result<Plain, PlainError> {
    let mut reader = Reader::open(frame, buffers)?;
    let value = reader.value(0)?;
    reader.finish()?;
    Ok(value)
}

/// Reads a frame from front to back; every length is checked against what is left.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    buffers: Iter<'a, Vec<u8>>,
}

/// An atom, or what opens a container.
pub(super) enum Item<'a> {
    None,
    Bool(bool),
    Int(i64),
    Big(&'a [u8]),
    Float(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    /// Some values; whether as a tuple.
    Values(usize, bool),
    /// Some integers without tags; whether as a tuple.
    Ints(usize, bool),
    /// Some floats without tags; whether as a tuple.
    Floats(usize, bool),
    /// Some pairs of values.
    Entries(usize),
}

impl<'a> Reader<'a> {
    pub(super) fn open(frame: &'a [u8], buffers: &'a [Vec<u8>]) -> Result<Self, PlainError> {
        let (lengths, rest) = buffer_table(frame)?;
        let given = buffers.iter().map(|buffer| buffer.len() as u64);
        if !lengths.iter().copied().eq(given) {
            return Err(damaged("its buffers are not those that it announces"));
        }
        Ok(Self { rest, buffers: buffers.iter() })
    }

    /// Checks that nothing is left.
    pub(super) fn finish(&self) -> Result<(), PlainError> {
        match (self.rest.len(), self.buffers.len()) {
            (0, 0) => Ok(()),
            (0, buffers) => Err(damaged(format!("{buffers} buffers left over"))),
            (bytes, _) => Err(damaged(format!("{bytes} bytes left over"))),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PlainError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(short(len, self.rest.len()));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PlainError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(short(N, self.rest.len()));
        };
        self.rest = rest;
        Ok(*taken)
    }

    fn short_run(&mut self) -> Result<&'a [u8], PlainError> {
        let [len] = self.array()?;
        self.take(usize::from(len))
    }

    fn long_run(&mut self) -> Result<&'a [u8], PlainError> {
        let len = u64::from_le_bytes(self.array()?);
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    fn buffer(&mut self) -> Result<&'a [u8], PlainError> {
        self.buffers.next().map(Vec::as_slice).ok_or_else(|| damaged("a buffer too few"))
    }

    /// A number of things of at least `least` bytes each, so never more than can be there.
    fn count(&mut self, least: usize) -> Result<usize, PlainError> {
        let count = u32::from_le_bytes(self.array()?) as usize;
        if count > self.rest.len() / least {
            let left = self.rest.len();
            return Err(damaged(format!(
                "{count} items of {least} bytes or more announced, {left} bytes left"
            )));
        }
        Ok(count)
    }

    /// The tag of the next value, which is not taken.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes the next value if it is a run of bytes.
    pub(super) fn next_bytes(&mut self) -> Result<Option<&'a [u8]>, PlainError> {
        match self.peek() {
            Some(
                tag::SHORT_BYTES
                | tag::BYTES
                | tag::BYTE_ARRAY
                | tag::BYTES_BUFFER
                | tag::BYTE_ARRAY_BUFFER,
            ) => match self.item()? {
                Item::Bytes(bytes) => Ok(Some(bytes)),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// An integer without a tag.
    #[inline]
    pub(super) fn int(&mut self) -> Result<i64, PlainError> {
        self.array().map(i64::from_le_bytes)
    }

    /// A float without a tag.
    #[inline]
    pub(super) fn float(&mut self) -> Result<f64, PlainError> {
        self.array().map(f64::from_le_bytes)
    }

    /// The next atom, or the beginning of the next container.
    #[inline]
    pub(super) fn item(&mut self) -> Result<Item<'a>, PlainError> {
        let [tag] = self.array()?;
        Ok(match tag {
            tag::NONE => Item::None,
            tag::FALSE => Item::Bool(false),
            tag::TRUE => Item::Bool(true),
            tag::INT => Item::Int(self.int()?),
            tag::BIG_INT => Item::Big(self.long_run()?),
            tag::FLOAT => Item::Float(self.float()?),
            tag::SHORT_STR => Item::Str(text(self.short_run()?)?),
            tag::STR => Item::Str(text(self.long_run()?)?),
            tag::STR_BUFFER => Item::Str(text(self.buffer()?)?),
            tag::SHORT_BYTES => Item::Bytes(self.short_run()?),
            tag::BYTES | tag::BYTE_ARRAY => Item::Bytes(self.long_run()?),
            tag::BYTES_BUFFER | tag::BYTE_ARRAY_BUFFER => Item::Bytes(self.buffer()?),
            tag::LIST | tag::TUPLE => Item::Values(self.count(1)?, tag == tag::TUPLE),
            tag::LIST_I64 | tag::TUPLE_I64 => Item::Ints(self.count(8)?, tag == tag::TUPLE_I64),
            tag::LIST_F64 | tag::TUPLE_F64 => Item::Floats(self.count(8)?, tag == tag::TUPLE_F64),
            tag::DICT => Item::Entries(self.count(2)?),
            tag::OPAQUE | tag::OPAQUE_BUFFER => return Err(PlainError::Opaque),
            other => return Err(damaged(format!("unknown tag {other}"))),
        })
    }

    /// The next value as a whole.
    pub(super) fn value(&mut self, depth: usize) -> Result<Plain, PlainError> {
        let (items, is_tuple) = match self.item()? {
            Item::None => return Ok(Plain::None),
            Item::Bool(truth) => return Ok(Plain::Bool(truth)),
            Item::Int(number) => return Ok(Plain::Int(number)),
            Item::Big(bytes) => {
                let number = BigInt::from_le_bytes(bytes);
                let small = number.to_i128().and_then(|number| i64::try_from(number).ok());
                return Ok(small.map_or(Plain::BigInt(number), Plain::Int));
            }
            Item::Float(number) => return Ok(Plain::Float(number)),
            Item::Str(text) => return Ok(Plain::Str(text.to_owned())),
            Item::Bytes(bytes) => return Ok(Plain::Bytes(bytes.to_owned())),
            Item::Ints(count, is_tuple) => {
                (self.several(count, |r| r.int().map(Plain::Int))?, is_tuple)
            }
            Item::Floats(count, is_tuple) => {
                (self.several(count, |r| r.float().map(Plain::Float))?, is_tuple)
            }
            Item::Values(count, is_tuple) => {
                let inner = deeper(depth)?;
                (self.several(count, |r| r.value(inner))?, is_tuple)
            }
            Item::Entries(count) => {
                let inner = deeper(depth)?;
                let entry = |r: &mut Self| Ok((r.value(inner)?, r.value(inner)?));
                return self.several(count, entry).map(Plain::Dict);
            }
        };
        Ok(if is_tuple { Plain::Tuple(items) } else { Plain::List(items) })
    }

    fn several<T>(
        &mut self,
        count: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, PlainError>,
    ) -> Result<Vec<T>, PlainError> {
        // A value may be larger than the byte that announces it: memory follows what has been read.
        let mut items = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
    }
}

fn text(bytes: &[u8]) -> Result<&str, PlainError> {
    std::str::from_utf8(bytes).map_err(|error| damaged(error.to_string()))
}

#[cold]
fn short(wanted: usize, left: usize) -> PlainError {
    damaged(format!("{wanted} bytes announced, {left} left"))
}
