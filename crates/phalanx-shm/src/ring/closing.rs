//! Closing a ring for good: what is in it can still be taken, nothing more can be put.
//!
//! The flag is set by one store under the put lock, so a record is either put before it, and then
//! consumers that see the flag see the record too, or refused. A process that dies between the store and
//! the wake-ups delays those who sleep: they look again after their slice of time.

use super::{Memory, Ring};
use crate::failpoint;
use crate::patience::{GaveUp, Patience};
use crate::sync::Ordering;

impl Ring {
    /// Refuses what is put from now on. Those who wait for room or for a record are woken, and told.
    ///
    /// # Errors
    /// [`GaveUp`] when another process was in the middle of putting for as long as `patience` allowed;
    /// the ring is open then.
    pub fn close(&self, memory: &impl Memory, patience: &Patience<'_>) -> Result<(), GaveUp> {
        let side = self.put.lock.guard(memory, patience)?;
        self.closed.store(1, Ordering::Release);
        drop(side);
        failpoint!("ring.close.unlocked");
        self.not_empty.notify_all();
        self.not_full.notify_all();
        Ok(())
    }

    /// Whether the ring has been closed.
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) != 0
    }
}
