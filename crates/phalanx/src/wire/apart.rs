//! What travels apart from the frame of a task's argument or result: large bytes, and holds on the objects
//! whose handles are in it.
//!
//! An argument *lends* both: the receiver finds them where they lie, and they are kept until the task is
//! answered, so that it can be sent again. A result is sent once. It *hands* its bytes *over*, if the
//! sender has no other view of them, and its holds are the message's ([`phalanx_shm::passage`]).

use std::sync::Arc;

use phalanx_shm::arena::{AllocError, Chunk};
use phalanx_shm::family::Family;
use phalanx_shm::passage::{self, Hold};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::luggage::{Luggage, Way};
use super::outside::{Scope, Source, collected, with_source};
use super::tickets::Watch;
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

/// What a result has apart from its frame.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    /// Large bytes.
    bytes: Vec<SharedBytes>,
    /// Keep the objects whose handles are in it, until it is sent.
    holds: Vec<Hold>,
    /// It has ends of pipes, which are fetched from this process.
    has_tickets: bool,
}

impl Apart {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.holds.is_empty()
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.holds.clear();
        self.has_tickets = false;
    }

    pub(crate) fn has_tickets(&self) -> bool {
        self.has_tickets
    }
}

/// Appends the bytes of a value, and to `apart` what is to be sent beside its frame.
#[inline]
pub(crate) fn set_apart<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    apart: &mut Apart,
) -> Result<(), EncodeError> {
    let (scope, luggage) = (Scope::message(), Luggage::accept(Way::Message));
    let watch = Watch::begin();
    append(value, out)?;
    if let Some(mut bytes) = collected(&scope) {
        apart.bytes.append(&mut bytes);
    }
    apart.holds.append(&mut luggage.take());
    apart.has_tickets |= watch.has_tickets();
    watch.sent();
    Ok(())
}

/// The message of a frame and what was set apart. The bytes are not the caller's any more; the holds have
/// to be kept until the message is sent. The bytes are copied if somebody else has a view of them, if they
/// lie in different memory or beside holds, or if the frame has more than `room` bytes.
pub(crate) fn outgoing<'a>(
    family: &'static Family,
    frame: &'a [u8],
    apart: &mut Apart,
    room: usize,
) -> Result<Outgoing<'a>, AllocError> {
    let mut bytes = std::mem::take(&mut apart.bytes);
    if apart.holds.is_empty() {
        if bytes.is_empty() {
            return Outgoing::new(family, frame);
        }
        if frame.len() <= room.min(Handed::FRAME_MAX) {
            match unshared(bytes) {
                Ok((chunk, len)) => {
                    return Ok(Outgoing::Handed(Handed::new(family, frame, chunk, len)));
                }
                Err(shared) => bytes = shared,
            }
        }
    }
    parcel(family, frame, &bytes, &apart.holds).map(Outgoing::Parcel)
}

/// The chunk that all the bytes lie in and how many there are in it, if nobody else has a view of it; else
/// the bytes again.
fn unshared(mut parts: Vec<SharedBytes>) -> Result<(Chunk, usize), Vec<SharedBytes>> {
    let Some(last) = parts.pop() else { return Err(parts) };
    if !parts.iter().all(|part| Arc::ptr_eq(&part.memory, &last.memory)) {
        parts.push(last);
        return Err(parts);
    }
    let places: Vec<_> = parts.drain(..).map(|part| (part.at, part.len)).collect();
    let SharedBytes { memory, at, len } = last;
    let whole = memory.len();
    match Arc::try_unwrap(memory).and_then(|memory| memory.thaw().map_err(Arc::new)) {
        Ok(chunk) => Ok((chunk, whole)),
        Err(memory) => {
            let view = |(at, len)| SharedBytes { memory: Arc::clone(&memory), at, len };
            Err(places.into_iter().chain([(at, len)]).map(view).collect())
        }
    }
}

/// A frame with copies of bytes behind it, and holds that are the message's once it is sent; until then
/// the caller keeps them.
pub(super) fn parcel(
    family: &'static Family,
    frame: &[u8],
    bytes: &[SharedBytes],
    holds: &[Hold],
) -> Result<Parcel, AllocError> {
    let mut lengths: Vec<usize> = bytes.iter().map(|part| part.len).collect();
    if !holds.is_empty() {
        lengths.push(passage::list_len(holds.len()));
    }
    let mut parcel = Parcel::new(family, frame, &lengths)?;
    bytes.iter().for_each(|part| parcel.push(part));
    if !holds.is_empty() {
        parcel.load(holds);
    }
    Ok(parcel)
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
            // Until the handles in it have theirs.
            let _holds = parcel.open_passage();
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
