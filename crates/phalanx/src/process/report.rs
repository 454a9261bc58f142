//! What a process says of its task before it ends: one message, which nobody has to wait for.

use std::io;

use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;
use phalanx_shm::peers::SlotId;
use phalanx_shm::ring::{PutError, Record, Ring};

use crate::message::Incoming;
use crate::task::{Failed, Out, Outcome};
use crate::wire;
use crate::wire::apart::{Apart, Beside};

const ENDS_WITH_US: &str = "an end of a pipe or channel in it would have to be fetched from this process, \
                            which ends: let it be given the end instead, or send it in a message";

/// A message's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The encoded result.
    Value,
    /// The encoded panic.
    Panicked,
    /// Why the argument could not be decoded.
    Argument,
    /// Why the result cannot be sent.
    Result,
    /// Why the process could not be arranged as it was to be.
    Surroundings,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Value, Self::Panicked, Self::Argument, Self::Result, Self::Surroundings];

    pub(super) fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Value => Self::Value,
            Outcome::Failed(Failed::Argument) => Self::Argument,
            Outcome::Failed(Failed::Result) => Self::Result,
        }
    }
}

/// Where the message is left.
#[derive(Clone, Debug)]
pub(super) struct Report(Shared<Ring>);

impl Report {
    pub(super) fn new(family: &'static Family) -> io::Result<Self> {
        let make = || {
            let ring = Shared::<Ring>::new(family, |_| {})?;
            ring.prepare(family, 0)?;
            Ok(Self(ring))
        };
        make().map_err(|e: AllocError| io::Error::other(e))
    }

    pub(super) fn offset(&self) -> u64 {
        self.0.offset()
    }

    pub(super) fn hold_for(&self, place: SlotId) {
        self.0.hold_for(place);
    }

    /// In the process that was given a hold.
    pub(super) fn at(family: &'static Family, offset: u64) -> io::Result<Self> {
        Shared::from_offset(family, offset).map(Self).map_err(io::Error::other)
    }

    /// Leaves what the task has come to. What there is no memory for, or cannot be had any more when this
    /// process has ended, is replaced by the reason.
    pub(super) fn leave_result(&self, outcome: Outcome, out: &mut Out) {
        if out.apart.has_tickets() {
            return self.leave(Kind::Result, ENDS_WITH_US.as_bytes());
        }
        if let Err(why) = self.put(Kind::of(outcome), &out.frame, &mut out.apart) {
            self.leave(Kind::Result, why.to_string().as_bytes());
        }
    }

    /// Leaves the message: `body` with the kind put before it.
    pub(super) fn leave(&self, kind: Kind, body: &[u8]) {
        if let Err(why) = self.put(kind, body, &mut Apart::default()) {
            // If there is no room even for that, the process has ended without a report.
            let _ = self.put(Kind::Result, why.to_string().as_bytes(), &mut Apart::default());
        }
    }

    fn put(&self, kind: Kind, body: &[u8], apart: &mut Apart) -> Result<(), AllocError> {
        let family = self.0.family();
        let frame = [&[kind as u8], body].concat();
        let message = wire::apart::outgoing(family, &frame, apart, usize::MAX)?;
        let record: Record<'_> = message.record();
        match self.0.put(family, record, &Patience::forever()) {
            Ok(()) => {
                message.sent();
                Ok(())
            }
            Err(PutError::OutOfMemory(e)) => Err(e),
            // A ring without limit and a wait without end.
            Err(PutError::GaveUp(_)) => Ok(()),
        }
    }

    /// The message, if there is one: its kind, its body, and what came beside it.
    pub(super) fn read(&self) -> Option<(Kind, Vec<u8>, Option<Beside>)> {
        let family = self.0.family();
        let mut bytes = Vec::new();
        let taken = self.0.take(family, &mut bytes, &Patience::none()).ok()?;
        let parcel = Incoming::new(family, taken).into_parcel();
        let beside = wire::apart::complete(&mut bytes, parcel).ok()?;
        let kind = Kind::ALL.into_iter().find(|kind| bytes.first() == Some(&(*kind as u8)))?;
        bytes.remove(0);
        Some((kind, bytes, beside))
    }
}
