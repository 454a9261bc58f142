//! Queues of messages: a ring in shared memory, with a descriptor for `select`.

use std::fmt;
use std::io;
use std::num::NonZeroU32;

use std::sync::Arc;
use std::time::Duration;

use phalanx_shm::arena::AllocError;
use phalanx_shm::event_count::EventCount;
use phalanx_shm::family::Family;
use phalanx_shm::object::{NotHeld, Shared};
use phalanx_shm::patience::{GaveUp, Patience, Slices};
use phalanx_shm::peers::SlotId;
use phalanx_shm::ring::{PutError, Ring, Short};
use phalanx_shm::spin::Spin;

use super::doorbell::Bell;
use crate::message::{Incoming, Outgoing};

pub(super) static SPIN: Spin = Spin::new();

/// How long a process that others preempt may stay in the middle of a put or take, which themselves
/// need less than a microsecond; longer only if it was stopped.
const PREEMPTED: Duration = Duration::from_millis(200);

/// A handle to a queue of messages in shared memory. Clones are handles to the same queue.
///
/// ```
/// use phalanx::message::{Incoming, Outgoing};
/// use phalanx::queue::RawQueue;
/// use phalanx::Patience;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = RawQueue::new(None)?;
/// queue.put(&mut Some(Outgoing::Inline(b"hello")), &Patience::forever())?;
/// let mut frame = Vec::new();
/// assert!(matches!(queue.take(&mut frame, &Patience::forever())?, Incoming::Inline));
/// assert_eq!(frame, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RawQueue {
    pub(super) ring: Shared<Ring>,
    pub(super) bell: Arc<Bell>,
}

impl RawQueue {
    /// A new queue, bounded to `limit` messages or unbounded.
    ///
    /// # Errors
    /// [`NewQueueError`] when the arena cannot be made or has no memory.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use phalanx::queue::RawQueue;
    ///
    /// let unbounded = RawQueue::new(None)?;
    /// let bounded = RawQueue::new(NonZeroU32::new(10))?;
    /// assert_eq!((unbounded.limit(), bounded.limit()), (None, NonZeroU32::new(10)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(limit: Option<NonZeroU32>) -> Result<Self, NewQueueError> {
        let family = Family::get().map_err(NewQueueError::NoArena)?;
        let ring = Shared::<Ring>::new(family, |_| {}).map_err(NewQueueError::OutOfMemory)?;
        ring.prepare(family, limit.map_or(0, NonZeroU32::get))
            .map_err(NewQueueError::OutOfMemory)?;
        Ok(Self::of(ring))
    }

    /// A handle to the queue at `offset`, on which this process was given a hold.
    ///
    /// # Errors
    /// [`NotHeld`] when it was not, or there is no queue there.
    #[doc(hidden)]
    pub fn from_offset(family: &'static Family, offset: u64) -> Result<Self, NotHeld> {
        Shared::from_offset(family, offset).map(Self::of)
    }

    fn of(ring: Shared<Ring>) -> Self {
        let bell = Arc::new(Bell::new(ring.clone()));
        Self { ring, bell }
    }

    /// Where the queue lies in the arena: what another process of the family makes a handle of.
    #[doc(hidden)]
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.ring.offset()
    }

    /// Gives another process a hold, before the offset is sent to it.
    #[doc(hidden)]
    pub fn hold_for(&self, slot: SlotId) {
        self.ring.hold_for(slot);
    }

    /// The family of processes that can share the queue.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// // Where the memory of a long message comes from:
    /// let message = Outgoing::new(queue.family(), &[7; 10_000])?;
    /// assert!(message.len() >= 10_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn family(&self) -> &'static Family {
        self.ring.family()
    }

    /// Puts the message, waiting for room if the queue is bounded. From the moment it is published
    /// the calling process may die and nothing is lost. On success `message` is `None` afterwards.
    ///
    /// # Errors
    /// [`PutError`]; the queue is unchanged and the message still the caller's.
    ///
    /// # Panics
    /// When `message` is `None`.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(std::num::NonZeroU32::new(1))?;
    /// let (mut first, mut second) = (Some(Outgoing::Inline(b"1")), Some(Outgoing::Inline(b"2")));
    /// queue.put(&mut first, &Patience::forever())?;
    /// assert!(queue.put(&mut second, &Patience::none()).is_err());
    /// assert!(first.is_none() && second.is_some(), "the second has still to be sent");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn put(
        &self,
        message: &mut Option<Outgoing<'_>>,
        patience: &Patience<'_>,
    ) -> Result<(), PutError> {
        let record = message.as_ref().expect("a message to put").record();
        self.ring.put(self.family(), record, patience)?;
        if let Some(message) = message.take() {
            message.sent();
        }
        Ok(())
    }

    /// Takes the oldest message, waiting for one; the frame of a short one is appended to `frame`.
    ///
    /// # Errors
    /// [`GaveUp`]; nothing has been taken then.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::{Incoming, Outgoing};
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.put(&mut Some(Outgoing::Inline(b"hello")), &Patience::forever())?;
    /// let mut frame = Vec::new();
    /// match queue.take(&mut frame, &Patience::forever())? {
    ///     Incoming::Inline => assert_eq!(frame, b"hello"),
    ///     Incoming::Parcel(long) => long.read_frame(&mut frame)?,
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn take(&self, frame: &mut Vec<u8>, patience: &Patience<'_>) -> Result<Incoming, GaveUp> {
        let taken = self.ring.take(self.family(), frame, patience)?;
        if self.bell.is_ringing() && self.is_empty() {
            self.bell.silence();
        }
        Ok(Incoming::new(self.family(), taken))
    }

    /// Puts a message that is nothing but a frame, if that can be done at once; if not, that says nothing
    /// about why. See [`Ring::put_at_once`].
    #[inline]
    pub(crate) fn put_at_once(&self, frame: &[u8]) -> bool {
        self.ring.put_at_once(self.family(), frame)
    }

    /// Takes the oldest message if it is a short one and that can be done at once; if not, that says nothing
    /// about why. See [`Ring::take_at_once`].
    #[inline]
    pub(crate) fn take_at_once(&self, frame: &mut Short) -> Option<usize> {
        let taken = self.ring.take_at_once(self.family(), frame)?;
        if self.bell.is_ringing() && self.is_empty() {
            self.bell.silence();
        }
        Some(taken)
    }

    /// Puts short messages, waiting for room for the first; the others as far as there is room then.
    /// Returns how many were put. Cheaper than one by one.
    ///
    /// `frames` has them one behind another, and `bounds` where the first begins and each of them ends.
    ///
    /// # Errors
    /// [`PutError`] when not even the first was put.
    ///
    /// # Panics
    /// When there is none, one is too long for [`Outgoing::Inline`], or the bounds are not in order.
    ///
    /// ```
    /// use phalanx::Patience;
    ///
    /// let queue = phalanx::queue::RawQueue::new(std::num::NonZeroU32::new(2))?;
    /// // Three frames, for two of which there is room:
    /// let put = queue.put_several(b"onetwothree", &[0, 3, 6, 11], &Patience::forever())?;
    /// assert_eq!((put, queue.len()), (2, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_several(
        &self,
        frames: &[u8],
        bounds: &[usize],
        patience: &Patience<'_>,
    ) -> Result<usize, PutError> {
        self.ring.put_several(self.family(), frames, bounds, patience)
    }

    /// Takes up to `max` messages without waiting for any. The frames of short ones are appended to
    /// `frames`; the result says of each where its frame ends. Cheaper than one by one; if this process
    /// is killed meanwhile they are gone with it, as one would be.
    ///
    /// # Errors
    /// [`GaveUp`] when another process was in the middle of taking for as long as `patience` allowed.
    ///
    /// ```
    /// use phalanx::Patience;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.put_several(b"onethree", &[0, 3, 8], &Patience::forever())?;
    /// let mut frames = Vec::new();
    /// let taken = queue.take_several(&mut frames, 10, &Patience::forever())?;
    /// let ends: Vec<usize> = taken.iter().map(|(_, end)| *end).collect();
    /// assert_eq!((frames.as_slice(), ends), (&b"onethree"[..], vec![3, 8]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_several(
        &self,
        frames: &mut Vec<u8>,
        max: usize,
        patience: &Patience<'_>,
    ) -> Result<Vec<(Incoming, usize)>, GaveUp> {
        let mut messages = Vec::new();
        let family = self.family();
        self.ring.take_several(family, frames, max, patience, |taken, end| {
            messages.push((Incoming::new(family, taken), end));
        })?;
        if self.bell.is_ringing() && self.is_empty() {
            self.bell.silence();
        }
        Ok(messages)
    }

    /// Puts the message if there is room. Waits for nothing but another process that is in the middle
    /// of putting one.
    ///
    /// # Errors
    /// As for [`RawQueue::put`].
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(std::num::NonZeroU32::new(1))?;
    /// assert!(queue.try_put(&mut Some(Outgoing::Inline(b"1"))).is_ok());
    /// assert!(queue.try_put(&mut Some(Outgoing::Inline(b"2"))).is_err(), "it is full");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_put(&self, message: &mut Option<Outgoing<'_>>) -> Result<(), PutError> {
        let first = self.put(message, &Patience::none());
        if !matches!(first, Err(PutError::GaveUp(_))) || self.is_full() {
            return first;
        }
        // Not full: the other process was preempted in the middle.
        self.put(message, &Patience::timeout(Some(PREEMPTED)))
    }

    /// Takes the oldest message if there is one. Waits for nothing but another process that is in
    /// the middle of taking one.
    ///
    /// # Errors
    /// As for [`RawQueue::take`].
    ///
    /// ```
    /// use phalanx::GaveUp;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// assert!(matches!(queue.try_take(&mut Vec::new()), Err(GaveUp::TimedOut)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_take(&self, frame: &mut Vec<u8>) -> Result<Incoming, GaveUp> {
        let first = self.take(frame, &Patience::none());
        if first.is_ok() || self.is_empty() {
            return first;
        }
        self.take(frame, &Patience::timeout(Some(PREEMPTED)))
    }

    /// Waits until there is something to take. Somebody else may take it first.
    ///
    /// # Errors
    /// [`GaveUp`].
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.try_put(&mut Some(Outgoing::Inline(b"hello")))?;
    /// queue.wait_for_message(&Patience::forever())?;
    /// assert_eq!(queue.len(), 1, "it has not been taken");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_message(&self, patience: &Patience<'_>) -> Result<(), GaveUp> {
        let arrived = || (!self.is_empty() || self.is_shut_down()).then_some(());
        if arrived().is_some() {
            return Ok(());
        }
        self.bell.silence();
        if patience.is_none() {
            return patience.check();
        }
        let mut slices = Slices::for_users();
        if SPIN.until(arrived).is_some() {
            return Ok(());
        }
        loop {
            let events = self.ring.not_empty();
            let ticket = events.register();
            if arrived().is_none() {
                let _ = events.sleep(ticket, Some(slices.next_deadline(patience)));
            }
            if arrived().is_some() {
                // We take nothing: the wake-up goes on to somebody who will.
                events.notify_one();
                return Ok(());
            }
            patience.check()?;
        }
    }

    /// The event count that is notified when a message arrives.
    pub(crate) fn arrivals(&self) -> &EventCount {
        self.ring.not_empty()
    }
}

impl fmt::Debug for RawQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawQueue")
            .field("offset", &self.offset())
            .field("len", &self.len())
            .finish()
    }
}

/// Why a queue could not be made.
///
/// ```
/// fn frames() -> Result<usize, phalanx::queue::NewQueueError> {
///     Ok(phalanx::queue::RawQueue::new(None)?.len())
/// }
/// assert_eq!(frames()?, 0);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum NewQueueError {
    /// The arena of this family of processes could not be made.
    NoArena(io::Error),
    /// There is no memory for the queue.
    OutOfMemory(AllocError),
}

impl fmt::Display for NewQueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArena(e) => write!(f, "cannot make the shared memory for a queue: {e}"),
            Self::OutOfMemory(e) => write!(f, "cannot make a queue: {e}"),
        }
    }
}

impl std::error::Error for NewQueueError {}
