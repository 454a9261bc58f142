//! Values into frames.

use super::format::{MAX_DEPTH, tag};
use super::{Plain, PlainError};

pub(super) fn value(value: &Plain, out: &mut Vec<u8>, depth: usize) -> Result<(), PlainError> {
    match value {
        Plain::None => out.push(tag::NONE),
        Plain::Bool(truth) => out.push(if *truth { tag::TRUE } else { tag::FALSE }),
        Plain::Int(number) => int(out, *number),
        Plain::BigInt(number) => big(out, number.as_le_bytes()),
        Plain::Float(number) => float(out, *number),
        Plain::Str(text) => string(out, text),
        Plain::Bytes(data) => bytes(out, data),
        Plain::List(items) => {
            return sequence(out, items, [tag::LIST, tag::LIST_I64, tag::LIST_F64], depth);
        }
        Plain::Tuple(items) => {
            return sequence(out, items, [tag::TUPLE, tag::TUPLE_I64, tag::TUPLE_F64], depth);
        }
        Plain::Dict(entries) => {
            let inner = deeper(depth)?;
            header(out, tag::DICT, entries.len())?;
            for (key, item) in entries {
                let is_atom = !matches!(key, Plain::List(_) | Plain::Tuple(_) | Plain::Dict(_));
                if !is_atom {
                    return Err(bad_key(key.kind()));
                }
                self::value(key, out, inner)?;
                self::value(item, out, inner)?;
            }
        }
    }
    Ok(())
}

/// A list or tuple; `tags` are for anything, for integers and for floats.
fn sequence(
    out: &mut Vec<u8>,
    items: &[Plain],
    tags: [u8; 3],
    depth: usize,
) -> Result<(), PlainError> {
    let inner = deeper(depth)?;
    match items.first() {
        Some(Plain::Int(_)) if items.iter().all(|item| matches!(item, Plain::Int(_))) => {
            header(out, tags[1], items.len())?;
            let numbers = items.iter().filter_map(Plain::as_int);
            out.extend(numbers.flat_map(i64::to_le_bytes));
        }
        Some(Plain::Float(_)) if items.iter().all(|item| matches!(item, Plain::Float(_))) => {
            header(out, tags[2], items.len())?;
            let numbers = items.iter().filter_map(Plain::as_float);
            out.extend(numbers.flat_map(f64::to_le_bytes));
        }
        _ => {
            header(out, tags[0], items.len())?;
            items.iter().try_for_each(|item| value(item, out, inner))?;
        }
    }
    Ok(())
}

/// The depth inside a container at `depth`.
pub(super) fn deeper(depth: usize) -> Result<usize, PlainError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(PlainError::TooDeep) }
}

#[cold]
pub(super) fn bad_key(kind: &str) -> PlainError {
    PlainError::Unsuited(format!(
        "a key of a plain dictionary is a string or an integer, not {kind}"
    ))
}

pub(super) fn header(out: &mut Vec<u8>, tag: u8, len: usize) -> Result<(), PlainError> {
    let len = u32::try_from(len).map_err(|_| PlainError::TooLong)?;
    out.push(tag);
    out.extend_from_slice(&len.to_le_bytes());
    Ok(())
}

#[inline]
pub(super) fn int(out: &mut Vec<u8>, number: i64) {
    out.push(tag::INT);
    out.extend_from_slice(&number.to_le_bytes());
}

#[inline]
pub(super) fn float(out: &mut Vec<u8>, number: f64) {
    out.push(tag::FLOAT);
    out.extend_from_slice(&number.to_le_bytes());
}

/// An integer by its bytes; one that fits 64 bits has only one form.
pub(super) fn big(out: &mut Vec<u8>, bytes: &[u8]) {
    let fill = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
    let mut word = [fill; 8];
    if let Some(low) = word.get_mut(..bytes.len()) {
        low.copy_from_slice(bytes);
        return int(out, i64::from_le_bytes(word));
    }
    long(out, tag::BIG_INT, bytes);
}

#[inline]
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    run(out, tag::SHORT_STR, tag::STR, text.as_bytes());
}

#[inline]
pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    run(out, tag::SHORT_BYTES, tag::BYTES, bytes);
}

#[inline]
fn run(out: &mut Vec<u8>, short: u8, long: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len) => {
            out.extend_from_slice(&[short, len]);
            out.extend_from_slice(bytes);
        }
        Err(_) => self::long(out, long, bytes),
    }
}

fn long(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.reserve(9 + bytes.len());
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}
