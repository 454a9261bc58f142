//! Putting records into a ring.

use std::fmt;

use super::segment::{Header, Mark, Segment, TINY_MAX, next_capacity, units_for};
use super::{Memory, PAYLOAD, Ring, SEGMENT, SEGMENT_HEADER};
use crate::alloc_error::AllocError;
use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};
use crate::spin::Spin;
use crate::sync::Ordering;

static SPIN: Spin = Spin::new();
/// For more room than the next record needs.
static PLENTY: Spin = Spin::seldom();
const PLENTY_OF_ROOM: u32 = 256;

/// What is put.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Bytes, at most [`super::INLINE_MAX`] of them, copied into the ring.
    Inline(&'a [u8]),
    /// A chunk that this process owns, with a payload of so many bytes: it belongs to the ring
    /// once the call succeeds, and still to the caller if it fails.
    Payload {
        /// The chunk.
        chunk: u64,
        /// Bytes in it.
        len: u64,
    },
    /// The same with a label of a few bytes, which a consumer can read before it takes the record
    /// (see [`Ring::take_noting`]) and which is appended to its buffer.
    Labelled {
        /// The label.
        label: &'a [u8],
        /// The chunk.
        chunk: u64,
        /// Bytes in it.
        len: u64,
    },
}

/// Why a record was not put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The ring was full until the deadline, or the caller gave up.
    GaveUp(GaveUp),
    /// There is no memory for a longer ring.
    OutOfMemory(AllocError),
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp(GaveUp::TimedOut) => {
                f.write_str("the queue stayed full until the deadline")
            }
            Self::GaveUp(GaveUp::Interrupted) => {
                f.write_str("interrupted while the queue was full")
            }
            Self::OutOfMemory(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for PutError {}

impl From<GaveUp> for PutError {
    fn from(why: GaveUp) -> Self {
        Self::GaveUp(why)
    }
}

impl Ring {
    /// Puts a record, waiting for room if the ring has a limit. It counts from the moment it is
    /// published: the calling process may die at once and nothing is lost. A ring that is closed is not
    /// waited for: [`GaveUp::TimedOut`].
    ///
    /// # Errors
    /// [`PutError`]; the ring is unchanged then.
    ///
    /// # Panics
    /// When inline bytes are too many, or the chunk does not belong to this process.
    pub fn put(
        &self,
        memory: &impl Memory,
        record: Record<'_>,
        patience: &Patience<'_>,
    ) -> Result<(), PutError> {
        if let Record::Inline(bytes) | Record::Labelled { label: bytes, .. } = record {
            assert!(bytes.len() <= super::INLINE_MAX, "too many bytes for an inline record");
        }
        if let Record::Inline(bytes) = record
            && self.put_at_once(memory, bytes)
        {
            return Ok(());
        }
        self.put_patiently(memory, record, patience)
    }

    fn put_patiently(
        &self,
        memory: &impl Memory,
        record: Record<'_>,
        patience: &Patience<'_>,
    ) -> Result<(), PutError> {
        let mut slices = Slices::for_users();
        loop {
            let side = self.put.lock.guard(memory, patience)?;
            if self.is_closed() {
                return Err(PutError::GaveUp(GaveUp::TimedOut));
            }
            let done =
                if self.is_full_for_us(memory) { None } else { Some(self.append(memory, record)) };
            // The unlock is a full barrier: the published tail is visible before we look for
            // sleepers.
            drop(side);
            failpoint!("ring.put.unlocked");
            match done {
                Some(Ok(())) => {
                    self.not_empty.notify_one();
                    return Ok(());
                }
                Some(Err(e)) => return Err(PutError::OutOfMemory(e)),
                None => self.wait_for_room(memory, patience, &mut slices)?,
            }
        }
    }

    /// Whether the limit is reached, with a look at the other end only if what is known of it does
    /// not say that there is room. The put lock is held.
    pub(super) fn is_full_for_us(&self, memory: &impl Memory) -> bool {
        let limit = self.limit();
        if limit == 0 {
            return false;
        }
        let at = self.put.segment.load(Ordering::Relaxed);
        let put = memory.segment(at).tail().count;
        // At most this many are in the ring: some may have been taken since.
        if put.wrapping_sub(self.put.other.count()) < limit {
            return false;
        }
        if self.get.segment.load(Ordering::Acquire) == at {
            self.put.other.remember(at, memory.segment(at).head());
        }
        self.is_full(memory)
    }

    /// Busy-waits for more room than the next record needs, though not for long; whether there is.
    ///
    /// Who goes on as soon as there is room for one waits again for the next, and each look takes the
    /// consumers' line out of their hands.
    pub fn spin_for_plenty_of_room(&self, memory: &impl Memory) -> bool {
        let limit = self.limit();
        let enough = limit.saturating_sub((limit / 4).clamp(1, PLENTY_OF_ROOM));
        let plenty = || self.len(memory) <= enough as usize || self.is_closed();
        PLENTY.until(|| plenty().then_some(())).is_some()
    }

    pub(super) fn wait_for_room(
        &self,
        memory: &impl Memory,
        patience: &Patience<'_>,
        slices: &mut Slices,
    ) -> Result<(), GaveUp> {
        if patience.is_none() {
            return Err(GaveUp::TimedOut);
        }
        let room = || (!self.is_full(memory) || self.is_closed()).then_some(());
        if self.spin_for_plenty_of_room(memory) || SPIN.until(room).is_some() {
            return Ok(());
        }
        let ticket = self.not_full.register();
        if room().is_none() {
            let _ = self.not_full.sleep(ticket, Some(slices.next_deadline(patience)));
        }
        if room().is_some() {
            return Ok(());
        }
        patience.check().inspect_err(|_| {
            // The wake-up that was perhaps meant for us goes to somebody who still waits.
            if !self.is_full(memory) {
                self.not_full.notify_one();
            }
        })
    }

    /// Writes and publishes a record. The put lock is held.
    pub(super) fn append(
        &self,
        memory: &impl Memory,
        record: Record<'_>,
    ) -> Result<(), AllocError> {
        let payload;
        let (header, bytes, chunk) = match record {
            Record::Inline(bytes) => {
                let (header, bytes) = inline(bytes);
                (header, bytes, None)
            }
            Record::Payload { chunk, len } => {
                payload = payload_record(chunk, len, &[]);
                (Header::Payload(0).pack(), &payload[..], Some(chunk))
            }
            Record::Labelled { label, chunk, len } => {
                payload = payload_record(chunk, len, label);
                (Header::Payload(label.len() as u32).pack(), &payload[..], Some(chunk))
            }
        };
        let units = units_for(bytes.len());
        let mut at = self.put.segment.load(Ordering::Relaxed);
        let mut segment = memory.segment(at);
        let mut tail = segment.tail();
        if !self.has_room(at, segment, tail, units) {
            at = self.grow(memory, at, tail, units)?;
            segment = memory.segment(at);
            tail = segment.tail();
        }
        let size = segment.units();
        let mut index = tail.position & (size - 1);
        let mut next = tail;
        if units > size - index {
            memory.write(at, byte(index), Header::Pad.pack(), &[]);
            next.position = next.position.wrapping_add(size - index);
            index = 0;
        }
        if let Some(chunk) = chunk {
            self.put.mark.store(tail.pack(), Ordering::Relaxed);
            self.put.intent.store(chunk | PAYLOAD, Ordering::Release);
            failpoint!("ring.put.intended");
            let ours = memory.attach(chunk);
            if !ours {
                self.put.intent.store(0, Ordering::Release);
            }
            assert!(ours, "the chunk of a payload must belong to the process that puts it");
            failpoint!("ring.put.attached");
        }
        memory.write(at, byte(index), header, bytes);
        failpoint!("ring.put.written");
        // PUBLISH: read with Acquire by `Segment::tail` in `take`.
        segment.tail.store(next.advanced(units).pack(), Ordering::Release);
        failpoint!("ring.put.published");
        if chunk.is_some() {
            self.put.intent.store(0, Ordering::Release);
            failpoint!("ring.put.settled");
        }
        Ok(())
    }

    /// Whether a record of so many units fits into the last segment, in one piece.
    #[inline]
    fn has_room(&self, at: u64, segment: &Segment, tail: Mark, units: u32) -> bool {
        if self.put.other.of(at).is_some_and(|head| fits(segment.units(), head, tail, units)) {
            return true;
        }
        // Before consumers have come to this segment, its head does not count what they have taken.
        let counts = self.get.segment.load(Ordering::Acquire) == at;
        let mut head = segment.head();
        if !counts {
            head.count = self.put.other.count();
        }
        self.put.other.remember(at, head);
        fits(segment.units(), head.position, tail, units)
    }

    /// Links a larger segment behind the last one and moves the put side on to it.
    #[cold]
    fn grow(
        &self,
        memory: &impl Memory,
        last: u64,
        tail: Mark,
        units: u32,
    ) -> Result<u64, AllocError> {
        let capacity = next_capacity(memory.segment(last).units(), units);
        let new = memory.take_chunk(SEGMENT_HEADER + capacity)?;
        failpoint!("ring.grow.allocated");
        memory.segment(new).prepare(capacity, tail.count);
        self.put.other.forget();
        self.put.intent.store(new | SEGMENT, Ordering::Release);
        failpoint!("ring.grow.intended");
        memory.attach(new);
        failpoint!("ring.grow.attached");
        memory.segment(last).next.store(new, Ordering::Release);
        failpoint!("ring.grow.linked");
        self.put.segment.store(new, Ordering::Release);
        failpoint!("ring.grow.moved");
        self.put.intent.store(0, Ordering::Release);
        failpoint!("ring.grow.settled");
        Ok(new)
    }
}

/// The header of an inline record, and what follows it.
#[inline]
pub(super) fn inline(bytes: &[u8]) -> (u64, &[u8]) {
    match bytes.len() {
        0..=TINY_MAX => (Header::pack_tiny(bytes), &[]),
        len => (Header::Inline(len as u32).pack(), bytes),
    }
}

fn payload_record(chunk: u64, len: u64, label: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(16 + label.len());
    record.extend_from_slice(&chunk.to_le_bytes());
    record.extend_from_slice(&len.to_le_bytes());
    record.extend_from_slice(label);
    record
}

/// Whether a record of so many units fits between tail and head of a segment of `size`.
#[inline]
pub(super) fn fits(size: u32, head: u32, tail: Mark, units: u32) -> bool {
    let used = tail.position.wrapping_sub(head);
    let index = tail.position & (size - 1);
    let to_end = size - index;
    let pad = if units > to_end { to_end } else { 0 };
    // In 64 bits, so that nothing overflows whatever a damaged segment says.
    units <= size && u64::from(used) + u64::from(pad) + u64::from(units) <= u64::from(size)
}

/// The byte at which a unit of a segment begins.
pub(super) const fn byte(index: u32) -> usize {
    SEGMENT_HEADER + index as usize * 8
}
