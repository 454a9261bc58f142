//! Plain values: what programs in different languages can say to each other.
//!
//! Numbers, strings, bytes, truth, nothing, and lists, tuples and dictionaries of these. A frame
//! in the [`format`](mod@format) of this module is understood by every front door of the engine, so that
//! processes of one family exchange messages whatever they are written in. A value is either held as it
//! is, as a [`Plain`], or goes directly between a frame and the program's own types, by `serde`:
//!
//! ```
//! use phalanx::plain::{self, Plain};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct Job {
//!     id: u32,
//!     words: Vec<String>,
//!     limit: Option<f64>,
//! }
//!
//! let job = Job { id: 7, words: vec!["a".into(), "b".into()], limit: None };
//! let value = plain::to(&job)?;
//! assert_eq!(value.get("id"), Some(&Plain::Int(7)));
//! assert_eq!(value.to_string(), r#"{"id": 7, "words": ["a", "b"], "limit": none}"#);
//! assert_eq!(plain::from::<Job>(&value)?, job);
//! # Ok::<(), phalanx::plain::PlainError>(())
//! ```
//!
//! How the types of `serde` are expressed:
//!
//! | in the program | as a plain value |
//! |---|---|
//! | `bool`, integers up to 128 bits, floats, `char`, strings, bytes | the same; an integer beyond 64 bits is a [`BigInt`] |
//! | `()`, `None`, unit structs | nothing; `Some(x)` is `x` |
//! | sequences; tuples and tuple structs | lists; tuples |
//! | maps with keys that are strings or integers; structs | dictionaries |
//! | variants of an enum | the name, or a dictionary with the name as its one key |
//!
//! Reading is tolerant: a list will do for a tuple, bytes for a list of small integers, an integer for a
//! float, and unknown fields of a dictionary are left out. A `Vec<u8>` is sent as a list, which is what serde
//! takes it for; the crate `serde_bytes` makes bytes of it.

mod big;
mod codec;
mod de;
mod decode;
mod encode;
mod error;
pub mod format;
mod ser;
mod value;

pub use big::BigInt;
pub use codec::PlainFormat;
pub use error::PlainError;
pub use value::Plain;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Appends the frame of a value to `out`.
///
/// # Errors
/// [`PlainError::TooDeep`] for containers nested deeper than [`format::MAX_DEPTH`], and
/// [`PlainError::TooLong`]; `out` is as it was then.
///
/// ```
/// use phalanx::plain::{self, Plain};
///
/// let mut frame = Vec::new();
/// plain::encode(&Plain::from("hello"), &mut frame)?;
/// assert_eq!(plain::decode(&frame, &[])?, Plain::from("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode(value: &Plain, out: &mut Vec<u8>) -> Result<(), PlainError> {
    undo_on_error(out, |out| encode::value(value, out, 0))
}

/// The value of a frame, whose buffers, in order, are `buffers`; usually there are none.
///
/// # Errors
/// [`PlainError::Opaque`] for a value that only programs like the sender's understand,
/// [`PlainError::Damaged`] for bytes that no sender wrote.
///
/// ```
/// use phalanx::plain::{self, Plain};
///
/// let mut frame = Vec::new();
/// plain::encode_from(&(1, 2.5), &mut frame)?;
/// let value = plain::decode(&frame, &[])?;
/// assert_eq!(value, Plain::Tuple(vec![Plain::Int(1), Plain::Float(2.5)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decode(frame: &[u8], buffers: &[Vec<u8>]) -> Result<Plain, PlainError> {
    decode::whole(frame, buffers)
}

/// Appends the frame of a value of any serializable type to `out`.
///
/// # Errors
/// [`PlainError::Unsuited`] for what has no plain form, such as a map whose keys are neither strings nor
/// integers; what the type's own `Serialize` reports; and as [`encode()`].
///
/// ```
/// let (mut ours, mut same) = (Vec::new(), Vec::new());
/// phalanx::plain::encode_from(&vec!["a", "b"], &mut ours)?;
/// phalanx::plain::encode(&phalanx::plain::to(&["a", "b"].to_vec())?, &mut same)?;
/// assert_eq!(ours, same);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_from<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), PlainError> {
    undo_on_error(out, |out| value.serialize(ser::Writer::new(out)))
}

/// Makes a value of the program's own type of a frame, without a [`Plain`] between.
///
/// # Errors
/// As [`decode()`], and [`PlainError::Unsuited`] when the frame holds something else than the type wants.
///
/// ```
/// let mut frame = Vec::new();
/// phalanx::plain::encode_from(&("seven", 7), &mut frame)?;
/// let value: (String, u8) = phalanx::plain::decode_into(&frame, &[])?;
/// assert_eq!(value, ("seven".to_owned(), 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decode_into<T: DeserializeOwned>(
    frame: &[u8],
    buffers: &[Vec<u8>],
) -> Result<T, PlainError> {
    let mut reader = decode::Reader::open(frame, buffers)?;
    let value = T::deserialize(de::Value::new(&mut reader))?;
    reader.finish()?;
    Ok(value)
}

/// The plain form of a value.
///
/// # Errors
/// As [`encode_from`].
///
/// ```
/// use phalanx::plain::{self, Plain};
///
/// assert_eq!(plain::to(&Some(7u8))?, Plain::Int(7));
/// assert_eq!(plain::to(&())?, Plain::None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to<T: Serialize + ?Sized>(value: &T) -> Result<Plain, PlainError> {
    let mut frame = Vec::new();
    encode_from(value, &mut frame)?;
    decode(&frame, &[])
}

/// A value of the program's own type that a plain value stands for.
///
/// # Errors
/// As [`decode_into`].
///
/// ```
/// use phalanx::plain::{self, Plain};
///
/// let list: Plain = [1, 2, 3].into_iter().collect();
/// assert_eq!(plain::from::<Vec<f64>>(&list)?, [1.0, 2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from<T: DeserializeOwned>(value: &Plain) -> Result<T, PlainError> {
    let mut frame = Vec::new();
    encode(value, &mut frame)?;
    decode_into(&frame, &[])
}

/// The lengths, in order, of the buffers that travel beside a frame: what is to be known before
/// [`decode()`] can be called.
///
/// # Errors
/// [`PlainError::Damaged`] when the table of buffers does not fit into the frame.
///
/// ```
/// let mut frame = Vec::new();
/// phalanx::plain::encode_from(&[1, 2], &mut frame)?;
/// assert!(phalanx::plain::buffer_lengths(&frame)?.is_empty(), "all of it is in the frame");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn buffer_lengths(frame: &[u8]) -> Result<Vec<u64>, PlainError> {
    decode::buffer_table(frame).map(|(lengths, _)| lengths)
}

fn undo_on_error(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), PlainError>,
) -> Result<(), PlainError> {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}
