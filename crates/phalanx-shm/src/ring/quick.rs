//! Putting and taking short records with nothing in the way: what most calls come to.
//!
//! The steps and their order are those of [`Ring::put`] and [`Ring::take`], which do the rest: what is
//! done here needs nobody to wait for, no look at the other end, no new segment and no second lap. So
//! there is no more to repair either: one store publishes, one takes.

use super::put::{byte, inline};
use super::segment::{Header, TAIL_AT, TINY_MAX, units_for};
use super::{Memory, Ring};
use crate::failpoint;
use crate::sync::Ordering;

/// Records of up to so many bytes are short.
pub const SHORT_MAX: usize = 56;

/// Room for a short record.
pub type Short = [u8; SHORT_MAX];

/// Units of a cache line.
const LINE: u32 = 8;
/// How far ahead of the next record a line is fetched: by then it has come from another processor. Only
/// those that the other side is done with: to fetch one that is being written slows the writer.
const AHEAD: u32 = 2 * LINE;

#[inline]
const fn is_last_of_line(index: u32, units: u32) -> bool {
    index % LINE + units >= LINE
}

impl Ring {
    /// Puts an inline record if that can be done at once, by what the producers know without a look at
    /// the consumers' side. Otherwise nothing has been put; that says little about whether there is room.
    #[inline]
    pub fn put_at_once(&self, memory: &impl Memory, bytes: &[u8]) -> bool {
        self.expect_to_put(memory);
        let Some(side) = self.put.lock.try_guard(memory.me()) else { return false };
        let is_put = self.append_at_once(memory, bytes);
        // A full barrier: the published tail is visible before we look for sleepers.
        drop(side);
        if is_put {
            failpoint!("ring.put.unlocked");
            self.not_empty.notify_one();
        }
        is_put
    }

    /// Brings both lines nearer that a put writes to: whoever waits for a record looks at them, and so they
    /// are with another processor.
    #[inline]
    fn expect_to_put(&self, memory: &impl Memory) {
        let at = self.put.segment.load(Ordering::Relaxed);
        let segment = memory.segment(at);
        memory.expect_to_write(at, TAIL_AT);
        let index = segment.tail().position & (segment.units() - 1);
        memory.expect_to_write(at, byte(index));
    }

    /// The put lock is held.
    #[inline]
    fn append_at_once(&self, memory: &impl Memory, bytes: &[u8]) -> bool {
        let at = self.put.segment.load(Ordering::Relaxed);
        let segment = memory.segment(at);
        let tail = segment.tail();
        if self.is_closed() {
            return false;
        }
        let limit = self.limit();
        if limit != 0 && tail.count.wrapping_sub(self.put.other.count()) >= limit {
            return false;
        }
        let Some(head) = self.put.other.of(at) else { return false };
        let (header, bytes) = inline(bytes);
        let (size, units) = (segment.units(), units_for(bytes.len()));
        let used = tail.position.wrapping_sub(head);
        let index = tail.position & (size - 1);
        if used > size || units > size - used || units > size - index {
            return false;
        }
        memory.write(at, byte(index), header, bytes);
        failpoint!("ring.put.written");
        // PUBLISH: read with Acquire by `Segment::tail` in `take`.
        segment.tail.store(tail.advanced(units).pack(), Ordering::Release);
        failpoint!("ring.put.published");
        if is_last_of_line(index, units) {
            let ahead = tail.position.wrapping_add(AHEAD);
            if ahead.wrapping_sub(head) < size {
                memory.expect_to_write(at, byte(ahead & (size - 1)));
            }
        }
        true
    }

    /// Takes the oldest record if it is there and short and that can be done at once: copies it to `out`
    /// and returns its length. Otherwise nothing has been taken; that does not say that there is nothing.
    #[inline]
    pub fn take_at_once(&self, memory: &impl Memory, out: &mut Short) -> Option<usize> {
        if !self.has_more(memory) && self.is_empty(memory) {
            return None;
        }
        let side = self.get.lock.try_guard(memory.me())?;
        let taken = self.remove_at_once(memory, out);
        drop(side);
        if taken.is_some() {
            failpoint!("ring.take.unlocked");
            if self.limit() != 0 {
                self.not_full.notify_one();
            }
        }
        taken
    }

    /// The get lock is held.
    #[inline]
    fn remove_at_once(&self, memory: &impl Memory, out: &mut Short) -> Option<usize> {
        let at = self.get.segment.load(Ordering::Relaxed);
        let segment = memory.segment(at);
        let head = segment.head();
        let size = segment.units();
        let known = self.get.other.of(at).filter(|tail| *tail != head.position);
        let tail = known.unwrap_or_else(|| {
            let tail = segment.tail();
            self.get.other.remember(at, tail);
            tail.position
        });
        let used = tail.wrapping_sub(head.position);
        if used == 0 || used > size {
            return None;
        }
        let index = head.position & (size - 1);
        let (len, units) = match Header::unpack(memory.read_word(at, byte(index)))? {
            Header::Tiny(tiny) => {
                out[..8].copy_from_slice(&tiny.bytes);
                (tiny.len, 1)
            }
            Header::Inline(len) if len as usize <= SHORT_MAX => {
                let units = units_for(len as usize);
                if units > size - index {
                    return None;
                }
                let words = out.chunks_exact_mut(8).take(units as usize - 1);
                for (word, from) in words.zip(index + 1..) {
                    word.copy_from_slice(&memory.read_word(at, byte(from)).to_ne_bytes());
                }
                (len as usize, units)
            }
            _ => return None,
        };
        failpoint!("ring.take.read");
        // TAKE: read with Acquire by `fits` in `put`, which may overwrite the bytes.
        segment.head.store(head.advanced(units).pack(), Ordering::Release);
        failpoint!("ring.take.taken");
        if is_last_of_line(index, units) && used >= AHEAD + LINE {
            memory.expect(at, byte(head.position.wrapping_add(AHEAD) & (size - 1)), 1);
        }
        Some(len)
    }
}

const _: () = assert!(TINY_MAX < 8 && SHORT_MAX.is_multiple_of(8));
