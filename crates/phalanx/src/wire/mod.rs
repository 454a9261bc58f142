//! How typed values become bytes, and bytes values again.
//!
//! Every type that serde can serialize and deserialize travels between processes: in queues, pipes and
//! channels, as arguments of a process, as tasks of a pool and their results. The bytes are
//! [postcard](https://postcard.jamesmunns.com/wire-format)'s: compact, the same on every machine, and
//! without names or types, so sender and receiver have to mean the same type. Bytes that are no value of
//! the type are a [`DecodeError`], which gives them back.
//!
//! ```
//! use phalanx::wire;
//!
//! let mut bytes = Vec::new();
//! wire::encode(&("primes", vec![2u64, 3, 5]), &mut bytes)?;
//! let (name, primes): (String, Vec<u64>) = wire::decode(&bytes)?;
//! assert_eq!((name.as_str(), primes), ("primes", vec![2, 3, 5]));
//!
//! let error = wire::decode::<bool>(b"\x07").unwrap_err();
//! assert_eq!(error.into_bytes(), b"\x07");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # For those who carry bytes themselves
//!
//! ```text
//! trait Message: Serialize + DeserializeOwned            implemented for all such types
//! fn encode<T: Serialize + ?Sized>(&T, &mut Vec<u8>) -> Result<(), EncodeError>       appends
//! fn decode<T: DeserializeOwned>(&[u8]) -> Result<T, DecodeError>                     the whole
//! fn decode_front<T: DeserializeOwned>(&mut &[u8]) -> Result<T, DecodeError>          moves on behind it
//! trait Codec<T>, struct Postcard                        another format: `Queue<T, MyFormat>`
//! ```
//!
//! [`SharedBytes`](crate::bytes::SharedBytes) in a value travel outside of these bytes in messages of
//! queues, pipes and channels, and in line wherever else a value is encoded by [`encode`].
//!
//! Handles of shared objects (a queue, a lock, a value) can be sent in messages of queues, pipes and channels,
//! and in arguments and results of tasks and processes. By themselves they cannot be encoded: that is an error,
//! because nobody would keep the object alive until it is decoded.

pub(crate) mod apart;
pub(crate) mod error;
pub(crate) mod handle;
mod luggage;
mod outside;
pub(crate) mod tickets;
pub(crate) mod transfer;

use std::mem::needs_drop;
use std::sync::Arc;

use phalanx_shm::ring::{SHORT_MAX, Short};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::Arrived;
use outside::{Scope, Source, with_source};

pub use error::{DecodeError, EncodeError};

/// A value that can be sent to another process: any that serde can serialize and deserialize without
/// borrowing. There is nothing to implement.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Job { name: String, range: std::ops::Range<u64> }
///
/// fn can_be_sent<T: phalanx::wire::Message>() {}
/// can_be_sent::<Job>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another process",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it"
)]
pub trait Message: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> Message for T {}

/// A format for messages of type `T`, other than postcard's: for instance that of another language.
/// Named by a type without values, as the second parameter of a queue or a pipe's end.
///
/// ```
/// use phalanx::Queue;
/// use phalanx::wire::{Codec, DecodeError, EncodeError};
///
/// /// Numbers as text.
/// enum Decimal {}
///
/// impl Codec<u64> for Decimal {
///     fn encode(value: &u64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
///         out.extend_from_slice(value.to_string().as_bytes());
///         Ok(())
///     }
///
///     fn decode(bytes: &[u8]) -> Result<u64, DecodeError> {
///         let text = std::str::from_utf8(bytes).unwrap_or("no text");
///         text.parse::<u64>().map_err(|why| DecodeError::custom::<u64>(bytes, why))
///     }
/// }
///
/// let queue = Queue::<u64>::unbounded()?.with_codec::<Decimal>();
/// queue.put(42)?;
/// assert_eq!(queue.take()?, 42);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub trait Codec<T> {
    /// Whether [`SharedBytes`](crate::bytes::SharedBytes) in values may travel beside the frame: only the
    /// formats of this crate can say where they are.
    #[doc(hidden)]
    const OUTSIDE: bool = false;

    /// Whether frames are mostly short, and consist of nothing but their bytes: then they are tried
    /// without all that other values may need.
    #[doc(hidden)]
    const SHORT: bool = false;

    /// Writes the frame of a value to `out`, if it is short; returns how long it is. Only where
    /// [`Codec::SHORT`] says that this can be.
    #[doc(hidden)]
    #[inline]
    fn encode_short(_value: &T, _out: &mut Short) -> Option<usize> {
        None
    }

    /// Appends the frame of a value to `out`.
    ///
    /// # Errors
    /// [`EncodeError`] when it has none; what `out` contains then is of no consequence.
    ///
    /// ```
    /// use phalanx::plain::PlainFormat;
    /// use phalanx::wire::{Codec, Postcard};
    ///
    /// let (mut compact, mut plain) = (Vec::new(), Vec::new());
    /// <Postcard as Codec<_>>::encode(&300u64, &mut compact)?;
    /// <PlainFormat as Codec<_>>::encode(&300u64, &mut plain)?;
    /// assert!(compact.len() < plain.len());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Makes a value of a frame.
    ///
    /// # Errors
    /// [`DecodeError`] when the frame is none of such a value.
    ///
    /// ```
    /// use phalanx::wire::{Codec, Postcard};
    ///
    /// let number = <Postcard as Codec<u64>>::decode(&[0xac, 0x02])?;
    /// assert_eq!(number, 300);
    /// assert!(<Postcard as Codec<u64>>::decode(b"").is_err());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    fn decode(frame: &[u8]) -> Result<T, DecodeError>;

    /// The same for a message in a chunk of its own, in which there may be buffers behind the frame
    /// ([`Arrived::into_buffers`]). If not overridden it decodes the frame.
    ///
    /// # Errors
    /// As for [`Codec::decode`].
    #[doc(hidden)]
    fn decode_parcel(frame: &[u8], parcel: Arrived) -> Result<T, DecodeError> {
        drop(parcel);
        Self::decode(frame)
    }
}

/// The format of all that is not said to have another.
///
/// ```
/// use phalanx::wire::{Codec, Postcard};
///
/// let mut frame = Vec::new();
/// <Postcard as Codec<_>>::encode(&(7u8, true), &mut frame)?;
/// assert_eq!(frame, [7, 1]);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Postcard {}

impl<T: Message> Codec<T> for Postcard {
    const OUTSIDE: bool = true;
    /// What owns something, such as a handle or shared bytes, has to be dropped.
    const SHORT: bool = !needs_drop::<T>() && size_of::<T>() <= SHORT_MAX;

    #[inline]
    fn encode_short(value: &T, out: &mut Short) -> Option<usize> {
        postcard::to_slice(value, out).ok().map(|frame| frame.len())
    }

    #[inline]
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        append(value, out)
    }

    #[inline]
    fn decode(frame: &[u8]) -> Result<T, DecodeError> {
        whole(frame)
    }

    #[cold]
    fn decode_parcel(frame: &[u8], parcel: Arrived) -> Result<T, DecodeError> {
        let (memory, end) = parcel.into_frozen().map_err(|e| DecodeError::custom::<T>(frame, e))?;
        with_source(Source::Parcel(Arc::new(memory), end), || whole(frame))
    }
}

/// Appends the bytes of a value to `out`, which is unchanged if that fails.
///
/// # Errors
/// [`EncodeError`] when the value's own `Serialize` refuses, or the value is a handle that can only be
/// passed to a child while it is being started.
///
/// ```
/// let mut bytes = Vec::new();
/// phalanx::wire::encode(&(300u64, "abc"), &mut bytes)?;
/// assert_eq!(bytes, [0xac, 0x02, 3, b'a', b'b', b'c']);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (_scope, _luggage) = (Scope::outside(), luggage::Luggage::refuse());
    append(value, out)
}

/// The same in the present mode (see [`outside`]).
#[inline]
pub(crate) fn append<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let before = out.len();
    let encoded = postcard::serialize_with_flavor(value, Append(&mut *out));
    encoded.map_err(|why| {
        out.truncate(before);
        EncodeError::new::<T>(why)
    })
}

/// Makes a value of bytes, all of which have to belong to it.
///
/// # Errors
/// [`DecodeError`], with a copy of the bytes, when they are no such value.
///
/// ```
/// assert_eq!(phalanx::wire::decode::<(u64, bool)>(&[7, 1])?, (7, true));
/// assert!(phalanx::wire::decode::<(u64, bool)>(&[7, 1, 0]).is_err(), "one byte is left over");
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let _scope = Scope::outside();
    whole(bytes)
}

#[inline]
fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(DecodeError::excess::<T>(bytes, rest.len())),
        Err(why) => Err(DecodeError::new::<T>(bytes, why)),
    }
}

/// Makes a value of the front of `bytes`, which is moved on behind it; unchanged if that fails.
///
/// # Errors
/// As for [`decode`].
///
/// ```
/// let mut bytes = &[7, 1, 9][..];
/// assert_eq!(phalanx::wire::decode_front::<u64>(&mut bytes)?, 7);
/// assert!(phalanx::wire::decode_front::<bool>(&mut bytes)?);
/// assert_eq!(bytes, [9]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn decode_front<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, DecodeError> {
    let _scope = Scope::outside();
    let (value, rest) =
        postcard::take_from_bytes(bytes).map_err(|why| DecodeError::new::<T>(bytes, why))?;
    *bytes = rest;
    Ok(value)
}

/// Writes behind what a vector has already.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle { radius: f64 },
        Named(String, Vec<(i64, Option<char>)>),
    }

    fn there_and_back<T: Message + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = b"before".to_vec();
        encode(&value, &mut bytes).expect("serde's own types encode");
        let bytes = &bytes[6..];
        for short in 0..bytes.len() {
            let error = decode::<T>(&bytes[..short]).expect_err("some bytes are missing");
            assert_eq!(error.bytes(), &bytes[..short]);
        }
        assert_eq!(decode::<T>(bytes).as_ref().ok(), Some(&value));
        let longer = [bytes, b"after"].concat();
        assert_eq!(decode::<T>(&longer).expect_err("too many bytes").into_bytes(), longer);
        let mut rest = &longer[..];
        assert_eq!(decode_front::<T>(&mut rest).ok(), Some(value));
        assert_eq!(rest, b"after");
    }

    #[test]
    fn values_survive_the_way_there_and_back() {
        there_and_back((1u8, -2i16, u32::MAX, i64::MIN, u128::MAX, 1.5f32, true));
        there_and_back("grüße".to_owned());
        there_and_back(vec![vec![1u8, 2], vec![], vec![3; 1000]]);
        there_and_back(Ok::<u32, String>(7));
        there_and_back(BTreeMap::from([("a".to_owned(), Shape::Point)]));
        there_and_back(vec![
            Shape::Circle { radius: f64::INFINITY },
            Shape::Named("x".to_owned(), vec![(-1, Some('ß')), (1, None)]),
        ]);
    }

    #[test]
    fn a_value_that_refuses_leaves_nothing_behind() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("never"))
            }
        }
        let mut out = vec![1];
        let error = encode(&(7u64, Refuses), &mut out).expect_err("it refuses");
        assert!(error.to_string().contains("refused"), "{error}");
        assert_eq!(out, [1]);
    }
}
