//! One value as one message: encoded in a buffer that each thread keeps, so that a short message costs
//! no allocation on either side.

use std::cell::Cell;

use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;

use super::{Codec, DecodeError, EncodeError};
use crate::message::{Incoming, Outgoing};

/// Buffers that have grown beyond this are not kept.
const KEPT: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The calling thread's buffer. A use within a use, by a `Serialize` that itself sends something, gets
/// one of its own.
struct Scratch(Vec<u8>);

impl Scratch {
    #[inline]
    fn borrow() -> Self {
        Self(SCRATCH.take())
    }
}

impl Drop for Scratch {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() <= KEPT {
            self.0.clear();
            SCRATCH.set(std::mem::take(&mut self.0));
        }
    }
}

/// Why a value was not sent.
#[derive(Debug)]
pub(crate) enum NotSent<E> {
    Encode(EncodeError),
    OutOfMemory(AllocError),
    Refused(E),
}

/// Encodes the value and sends it by `put`; gives it back if that fails.
#[inline]
pub(crate) fn send<T, C: Codec<T>, E>(
    family: &'static Family,
    value: T,
    put: impl FnOnce(&mut Option<Outgoing<'_>>) -> Result<(), E>,
) -> Result<(), (T, NotSent<E>)> {
    let mut scratch = Scratch::borrow();
    if let Err(e) = C::encode(&value, &mut scratch.0) {
        return Err((value, NotSent::Encode(e)));
    }
    let message = match Outgoing::new(family, &scratch.0) {
        Ok(message) => message,
        Err(e) => return Err((value, NotSent::OutOfMemory(e))),
    };
    put(&mut Some(message)).map_err(|e| (value, NotSent::Refused(e)))
}

/// Why no value was received.
#[derive(Debug)]
pub(crate) enum NotReceived<E> {
    Decode(DecodeError),
    Refused(E),
}

/// Receives a message by `take`, if there is one, and decodes it.
#[inline]
pub(crate) fn receive<T, C: Codec<T>, E>(
    take: impl FnOnce(&mut Vec<u8>) -> Result<Option<Incoming>, E>,
) -> Result<Option<T>, NotReceived<E>> {
    let mut scratch = Scratch::borrow();
    let decoded = match take(&mut scratch.0).map_err(NotReceived::Refused)? {
        None => return Ok(None),
        Some(Incoming::Inline) => C::decode(&scratch.0),
        Some(Incoming::Parcel(parcel)) => match parcel.read_frame(&mut scratch.0) {
            Ok(()) => C::decode_parcel(&scratch.0, parcel),
            Err(damaged) => Err(DecodeError::custom::<T>(&scratch.0, damaged)),
        },
    };
    decoded.map(Some).map_err(NotReceived::Decode)
}
