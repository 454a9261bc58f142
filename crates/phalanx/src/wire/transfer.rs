//! One value as one message: encoded in a buffer that each thread keeps, so that a short message costs
//! no allocation on either side.

use std::cell::Cell;
use std::sync::Arc;

use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::frozen::Frozen;
use phalanx_shm::passage::Hold;
use phalanx_shm::ring::{SHORT_MAX, Short};

use super::luggage::{Luggage, Way};
use super::outside::{self, Scope, Source, collected, with_source};
use super::tickets::Watch;
use super::{Codec, DecodeError, EncodeError, apart};
use crate::bytes::SharedBytes;
use crate::message::{Handed, Incoming, Outgoing};

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

/// Appends the frame of a value to `frames`, if that is all there is to send of it; else leaves them as
/// they were, and the value is for [`send`] alone.
#[inline]
pub(crate) fn append_frame<T, C: Codec<T>>(
    value: &T,
    frames: &mut Vec<u8>,
) -> Result<bool, EncodeError> {
    let (watch, _luggage) = (Watch::begin(), Luggage::refuse());
    let scope = if C::OUTSIDE { Scope::message() } else { Scope::outside() };
    let before = frames.len();
    let encoded = C::encode(value, frames);
    let is_all = encoded.is_ok() && collected(&scope).is_none() && !watch.has_tickets();
    if !is_all {
        frames.truncate(before);
    }
    encoded.map(|()| is_all)
}

/// Makes a value of a message whose frame, if it is a short one, is `frame`.
#[inline]
pub(crate) fn decode_message<T, C: Codec<T>>(
    message: Incoming,
    frame: &[u8],
) -> Result<T, DecodeError> {
    let _scope = Scope::outside();
    match message {
        Incoming::Inline => C::decode(frame),
        Incoming::Parcel(parcel) if frame.is_empty() => {
            let _holds = parcel.open_passage();
            let mut frame = Vec::new();
            match parcel.read_frame(&mut frame) {
                Ok(()) => C::decode_parcel(&frame, parcel),
                Err(damaged) => Err(DecodeError::custom::<T>(&frame, damaged)),
            }
        }
        Incoming::Parcel(parcel) => {
            let memory = Arc::new(parcel.into_handed());
            with_source(Source::Handed(memory), || C::decode(frame))
        }
    }
}

/// Sends a value whose frame is short and nothing but bytes, by `put`, which may not be able to do that at
/// once; then, as for all other values, the answer is `None` and the value for [`send`].
#[inline]
pub(crate) fn send_short<T, C: Codec<T>, R>(
    value: &T,
    put: impl FnOnce(&[u8]) -> Option<R>,
) -> Option<R> {
    if !C::SHORT || !outside::is_idle() {
        return None;
    }
    let mut frame = [0; SHORT_MAX];
    let len = C::encode_short(value, &mut frame)?;
    put(&frame[..len])
}

/// Receives a value whose frame is short and nothing but bytes, if there is such a message and `take`
/// can have it at once; otherwise it is for [`receive`].
#[inline]
pub(crate) fn receive_short<T, C: Codec<T>>(
    take: impl FnOnce(&mut Short) -> Option<usize>,
) -> Option<Result<T, DecodeError>> {
    if !C::SHORT || !outside::is_idle() {
        return None;
    }
    let mut frame = [0; SHORT_MAX];
    let len = take(&mut frame)?;
    Some(C::decode(&frame[..len]))
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
    let watch = Watch::begin();
    let luggage = if C::OUTSIDE { Luggage::accept(Way::Message) } else { Luggage::refuse() };
    let scope = if C::OUTSIDE { Scope::message() } else { Scope::outside() };
    if let Err(e) = C::encode(&value, &mut scratch.0) {
        return Err((value, NotSent::Encode(e)));
    }
    let holds = luggage.take();
    if !holds.is_empty() {
        let bytes = collected(&scope).unwrap_or_default();
        let sent = send_copies(family, &scratch.0, &bytes, &holds, put);
        return match sent {
            Ok(()) => {
                watch.sent();
                Ok(())
            }
            Err(why) => Err((value, why)),
        };
    }
    if let Some(bytes) = collected(&scope) {
        return send_with_bytes::<T, C, E>(family, value, &scratch.0, bytes, watch, put);
    }
    let message = match Outgoing::new(family, &scratch.0) {
        Ok(message) => message,
        Err(e) => return Err((value, NotSent::OutOfMemory(e))),
    };
    match put(&mut Some(message)) {
        Ok(()) => watch.sent(),
        Err(e) => return Err((value, NotSent::Refused(e))),
    }
    Ok(())
}

/// Sends a value with shared bytes outside of its frame: if they are all in one memory and nobody else
/// has a view of it, that goes along; else they are copied behind the frame.
#[cold]
fn send_with_bytes<T, C: Codec<T>, E>(
    family: &'static Family,
    value: T,
    frame: &[u8],
    bytes: Vec<SharedBytes>,
    watch: Watch,
    put: impl FnOnce(&mut Option<Outgoing<'_>>) -> Result<(), E>,
) -> Result<(), (T, NotSent<E>)> {
    // Whether there are other views is known only when the value is gone. If it has to be given back it
    // is decoded, and that this can be done is tried before.
    let back = |bytes: &Vec<SharedBytes>| {
        with_source(Source::Sender(bytes.clone(), 0), || C::decode(frame))
    };
    let is_one = bytes.iter().all(|part| Arc::ptr_eq(&part.memory, &bytes[0].memory));
    let is_small = frame.len() <= Handed::FRAME_MAX;
    // A ticket is good for one decoding only.
    if !is_one || !is_small || watch.has_tickets() || back(&bytes).is_err() {
        return match send_copies(family, frame, &bytes, &[], put) {
            Ok(()) => {
                watch.sent();
                Ok(())
            }
            Err(why) => Err((value, why)),
        };
    }
    drop(value);
    let give_back = |bytes: &Vec<SharedBytes>, why| match back(bytes) {
        Ok(value) => Err((value, why)),
        Err(e) => panic!("a value that could be decoded cannot any more: {e}"),
    };
    let parts: Vec<_> = bytes.iter().map(|part| (part.at, part.len)).collect();
    let view = |memory: &Arc<Frozen>| -> Vec<SharedBytes> {
        let part =
            |&(at, len): &(usize, usize)| SharedBytes { memory: Arc::clone(memory), at, len };
        parts.iter().map(part).collect()
    };
    let memory = Arc::clone(&bytes[0].memory);
    drop(bytes);
    let whole = memory.len();
    let chunk = Arc::try_unwrap(memory).and_then(|memory| memory.thaw().map_err(Arc::new));
    let chunk = match chunk {
        Ok(chunk) => chunk,
        Err(memory) => {
            let bytes = view(&memory);
            return send_copies(family, frame, &bytes, &[], put)
                .or_else(|why| give_back(&bytes, why));
        }
    };
    let mut message = Some(Outgoing::Handed(Handed::new(family, frame, chunk, whole)));
    let why = match put(&mut message) {
        Ok(()) => return Ok(()),
        Err(e) => NotSent::Refused(e),
    };
    // It is still there, since it was not sent.
    if let Some(Outgoing::Handed(handed)) = message {
        let memory = Arc::new(Frozen::adopt(family, handed.into_chunk(), whole));
        return give_back(&view(&memory), why);
    }
    unreachable!("what was not sent is still the sender's")
}

fn send_copies<E>(
    family: &'static Family,
    frame: &[u8],
    bytes: &[SharedBytes],
    holds: &[Hold],
    put: impl FnOnce(&mut Option<Outgoing<'_>>) -> Result<(), E>,
) -> Result<(), NotSent<E>> {
    let parcel = apart::parcel(family, frame, bytes, holds).map_err(NotSent::OutOfMemory)?;
    put(&mut Some(Outgoing::Parcel(parcel))).map_err(NotSent::Refused)
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
    let _scope = Scope::outside();
    let decoded = match take(&mut scratch.0).map_err(NotReceived::Refused)? {
        None => return Ok(None),
        Some(Incoming::Inline) => C::decode(&scratch.0),
        Some(Incoming::Parcel(parcel)) if scratch.0.is_empty() => {
            // Until the handles in it have theirs.
            let _holds = parcel.open_passage();
            match parcel.read_frame(&mut scratch.0) {
                Ok(()) => C::decode_parcel(&scratch.0, parcel),
                Err(damaged) => Err(DecodeError::custom::<T>(&scratch.0, damaged)),
            }
        }
        Some(Incoming::Parcel(parcel)) => {
            let memory = Arc::new(parcel.into_handed());
            with_source(Source::Handed(memory), || C::decode(&scratch.0))
        }
    };
    decoded.map(Some).map_err(NotReceived::Decode)
}
