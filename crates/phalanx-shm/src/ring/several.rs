//! Several records at a time, under one hold of a side's lock.
//!
//! Each record is published, or taken, by itself: a process that dies half way has put some of its records
//! and none in part, or takes those with it that it had taken already. The repairs are those of single
//! records.

use super::put::PutError;
use super::take::Taken;
use super::{Memory, Record, Ring};
use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};

/// A lock is not held for more records than this.
const AT_ONCE: usize = 64;

impl Ring {
    /// Puts inline records, waiting for room for the first if the ring has a limit; the others are put as
    /// far as there is room. Returns how many were.
    ///
    /// `bytes` has what they consist of, one behind another, and `bounds` where the first begins and each
    /// of them ends.
    ///
    /// # Errors
    /// [`PutError`] when not even the first was put.
    ///
    /// # Panics
    /// When there is none, one has too many bytes, or the bounds are not in order.
    pub fn put_several(
        &self,
        memory: &impl Memory,
        bytes: &[u8],
        bounds: &[usize],
        patience: &Patience<'_>,
    ) -> Result<usize, PutError> {
        assert!(bounds.len() > 1, "nothing to put");
        let records = bounds.len() - 1;
        let record = |n: usize| &bytes[bounds[n]..bounds[n + 1]];
        let longest = (0..records).map(|n| record(n).len()).max();
        assert!(longest <= Some(super::INLINE_MAX), "too many bytes for an inline record");
        let mut slices = Slices::for_users();
        loop {
            let side = self.put.lock.guard(memory, patience)?;
            if self.is_closed() {
                return Err(PutError::GaveUp(GaveUp::TimedOut));
            }
            let (mut count, mut failure) = (0, None);
            while count < records.min(AT_ONCE) && !self.is_full_for_us(memory) {
                if let Err(e) = self.append(memory, Record::Inline(record(count))) {
                    failure = Some(e);
                    break;
                }
                count += 1;
            }
            drop(side);
            failpoint!("ring.put_several.unlocked");
            if count > 0 {
                (0..count).for_each(|_| self.not_empty.notify_one());
                return Ok(count);
            }
            match failure {
                Some(e) => return Err(PutError::OutOfMemory(e)),
                None => self.wait_for_room(memory, patience, &mut slices)?,
            }
        }
    }

    /// Takes up to `max` records without waiting for one, but for a process that is in the middle of
    /// taking, as long as `patience` allows. Their bytes, or labels, are appended to `out`, and `taken`
    /// is told of each, with the length of `out` by then.
    ///
    /// # Errors
    /// [`GaveUp`]; nothing has been taken then.
    pub fn take_several(
        &self,
        memory: &impl Memory,
        out: &mut Vec<u8>,
        max: usize,
        patience: &Patience<'_>,
        mut taken: impl FnMut(Taken, usize),
    ) -> Result<(), GaveUp> {
        if max == 0 || self.is_empty(memory) {
            return Ok(());
        }
        let side = self.get.lock.guard(memory, patience)?;
        let mut count = 0;
        while count < max.min(AT_ONCE)
            && let Some(one) = self.remove(memory, out, &mut |_| {})
        {
            taken(one, out.len());
            count += 1;
        }
        drop(side);
        failpoint!("ring.take_several.unlocked");
        if self.limit() != 0 {
            (0..count).for_each(|_| self.not_full.notify_one());
        }
        Ok(())
    }
}
