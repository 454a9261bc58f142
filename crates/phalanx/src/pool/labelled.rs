//! Messages with a label in front, as they travel to workers and back.

use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;
use phalanx_shm::ring::{INLINE_MAX, PutError, Record, Ring};

use crate::message::{Handed, Outgoing, Parcel};

/// A label and a message, fitted for a ring.
pub(super) enum Labelled<'a> {
    /// The label and a short frame, one behind the other.
    Frame(&'a [u8]),
    /// The label, and a chunk.
    Parcel(&'a [u8], Parcel),
    /// The label and a short frame, and bytes that are handed over beside them.
    Handed(Handed<'a>),
}

impl<'a> Labelled<'a> {
    /// Writes label and message behind each other into `scratch`, if they are short.
    pub(super) fn fit(
        family: &'static Family,
        label: &'a [u8],
        body: Outgoing<'_>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Self, AllocError> {
        match body {
            Outgoing::Inline(frame) if label.len() + frame.len() <= INLINE_MAX => {
                scratch.clear();
                scratch.extend_from_slice(label);
                scratch.extend_from_slice(frame);
                Ok(Self::Frame(scratch))
            }
            // The label makes too long what was just short enough.
            Outgoing::Inline(frame) => Ok(Self::Parcel(label, Parcel::new(family, frame, &[])?)),
            Outgoing::Parcel(parcel) => Ok(Self::Parcel(label, parcel)),
            Outgoing::Handed(handed) => {
                scratch.clear();
                scratch.extend_from_slice(label);
                Ok(Self::Handed(handed.behind(scratch)))
            }
        }
    }

    /// Puts the message, or gives it back with the reason.
    pub(super) fn put(
        self,
        ring: &Shared<Ring>,
        patience: &Patience<'_>,
    ) -> Result<(), (Self, PutError)> {
        let put = |record| ring.put(ring.family(), record, patience);
        match self {
            Self::Frame(bytes) => {
                put(Record::Inline(bytes)).map_err(|why| (Self::Frame(bytes), why))
            }
            Self::Handed(handed) => {
                let body = Outgoing::Handed(handed);
                match (put(body.record()), body) {
                    (Ok(()), body) => {
                        body.sent();
                        Ok(())
                    }
                    (Err(why), Outgoing::Handed(handed)) => Err((Self::Handed(handed), why)),
                    (Err(_), _) => unreachable!("it was handed over"),
                }
            }
            Self::Parcel(label, parcel) => {
                let body = Outgoing::Parcel(parcel);
                let Record::Payload { chunk, len } = body.record() else {
                    unreachable!("a parcel is a payload")
                };
                match (put(Record::Labelled { label, chunk, len }), body) {
                    (Ok(()), body) => {
                        body.sent();
                        Ok(())
                    }
                    (Err(why), Outgoing::Parcel(parcel)) => Err((Self::Parcel(label, parcel), why)),
                    (Err(_), _) => unreachable!("it was a parcel"),
                }
            }
        }
    }
}

/// Puts a labelled message into a ring that has no limit.
pub(super) fn put(
    ring: &Shared<Ring>,
    label: &[u8],
    body: Outgoing<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), AllocError> {
    let message = Labelled::fit(ring.family(), label, body, scratch)?;
    match message.put(ring, &Patience::forever()) {
        Ok(()) => Ok(()),
        Err((_, PutError::OutOfMemory(e))) => Err(e),
        // The ring has no limit and the wait no end.
        Err((_, PutError::GaveUp(_))) => unreachable!("an unlimited ring refused a record"),
    }
}
