//! Taking records out of a ring.

use super::put::byte;
use super::segment::{Header, Mark, Segment};
use super::{Memory, PAYLOAD, Ring, SEGMENT};
use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};
use crate::spin::Spin;
use crate::sync::{Deadline, Ordering};

static SPIN: Spin = Spin::new();

/// Sleeps longer than this many slices count as idleness.
const IDLE_SLICES: u32 = 4;

/// Records of this many units are long: more than a cache line or two.
const LONG_UNITS: u32 = 32;
/// The most that is fetched ahead.
const EXPECTED_UNITS: u32 = 256;

const DAMAGED: &str = "some process has written over shared memory";

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A record whose bytes have been appended to the caller's buffer.
    Inline,
    /// A chunk that now belongs to this process, with a payload of so many bytes.
    Payload {
        /// The chunk.
        chunk: u64,
        /// Bytes in it.
        len: u64,
    },
}

impl Ring {
    /// Takes the oldest record, waiting for one if there is none. A ring that is closed and empty is not
    /// waited for: [`GaveUp::TimedOut`].
    ///
    /// # Errors
    /// [`GaveUp`]; nothing has been taken then.
    pub fn take(
        &self,
        memory: &impl Memory,
        out: &mut Vec<u8>,
        patience: &Patience<'_>,
    ) -> Result<Taken, GaveUp> {
        self.take_noting(memory, out, patience, &mut |_| {})
    }

    /// Takes the oldest record, and calls `note` with its ordinal number (modulo 2^32) after its
    /// bytes have been read and *before* it counts as taken: what `note` writes to shared memory
    /// then says exactly what this process is taking, should it die. See [`Ring::is_taken`].
    ///
    /// # Errors
    /// [`GaveUp`]; nothing has been taken then.
    pub fn take_noting(
        &self,
        memory: &impl Memory,
        out: &mut Vec<u8>,
        patience: &Patience<'_>,
        note: &mut dyn FnMut(Noted<'_>),
    ) -> Result<Taken, GaveUp> {
        if self.has_more(memory)
            && let Some(side) = self.get.lock.try_guard(memory.me())
        {
            let taken = self.remove(memory, out, note);
            drop(side);
            if let Some(taken) = taken {
                failpoint!("ring.take.unlocked");
                if self.limit() != 0 {
                    self.not_full.notify_one();
                }
                return Ok(taken);
            }
        }
        self.take_patiently(memory, out, patience, note)
    }

    fn take_patiently(
        &self,
        memory: &impl Memory,
        out: &mut Vec<u8>,
        patience: &Patience<'_>,
        note: &mut dyn FnMut(Noted<'_>),
    ) -> Result<Taken, GaveUp> {
        let mut slices = Slices::for_users();
        let mut sleeps = 0;
        loop {
            // Before the look at the ring: what was put before it was closed is seen then.
            let is_closed = self.is_closed();
            if self.has_more(memory) || !self.is_empty(memory) {
                let side = self.get.lock.guard(memory, patience)?;
                let taken = self.remove(memory, out, note);
                drop(side);
                failpoint!("ring.take.unlocked");
                if let Some(taken) = taken {
                    if self.limit() != 0 {
                        self.not_full.notify_one();
                    }
                    return Ok(taken);
                }
            }
            if patience.is_none() || is_closed {
                return Err(GaveUp::TimedOut);
            }
            let arrived = || (!self.is_empty(memory) || self.is_closed()).then_some(());
            let looks = || !self.is_still_empty(memory) || self.is_closed();
            if sleeps > 0 || !SPIN.until_some(looks, || self.len(memory)) {
                let ticket = self.not_empty.register();
                if arrived().is_none() && !patience.is_stopped() {
                    let _ = self.not_empty.sleep(ticket, Some(slices.next_deadline(patience)));
                    sleeps += 1;
                    if sleeps == IDLE_SLICES {
                        memory.idle();
                    }
                }
            }
            if arrived().is_none() {
                patience.check()?;
            } else if patience.deadline().is_some_and(Deadline::has_passed) || sleeps > 0 {
                // Something is there: one more try, then the next check ends the wait.
                sleeps = 0;
                if let Err(why) = patience.check() {
                    return self.last_try(memory, out, note, why);
                }
            }
        }
    }

    /// Whether the consumers know of a record that nobody has taken, without a look at the tail. Only
    /// a hint: another one may take it meanwhile.
    #[inline]
    pub(super) fn has_more(&self, memory: &impl Memory) -> bool {
        let at = self.get.segment.load(Ordering::Acquire);
        self.get.other.of(at).is_some_and(|tail| tail != memory.segment(at).head().position)
    }

    /// The wait is over, but there may be something after all; if we cannot have it, the wake-up
    /// that brought us here goes to somebody who still waits.
    fn last_try(
        &self,
        memory: &impl Memory,
        out: &mut Vec<u8>,
        note: &mut dyn FnMut(Noted<'_>),
        why: GaveUp,
    ) -> Result<Taken, GaveUp> {
        if why == GaveUp::TimedOut
            && let Ok(side) = self.get.lock.guard(memory, &Patience::none())
        {
            let taken = self.remove(memory, out, note);
            drop(side);
            if let Some(taken) = taken {
                if self.limit() != 0 {
                    self.not_full.notify_one();
                }
                return Ok(taken);
            }
        }
        if !self.is_empty(memory) {
            self.not_empty.notify_one();
        }
        Err(why)
    }

    /// Takes the oldest record if there is one. The get lock is held.
    pub(super) fn remove(
        &self,
        memory: &impl Memory,
        out: &mut Vec<u8>,
        note: &mut dyn FnMut(Noted<'_>),
    ) -> Option<Taken> {
        loop {
            let at = self.get.segment.load(Ordering::Relaxed);
            let segment = memory.segment(at);
            let head = segment.head();
            let known = self.get.other.of(at).filter(|tail| *tail != head.position);
            let tail = known.unwrap_or_else(|| {
                let tail = segment.tail();
                self.get.other.remember(at, tail);
                tail.position
            });
            let used = tail.wrapping_sub(head.position);
            // Records, whatever is in them, take the reader on; this bounds how often.
            assert!(used <= segment.units(), "a ring's segment is overfull: {DAMAGED}");
            if used == 0 {
                let next = segment.next.load(Ordering::Acquire);
                if next == 0 {
                    return None;
                }
                assert!(next != at, "a ring's segment follows itself: {DAMAGED}");
                // Linked: nothing is added to this segment any more, but something may have been
                // between our two looks.
                if head.position == segment.tail().position {
                    self.move_on(memory, at, next);
                }
                continue;
            }
            return Some(self.remove_from(memory, at, segment, head, out, note));
        }
    }

    fn remove_from(
        &self,
        memory: &impl Memory,
        at: u64,
        segment: &Segment,
        head: Mark,
        out: &mut Vec<u8>,
        note: &mut dyn FnMut(Noted<'_>),
    ) -> Taken {
        let size = segment.units();
        let mut next = head;
        let mut index = head.position & (size - 1);
        let mut header = Header::unpack(memory.read_word(at, byte(index)));
        if header == Some(Header::Pad) {
            next.position = next.position.wrapping_add(size - index);
            index = 0;
            header = Header::unpack(memory.read_word(at, byte(index)));
        }
        let from = out.len();
        match header {
            Some(Header::Inline(len)) => {
                let len = len.min((size - index - 1) * 8);
                memory.read(at, byte(index) + 8, len as usize, out);
                note(Noted { ordinal: head.count, bytes: &out[from..] });
                failpoint!("ring.take.read");
                // TAKE: read with Acquire by `fits` in `put`, which may overwrite the bytes.
                let units = super::segment::units_for(len as usize);
                segment.head.store(next.advanced(units).pack(), Ordering::Release);
                failpoint!("ring.take.taken");
                self.expect_another(memory, at, size, next.advanced(units).position, units);
                Taken::Inline
            }
            Some(Header::Tiny(tiny)) => {
                out.extend_from_slice(&tiny.bytes[..tiny.len]);
                note(Noted { ordinal: head.count, bytes: &out[from..] });
                failpoint!("ring.take.read");
                segment.head.store(next.advanced(1).pack(), Ordering::Release);
                failpoint!("ring.take.taken");
                Taken::Inline
            }
            Some(Header::Payload(label)) => {
                let label = label.min((size - index - 1) * 8);
                let chunk = memory.read_word(at, byte(index) + 8);
                let len = memory.read_word(at, byte(index) + 16);
                memory.read(at, byte(index) + 24, label as usize, out);
                note(Noted { ordinal: head.count, bytes: &out[from..] });
                self.get.mark.store(head.pack(), Ordering::Relaxed);
                self.get.intent.store(chunk | PAYLOAD, Ordering::Release);
                failpoint!("ring.take.intended");
                let units = super::segment::units_for(16 + label as usize);
                segment.head.store(next.advanced(units).pack(), Ordering::Release);
                failpoint!("ring.take.moved");
                let ours = memory.detach(chunk);
                failpoint!("ring.take.detached");
                self.get.intent.store(0, Ordering::Release);
                failpoint!("ring.take.settled");
                assert!(ours, "a ring's record names a chunk that is not the ring's: {DAMAGED}");
                Taken::Payload { chunk, len }
            }
            _ => panic!("a ring's record has no known header: {DAMAGED}"),
        }
    }

    /// Another processor wrote the next record, so reading it means waiting for memory. If records
    /// are long, and it is known that the next has been written, it comes nearer while the
    /// caller is busy with this one. Only then: to fetch a line that is being written slows the writer.
    #[inline]
    fn expect_another(&self, memory: &impl Memory, at: u64, size: u32, position: u32, units: u32) {
        if units < LONG_UNITS {
            return;
        }
        let known = self.get.other.of(at).map_or(0, |tail| tail.wrapping_sub(position));
        let index = position & (size - 1);
        let units = units.min(EXPECTED_UNITS).min(known).min(size - index);
        memory.expect(at, byte(index), units as usize * 8);
    }

    /// Whether the ring is empty, for one who looks again and again until it is not: the place of the next
    /// record is brought nearer at each look, so that it comes from the processor that writes it together
    /// with the tail, and not after it.
    #[inline]
    pub fn is_still_empty(&self, memory: &impl Memory) -> bool {
        let at = self.get.segment.load(Ordering::Acquire);
        let segment = memory.segment(at);
        let index = segment.head().position & (segment.units() - 1);
        // Of a segment that was left meanwhile it is a useless line, and nothing worse.
        memory.expect(at, byte(index), 8);
        self.is_empty(memory)
    }

    /// Leaves an empty segment that has a successor, and frees it.
    #[cold]
    fn move_on(&self, memory: &impl Memory, old: u64, next: u64) {
        // The producer that linked `next` may not have moved the put side on yet, or have died. So
        // this is done for it, before the old segment is freed: the put side always names a
        // segment of the chain.
        let _ = self.put.segment.compare_exchange(old, next, Ordering::AcqRel, Ordering::Relaxed);
        failpoint!("ring.move.helped");
        self.get.other.forget();
        self.get.intent.store(old | SEGMENT, Ordering::Release);
        failpoint!("ring.move.intended");
        self.get.segment.store(next, Ordering::Release);
        failpoint!("ring.move.moved");
        memory.detach(old);
        failpoint!("ring.move.detached");
        self.get.intent.store(0, Ordering::Release);
        failpoint!("ring.move.settled");
        memory.free_chunk(old);
    }

    /// Whether the record with that ordinal number (modulo 2^32) has been taken.
    #[must_use]
    pub fn is_taken(&self, memory: &impl Memory, ordinal: u32) -> bool {
        // Ordinals in the ring are less than 2^31 apart.
        (self.take_count(memory).wrapping_sub(ordinal) as i32) > 0
    }
}

/// A record about to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'a> {
    /// Its ordinal number in the ring, modulo 2^32.
    pub ordinal: u32,
    /// Its bytes if it is inline, or its label.
    pub bytes: &'a [u8],
}
