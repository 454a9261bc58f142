//! One direction of a pipe: a ring, and its bell.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use phalanx_os::poll::{self, Interest};
use phalanx_shm::failpoint;
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, NotHeld, Shared};
use phalanx_shm::patience::{GaveUp, Patience, Slices};
use phalanx_shm::peers::SlotId;
use phalanx_shm::ring::{PutError, Ring, SHORT_MAX, Short, Taken};
use phalanx_shm::spin::Spin;

use super::bell::Bell;
use super::error::{NewPipeError, SendError};
use crate::message::{Incoming, Outgoing};

/// How many messages a direction holds: as many small ones as a pipe of the kernel does.
const MESSAGES: u32 = 16384;
/// Bytes of a unit, by which larger messages are counted.
const UNIT: usize = 256;
/// How many units may be on their way, 4 MiB, unless one message alone has more.
const UNITS: u32 = 16384;

/// How long a process that others preempt may stay in the middle of taking a message.
const PREEMPTED: Duration = Duration::from_millis(200);

static ROOM: Spin = Spin::new();

/// One direction as seen from either of its ends.
#[derive(Clone)]
pub(super) struct Half {
    pub(super) ring: Shared<Ring>,
    word: Shared<Bytes>,
}

impl Half {
    pub(super) fn new(family: &'static Family) -> Result<Self, NewPipeError> {
        let ring = Shared::<Ring>::new(family, |_| {})?;
        ring.prepare(family, MESSAGES)?;
        Ok(Self { ring, word: Shared::new(family, |_| {})? })
    }

    pub(super) fn from_offsets(family: &'static Family, at: [u64; 2]) -> Result<Self, NotHeld> {
        let ring = Shared::from_offset(family, at[0])?;
        Ok(Self { ring, word: Shared::from_offset(family, at[1])? })
    }

    pub(super) fn offsets(&self) -> [u64; 2] {
        [self.ring.offset(), self.word.offset()]
    }

    pub(super) fn hold_for(&self, slot: SlotId) {
        self.ring.hold_for(slot);
        self.word.hold_for(slot);
    }

    pub(super) fn bell(&self) -> Bell<'_> {
        Bell::of(&self.word)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty(self.ring.family())
    }

    /// The same for one who looks until there is a message.
    #[inline]
    pub(super) fn is_still_empty(&self) -> bool {
        self.ring.is_still_empty(self.ring.family())
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len(self.ring.family())
    }

    /// Wakes whoever waits for room, to look whether the other end is still there.
    pub(super) fn wake_senders(&self) {
        self.ring.not_full().notify_all();
    }

    /// Sends a short frame if that can be done at once.
    #[inline]
    pub(super) fn send_at_once(
        &self,
        socket: BorrowedFd<'_>,
        frame: &[u8],
    ) -> Option<Result<(), SendError>> {
        const { assert!(SHORT_MAX < UNIT) };
        if !self.ring.put_at_once(self.ring.family(), frame) {
            return None;
        }
        failpoint!("pipe.send.put");
        Some(if self.bell().ring(socket) { Ok(()) } else { Err(SendError::Broken) })
    }

    /// Receives the oldest message if it is a short frame and that can be done at once.
    #[inline]
    pub(super) fn recv_at_once(&self, frame: &mut Short) -> Option<usize> {
        self.ring.take_at_once(self.ring.family(), frame)
    }

    #[inline]
    pub(super) fn send(
        &self,
        socket: BorrowedFd<'_>,
        message: &mut Option<Outgoing<'_>>,
        patience: &Patience<'_>,
    ) -> Result<(), SendError> {
        let units = message.as_ref().map_or(0, |message| units_of(message.len()));
        let mut slices = Slices::for_engine();
        loop {
            if self.has_room_for(units) {
                let record = message.as_ref().expect("a message to send").record();
                match self.ring.put(self.ring.family(), record, &Patience::none()) {
                    Ok(()) => break,
                    Err(PutError::OutOfMemory(e)) => return Err(SendError::OutOfMemory(e)),
                    // Full, or another sender is in the middle.
                    Err(PutError::GaveUp(_)) => {}
                }
            }
            self.wait_for_room(socket, units, patience, &mut slices)?;
        }
        failpoint!("pipe.send.put");
        if units > 0 {
            self.bell().add_units(units);
            failpoint!("pipe.send.counted");
        }
        if let Some(message) = message.take() {
            message.sent();
        }
        if self.bell().ring(socket) { Ok(()) } else { Err(SendError::Broken) }
    }

    fn has_room_for(&self, units: u32) -> bool {
        if units == 0 {
            return true;
        }
        let present = self.bell().units();
        // A count that a death left too high is of no consequence once the ring is empty.
        present == 0 || present.saturating_add(units) <= UNITS || self.is_empty()
    }

    #[cold]
    fn wait_for_room(
        &self,
        socket: BorrowedFd<'_>,
        units: u32,
        patience: &Patience<'_>,
        slices: &mut Slices,
    ) -> Result<(), SendError> {
        if patience.is_none() {
            return Err(SendError::GaveUp(GaveUp::TimedOut));
        }
        let is_full = || self.ring.is_full(self.ring.family());
        let room = || (!is_full() && self.has_room_for(units)).then_some(());
        let spun = self.ring.spin_for_plenty_of_room(self.ring.family());
        if (spun && room().is_some()) || ROOM.until(room).is_some() {
            return Ok(());
        }
        let ticket = self.ring.not_full().register();
        if room().is_none() {
            let _ = self.ring.not_full().sleep(ticket, Some(slices.next_deadline(patience)));
        }
        // The sleep does not end when the receiver dies, hence its short slices.
        if is_hung_up(socket) {
            return Err(SendError::Broken);
        }
        if room().is_none() {
            patience.check().map_err(SendError::GaveUp)?;
        }
        Ok(())
    }

    /// Takes the oldest message if there is one.
    #[inline]
    pub(super) fn try_recv(&self, frame: &mut Vec<u8>) -> Option<Incoming> {
        let family = self.ring.family();
        if self.is_empty() {
            return None;
        }
        let before = frame.len();
        let taken = self.ring.take(family, frame, &Patience::none()).or_else(|why| {
            if self.is_empty() {
                return Err(why);
            }
            // Another receiver was preempted in the middle; longer only if it was stopped.
            self.ring.take(family, frame, &Patience::timeout(Some(PREEMPTED)))
        });
        let taken = taken.ok()?;
        let len = match taken {
            Taken::Inline => frame.len() - before,
            Taken::Payload { len, .. } => usize::try_from(len).unwrap_or(usize::MAX),
        };
        let units = units_of(len);
        if units > 0 {
            failpoint!("pipe.recv.taken");
            self.bell().remove_units(units);
            failpoint!("pipe.recv.counted");
            self.ring.not_full().notify_one();
        }
        Some(Incoming::new(family, taken))
    }
}

fn units_of(len: usize) -> u32 {
    u32::try_from(len / UNIT).unwrap_or(u32::MAX / 2)
}

/// Whether the other end is closed in every process.
pub(super) fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut list = [Interest::read(socket)];
    let now = Patience::none();
    poll::wait(&mut list, now.deadline()).is_ok() && list[0].is_hung_up()
}
