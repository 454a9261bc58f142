//! An event: a flag that processes can wait for.
//!
//! One word: bit 0 the flag, bit 1 "somebody may sleep", above them a count of how often the flag
//! has been set. A waiter remembers the count it found; it is through when the flag is set *or* the
//! count has moved, so that a `set` followed at once by a `clear` lets all pass who waited for it.
//!
//! # Deaths
//! Setting is one step. A process killed between it and the wake-up (`event.set.marked`) leaves
//! sleepers under a set flag: `on_death` wakes all, and without it they look by themselves at
//! the end of their slice. A dead waiter leaves at most bit 1, which costs one wake-up of nobody.

use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};
use crate::spin::Spin;
use crate::sync::{AtomicU32, Ordering, Wake, futex_wait, futex_wake};

const SET: u32 = 1;
const WAITERS: u32 = 2;
const ONCE: u32 = 4;

static SPIN: Spin = Spin::new();

/// A flag in shared memory. All zero is a new one, not set.
#[derive(Debug, Default)]
#[repr(C)]
pub struct EventWord {
    state: AtomicU32,
    reserved: AtomicU32,
}

impl EventWord {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self { state: AtomicU32::new(0), reserved: AtomicU32::new(0) }
    }

    /// Sets the flag and wakes all who wait for it. Does nothing if it is set.
    pub fn set(&self) {
        let mut word = self.state.load(Ordering::Relaxed);
        loop {
            if word & SET != 0 {
                // What the caller wrote before must be seen by who sees the flag all the same.
                match self.state.compare_exchange(word, word, Ordering::Release, Ordering::Relaxed)
                {
                    Ok(_) => return,
                    Err(now) => word = now,
                }
                continue;
            }
            let new = (word & !WAITERS).wrapping_add(ONCE) | SET;
            match self.state.compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        failpoint!("event.set.marked");
        if word & WAITERS != 0 {
            futex_wake(&self.state, u32::MAX);
        }
    }

    /// Takes the flag back; who waits from now on waits for the next [`EventWord::set`].
    pub fn clear(&self) {
        self.state.fetch_and(!SET, Ordering::AcqRel);
    }

    /// Whether the flag is set.
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.state.load(Ordering::Acquire) & SET != 0
    }

    /// Waits until the flag is set, or has been set since the call.
    ///
    /// # Errors
    /// [`GaveUp`] if that did not happen for as long as `patience` allowed.
    pub fn wait(&self, patience: &Patience<'_>) -> Result<(), GaveUp> {
        let first = self.state.load(Ordering::Acquire);
        let through = |word: u32| word & SET != 0 || (word ^ first) >= ONCE;
        if through(first) {
            return Ok(());
        }
        if patience.is_none() {
            return Err(GaveUp::TimedOut);
        }
        let look = || through(self.state.load(Ordering::Acquire)).then_some(());
        if SPIN.until(look).is_some() {
            return Ok(());
        }
        let mut slices = Slices::for_users();
        loop {
            let word = self.state.load(Ordering::Acquire);
            if through(word) {
                return Ok(());
            }
            let new = word | WAITERS;
            if self.state.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                continue;
            }
            failpoint!("event.wait.flagged");
            let woken = futex_wait(&self.state, new, Some(slices.next_deadline(patience)));
            if matches!(woken, Wake::TimedOut | Wake::Interrupted)
                && let Err(why) = patience.check()
            {
                let late = through(self.state.load(Ordering::Acquire)) && why == GaveUp::TimedOut;
                return if late { Ok(()) } else { Err(why) };
            }
        }
    }

    /// Repairs what a process that has ended left behind: wakes all, who then look again.
    pub fn on_death(&self) {
        futex_wake(&self.state, u32::MAX);
    }
}
