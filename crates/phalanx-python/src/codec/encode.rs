//! Objects into frames: tiers 0 and 1 here, the rest by `pickler`.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyTuple};

use super::budget::Budget;
use super::frame::{OUT_OF_BAND, tag};
use super::nesting::Nesting;
use super::pickler;
use crate::ffi::{Payload, View, each_item, view};

/// The buffers of one frame that the transport carries beside it, in order. Usually none.
pub(crate) type OutOfBand = Vec<Payload>;

/// How what the `__main__` module defines travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Main {
    /// By name: the receiver has the same `__main__`.
    ByReference,
    /// By value: the receiver cannot import it (a notebook, a program from standard input).
    ByValue,
}

/// Appends `obj` to `out` as one frame and returns the buffers that go beside it, under the
/// setting of [`set_main_by_value`](super::set_main_by_value).
///
/// On an error `out` is left as it was.
///
/// # Errors
///
/// What pickle raises for the object (with the path to the culprit in the message where it can be
/// found), or what the object's own code raises while it is pickled.
#[inline]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    out: &mut Vec<u8>,
) -> PyResult<OutOfBand> {
    encode_with(py, obj, out, None)
}

/// As [`encode`], with the treatment of `__main__` given for this call.
///
/// # Errors
///
/// As [`encode`].
pub(crate) fn encode_with<'py>(
    py: Python<'py>,
    obj: &Bound<'py, PyAny>,
    out: &mut Vec<u8>,
    main: Option<Main>,
) -> PyResult<OutOfBand> {
    let start = out.len();
    let payloads = match native(obj.as_borrowed(), out) {
        Ok(payloads) => payloads,
        Err(Unsuited) => {
            out.truncate(start);
            match pickler::encode(py, obj, out, main) {
                Ok(payloads) => payloads,
                Err(error) => {
                    out.truncate(start);
                    return Err(error);
                }
            }
        }
    };
    if !payloads.is_empty() {
        insert_table(out, start, &payloads);
    }
    Ok(payloads)
}

/// Appends a part of a list to `out` as one frame, as [`encode`] would append that part as a list
/// of its own. Lists of plain numbers are read without a copy and without counting references.
///
/// # Errors
///
/// As [`encode`].
pub(crate) fn encode_part<'py>(
    py: Python<'py>,
    list: &Bound<'py, PyList>,
    part: std::ops::Range<usize>,
    out: &mut Vec<u8>,
) -> PyResult<OutOfBand> {
    let start = out.len();
    let mut packer = Packer::new(out, list.as_any().as_borrowed());
    if packer.numbers(list, part.clone()).is_ok_and(|done| done) {
        return Ok(OutOfBand::new());
    }
    out.truncate(start);
    encode(py, list.get_slice(part.start, part.end).as_any(), out)
}

/// The native form does not suit this object: pickle it.
struct Unsuited;

#[inline]
fn native(obj: Borrowed<'_, '_, PyAny>, out: &mut Vec<u8>) -> Result<OutOfBand, Unsuited> {
    match view(obj) {
        View::Int(value) => put(out, tag::INT, value.to_le_bytes()),
        View::Float(value) => put(out, tag::FLOAT, value.to_le_bytes()),
        View::None => out.push(tag::NONE),
        View::Bool(value) => out.push(if value { tag::TRUE } else { tag::FALSE }),
        View::Str(text) if text.len() < OUT_OF_BAND => {
            put_run(out, tag::SHORT_STR, tag::STR, text);
        }
        View::Bytes(data) if data.len() < OUT_OF_BAND => {
            put_run(out, tag::SHORT_BYTES, tag::BYTES, data);
        }
        View::Str(_) => {
            out.push(tag::STR_BUFFER);
            return Ok(vec![Payload::of_str(obj).ok_or(Unsuited)?]);
        }
        View::Bytes(_) => {
            out.push(tag::BYTES_BUFFER);
            return Ok(vec![payload_of_bytes(obj)?]);
        }
        View::ByteArray => return byte_array(obj, out),
        View::Other => big_int(obj, out)?,
        _ => return container(obj, out),
    }
    Ok(OutOfBand::new())
}

#[cold]
fn byte_array(obj: Borrowed<'_, '_, PyAny>, out: &mut Vec<u8>) -> Result<OutOfBand, Unsuited> {
    let payload = Payload::of_exporter(&obj).map_err(|_| Unsuited)?;
    if payload.len() >= OUT_OF_BAND {
        out.push(tag::BYTE_ARRAY_BUFFER);
        return Ok(vec![payload]);
    }
    put(out, tag::BYTE_ARRAY, (payload.len() as u64).to_le_bytes());
    out.extend_from_slice(payload.as_slice(obj.py()));
    Ok(OutOfBand::new())
}

/// An integer of more than 64 bits, if 128 hold it.
#[cold]
fn big_int(obj: Borrowed<'_, '_, PyAny>, out: &mut Vec<u8>) -> Result<(), Unsuited> {
    let number = obj.cast_exact::<PyInt>().ok().and_then(|number| number.extract::<i128>().ok());
    let bytes = number.ok_or(Unsuited)?.to_le_bytes();
    put(out, tag::BIG_INT, (bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(&bytes);
    Ok(())
}

#[inline(never)]
fn container(obj: Borrowed<'_, '_, PyAny>, out: &mut Vec<u8>) -> Result<OutOfBand, Unsuited> {
    let mut packer = Packer::new(out, obj);
    match view(obj) {
        View::List(list) => packer.list(list)?,
        View::Tuple(tuple) => packer.tuple(tuple)?,
        View::Dict(dict) => packer.dict(dict)?,
        _ => return Err(Unsuited),
    }
    Ok(packer.payloads)
}

/// One container, and what is nested in it, on its way into the frame.
struct Packer<'o> {
    out: &'o mut Vec<u8>,
    budget: Budget,
    payloads: OutOfBand,
    nesting: Nesting,
}

impl<'o> Packer<'o> {
    fn new(out: &'o mut Vec<u8>, root: Borrowed<'_, '_, PyAny>) -> Self {
        let (budget, payloads) = (Budget::default(), OutOfBand::new());
        Self { out, budget, payloads, nesting: Nesting::new(root) }
    }

    /// A part of a list, if it holds nothing but integers or nothing but floats; otherwise the
    /// frame is left half written.
    fn numbers(
        &mut self,
        list: &Bound<'_, PyList>,
        part: std::ops::Range<usize>,
    ) -> Result<bool, Unsuited> {
        let mut is_float = false;
        each_item(list, part.start..part.start + 1, |first| {
            is_float = matches!(view(first), View::Float(_));
            true
        });
        let len = part.len();
        self.header(if is_float { tag::LIST_F64 } else { tag::LIST_I64 }, len)?;
        self.out.reserve(len * 8);
        Ok(each_item(list, part, |item| {
            if is_float { self.packed_float(item) } else { self.packed_int(item) }
        }))
    }

    fn list(&mut self, list: Borrowed<'_, '_, PyList>) -> Result<(), Unsuited> {
        let first = list.get_item(0).ok();
        let kind = first.as_ref().map(|item| view(item.as_borrowed()));
        let start = self.out.len();
        match kind {
            Some(View::Int(_)) => {
                self.header(tag::LIST_I64, list.len())?;
                self.out.reserve(list.len() * 8);
                if list.iter().all(|item| self.packed_int(item.as_borrowed())) {
                    return Ok(());
                }
            }
            Some(View::Float(_)) => {
                self.header(tag::LIST_F64, list.len())?;
                self.out.reserve(list.len() * 8);
                if list.iter().all(|item| self.packed_float(item.as_borrowed())) {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.out.truncate(start);
        self.header(tag::LIST, list.len())?;
        for item in list.iter() {
            self.item(item.as_borrowed(), 1)?;
        }
        Ok(())
    }

    fn tuple(&mut self, tuple: Borrowed<'_, '_, PyTuple>) -> Result<(), Unsuited> {
        let start = self.out.len();
        let first = tuple.get_borrowed_item(0).ok().map(view);
        match first {
            Some(View::Int(_)) => {
                self.header(tag::TUPLE_I64, tuple.len())?;
                if tuple.iter_borrowed().all(|item| self.packed_int(item)) {
                    return Ok(());
                }
            }
            Some(View::Float(_)) => {
                self.header(tag::TUPLE_F64, tuple.len())?;
                if tuple.iter_borrowed().all(|item| self.packed_float(item)) {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.out.truncate(start);
        self.header(tag::TUPLE, tuple.len())?;
        for item in tuple.iter_borrowed() {
            self.item(item, 0)?;
        }
        Ok(())
    }

    fn dict(&mut self, dict: Borrowed<'_, '_, PyDict>) -> Result<(), Unsuited> {
        self.header(tag::DICT, dict.len())?;
        for (key, value) in dict.iter() {
            match view(key.as_borrowed()) {
                View::Str(text) => self.text(key.as_borrowed(), text, 1)?,
                View::Int(number) => put(self.out, tag::INT, number.to_le_bytes()),
                _ => return Err(Unsuited),
            }
            self.item(value.as_borrowed(), 1)?;
        }
        Ok(())
    }

    /// Anything that a container may hold. Tuples come first: messages are often lists of them.
    #[inline]
    fn item(&mut self, item: Borrowed<'_, '_, PyAny>, held: isize) -> Result<(), Unsuited> {
        let View::Tuple(tuple) = view(item) else {
            return self.atom(item, held);
        };
        let start = self.out.len();
        let open = self.nesting.open_tuple(item, held);
        if !self.nesting.deeper() {
            return Err(Unsuited);
        }
        self.header(tag::TUPLE, tuple.len())?;
        for leaf in tuple.iter_borrowed() {
            self.atom(leaf, 0)?;
        }
        self.nesting.close_tuple(open);
        self.nesting.back();
        let len = self.out.len() - start;
        if self.budget.charge(item, held, len) { Ok(()) } else { Err(Unsuited) }
    }

    /// What is no atom: a container within a container, which is written where it stands as long as
    /// nothing in this message refers to it a second time.
    #[inline(never)]
    fn nested(&mut self, item: Borrowed<'_, '_, PyAny>, held: isize) -> Result<(), Unsuited> {
        match view(item) {
            View::List(list) => {
                self.enter(item, held)?;
                self.list(list)?;
            }
            View::Dict(dict) => {
                self.enter(item, held)?;
                self.dict(dict)?;
            }
            View::Tuple(_) => return self.item(item, held),
            View::Other => {
                let start = self.out.len();
                big_int(item, self.out)?;
                let len = self.out.len() - start;
                return if self.budget.charge(item, held, len) { Ok(()) } else { Err(Unsuited) };
            }
            _ => return Err(Unsuited),
        }
        self.nesting.back();
        Ok(())
    }

    fn enter(&mut self, item: Borrowed<'_, '_, PyAny>, held: isize) -> Result<(), Unsuited> {
        if self.nesting.meet(item, held) && self.nesting.deeper() { Ok(()) } else { Err(Unsuited) }
    }

    #[inline]
    fn atom(&mut self, leaf: Borrowed<'_, '_, PyAny>, held: isize) -> Result<(), Unsuited> {
        match view(leaf) {
            View::Int(value) => put(self.out, tag::INT, value.to_le_bytes()),
            View::Float(value) => put(self.out, tag::FLOAT, value.to_le_bytes()),
            View::None => self.out.push(tag::NONE),
            View::Bool(value) => self.out.push(if value { tag::TRUE } else { tag::FALSE }),
            View::Str(text) => return self.text(leaf, text, held),
            View::Bytes(data) => return self.data(leaf, data, held),
            _ => return self.nested(leaf, held),
        }
        Ok(())
    }

    #[inline]
    fn text(
        &mut self,
        leaf: Borrowed<'_, '_, PyAny>,
        text: &[u8],
        held: isize,
    ) -> Result<(), Unsuited> {
        if self.budget.out_of_band(text.as_ptr(), text.len()).ok_or(Unsuited)? {
            self.out.push(tag::STR_BUFFER);
            self.payloads.push(Payload::of_str(leaf).ok_or(Unsuited)?);
        } else if self.budget.charge(leaf, held, text.len()) {
            put_run(self.out, tag::SHORT_STR, tag::STR, text);
        } else {
            return Err(Unsuited);
        }
        Ok(())
    }

    #[inline]
    fn data(
        &mut self,
        leaf: Borrowed<'_, '_, PyAny>,
        data: &[u8],
        held: isize,
    ) -> Result<(), Unsuited> {
        if self.budget.out_of_band(data.as_ptr(), data.len()).ok_or(Unsuited)? {
            self.out.push(tag::BYTES_BUFFER);
            self.payloads.push(payload_of_bytes(leaf)?);
        } else if self.budget.charge(leaf, held, data.len()) {
            put_run(self.out, tag::SHORT_BYTES, tag::BYTES, data);
        } else {
            return Err(Unsuited);
        }
        Ok(())
    }

    fn header(&mut self, tag: u8, len: usize) -> Result<(), Unsuited> {
        let len = u32::try_from(len).map_err(|_| Unsuited)?;
        put(self.out, tag, len.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn packed_int(&mut self, item: Borrowed<'_, '_, PyAny>) -> bool {
        let View::Int(value) = view(item) else {
            return false;
        };
        self.out.extend_from_slice(&value.to_le_bytes());
        true
    }

    #[inline]
    fn packed_float(&mut self, item: Borrowed<'_, '_, PyAny>) -> bool {
        let View::Float(value) = view(item) else {
            return false;
        };
        self.out.extend_from_slice(&value.to_le_bytes());
        true
    }
}

/// A tag and a fixed number of bytes, with one check of the capacity.
#[inline]
fn put<const N: usize>(out: &mut Vec<u8>, tag: u8, value: [u8; N]) {
    out.reserve(1 + N);
    out.push(tag);
    out.extend_from_slice(&value);
}

/// Bytes with their length in front: one byte of it where that is enough.
#[inline]
fn put_run(out: &mut Vec<u8>, short: u8, long: u8, bytes: &[u8]) {
    out.reserve(9 + bytes.len());
    match u8::try_from(bytes.len()) {
        Ok(len) => out.extend_from_slice(&[short, len]),
        Err(_) => put(out, long, (bytes.len() as u64).to_le_bytes()),
    }
    out.extend_from_slice(bytes);
}

fn payload_of_bytes(obj: Borrowed<'_, '_, PyAny>) -> Result<Payload, Unsuited> {
    let bytes = obj.cast_exact::<PyBytes>().map_err(|_| Unsuited)?;
    Ok(Payload::of_bytes(&bytes))
}

/// Puts the table of buffers in front of the frame that begins at `start`.
#[cold]
fn insert_table(out: &mut Vec<u8>, start: usize, payloads: &[Payload]) {
    let mut table = Vec::with_capacity(5 + payloads.len() * 8);
    // A frame with more than 2^32 large buffers would not fit into any memory.
    put(&mut table, tag::BUFFERS, (payloads.len() as u32).to_le_bytes());
    for payload in payloads {
        table.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    }
    out.splice(start..start, table);
}
