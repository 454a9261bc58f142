//! The format as one that queues and pipes can be told to use.

use crate::message::Arrived;
use crate::wire::{Codec, DecodeError, EncodeError, Message};

/// Plain values on the wire, in place of postcard: for messages that programs in other languages read
/// or have written.
///
/// ```
/// use phalanx::plain::{Plain, PlainFormat};
/// use phalanx::wire::Codec;
///
/// let mut frame = Vec::new();
/// <PlainFormat as Codec<_>>::encode(&("primes".to_owned(), vec![2, 3, 5]), &mut frame)?;
/// let value: Plain = PlainFormat::decode(&frame)?;
/// assert_eq!(value.to_string(), r#"("primes", [2, 3, 5])"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum PlainFormat {}

impl<T: Message> Codec<T> for PlainFormat {
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        super::encode_from(value, out).map_err(EncodeError::custom::<T>)
    }

    fn decode(frame: &[u8]) -> Result<T, DecodeError> {
        super::decode_into(frame, &[]).map_err(|error| DecodeError::custom::<T>(frame, error))
    }

    fn decode_parcel(frame: &[u8], parcel: Arrived) -> Result<T, DecodeError> {
        let refuse = |error: &dyn std::fmt::Display| DecodeError::custom::<T>(frame, error);
        let lengths = super::buffer_lengths(frame).map_err(|error| refuse(&error))?;
        let slices = parcel.into_buffers(lengths).map_err(|error| refuse(&error))?;
        let copy = |slice: &crate::message::SharedSlice| {
            let mut bytes = Vec::with_capacity(slice.len());
            slice.read(&mut bytes);
            bytes
        };
        let buffers: Vec<Vec<u8>> = slices.iter().map(copy).collect();
        super::decode_into(frame, &buffers).map_err(|error| refuse(&error))
    }
}
