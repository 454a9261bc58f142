//! Values whose large bytes travel apart from their frame: the arguments and results of tasks.
//!
//! An argument *lends* them: the receiver finds them where they lie, and they are kept until the task is
//! answered, so that it can be sent again. A result *hands them over*, if the sender has no other view of
//! them, and is sent once.

use std::sync::Arc;

use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::passage::Hold;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::luggage::{Luggage, Way};
use super::outside::{Scope, Source, collected, with_source};
use super::{DecodeError, EncodeError, append, whole};
use crate::bytes::SharedBytes;
use crate::message::{Arrived, Damaged, Handed, Outgoing, Parcel};

/// Encodes by `encode`, which calls [`append`] alone; appends to `lent` what was lent. The
/// frames mean something as long as that is kept.
#[inline]
pub(crate) fn lending<T>(lent: &mut Vec<Lent>, encode: impl FnOnce() -> T) -> T {
    let (scope, luggage) = (Scope::lending(), Luggage::accept(Way::Lent));
    let result = encode();
    if let Some(bytes) = collected(&scope) {
        lent.extend(bytes.into_iter().map(Lent::Bytes));
    }
    lent.extend(luggage.take().into_iter().map(Lent::Object));
    result
}

/// What is kept until the task is answered whose argument names it.
#[derive(Debug)]
#[expect(dead_code, reason = "kept for its own sake")]
pub(crate) enum Lent {
    Bytes(SharedBytes),
    Object(Hold),
}

/// Appends the bytes of a value, and to `apart` those that are to be sent beside its frame.
#[inline]
pub(crate) fn set_apart<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    apart: &mut Vec<SharedBytes>,
) -> Result<(), EncodeError> {
    let (scope, _luggage) = (Scope::message(), Luggage::refuse());
    append(value, out)?;
    if let Some(mut bytes) = collected(&scope) {
        apart.append(&mut bytes);
    }
    Ok(())
}

/// The message of a frame and the bytes that were set apart, which are not the caller's any more. They
/// are copied if somebody else has a view of them, if they lie in different memory, or if the frame has
/// more than `room` bytes.
pub(crate) fn outgoing<'a>(
    family: &'static Family,
    frame: &'a [u8],
    apart: &mut Vec<SharedBytes>,
    room: usize,
) -> Result<Outgoing<'a>, AllocError> {
    let mut parts = std::mem::take(apart);
    let Some(last) = parts.pop() else { return Outgoing::new(family, frame) };
    if frame.len() <= room.min(Handed::FRAME_MAX)
        && parts.iter().all(|part| Arc::ptr_eq(&part.memory, &last.memory))
    {
        let places: Vec<_> = parts.drain(..).map(|part| (part.at, part.len)).collect();
        let SharedBytes { memory, at, len } = last;
        let whole = memory.len();
        match Arc::try_unwrap(memory).and_then(|memory| memory.thaw().map_err(Arc::new)) {
            Ok(chunk) => return Ok(Outgoing::Handed(Handed::new(family, frame, chunk, whole))),
            Err(memory) => {
                let view = |(at, len)| SharedBytes { memory: Arc::clone(&memory), at, len };
                parts = places.into_iter().chain([(at, len)]).map(view).collect();
            }
        }
    } else {
        parts.push(last);
    }
    let lengths: Vec<usize> = parts.iter().map(|part| part.len).collect();
    let mut parcel = Parcel::new(family, frame, &lengths)?;
    parts.iter().for_each(|part| parcel.push(part));
    Ok(Outgoing::Parcel(parcel))
}

/// What came beside a frame.
#[derive(Debug)]
pub(crate) enum Beside {
    /// A chunk that was handed over.
    Handed(Arrived),
    /// The parcel that the frame was in.
    Parcel(Arrived),
}

/// Completes the frame of a message that has arrived: that of a parcel alone is in the parcel.
///
/// # Errors
/// [`Damaged`] when it cannot be read.
pub(crate) fn complete(
    frame: &mut Vec<u8>,
    parcel: Option<Arrived>,
) -> Result<Option<Beside>, Damaged> {
    match parcel {
        None => Ok(None),
        Some(parcel) if frame.is_empty() => {
            parcel.read_frame(frame)?;
            Ok(Some(Beside::Parcel(parcel)))
        }
        Some(parcel) => Ok(Some(Beside::Handed(parcel))),
    }
}

/// The value of a frame with what came beside it. Not for use inside of a `Serialize` or `Deserialize`.
///
/// # Errors
/// [`DecodeError`] when there is none.
#[inline]
pub(crate) fn open<T: DeserializeOwned>(
    frame: &[u8],
    beside: Option<Beside>,
) -> Result<T, DecodeError> {
    match beside {
        None => whole(frame),
        Some(Beside::Parcel(parcel)) => {
            let (memory, end) =
                parcel.into_frozen().map_err(|e| DecodeError::custom::<T>(frame, e))?;
            with_source(Source::Parcel(Arc::new(memory), end), || whole(frame))
        }
        Some(Beside::Handed(parcel)) => {
            let memory = Arc::new(parcel.into_handed());
            with_source(Source::Handed(memory), || whole(frame))
        }
    }
}
