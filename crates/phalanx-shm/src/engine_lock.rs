//! The lock that the engine's own structures use: held for microseconds, never by a user's code.
//!
//! One word: the holder's slot, a bit that says somebody sleeps, and a count of the times it was
//! taken. Taking it and naming the holder is one compare-and-swap, so there is no instant at which
//! it is held by nobody knows whom; the count lets a word that was looked at a while ago be told
//! from a later one with the same holder, since a dead holder's slot may be in use again. What it protects is arranged so that its state is whole at every instruction (each change
//! takes effect by a single store; preparations are written to an *intent* word first), hence a
//! lock whose holder died is simply taken over after the intent has been settled.
//!
//! | the holder dies | what remains | who repairs |
//! |---|---|---|
//! | anywhere between take and release | the word names a dead slot | a waiter notices (1 ms slices) and asks [`Peers::check`], whose sweep settles the intent and releases the word |
//! | after release, before waking | a sleeper without a wake-up | it wakes by itself at the end of its slice |

use std::time::Duration;

use crate::patience::{GaveUp, Patience, Slices};
use crate::peers::{Peers, SlotId};
use crate::spin::Spin;
use crate::sync::{AtomicU32, Deadline, Ordering, futex_wait, futex_wake};

const HOLDER: u32 = 0xffff;
const SLEEPERS: u32 = 0x1_0000;
const TIMES: u32 = !(HOLDER | SLEEPERS);
const ONCE: u32 = SLEEPERS << 1;

/// A critical section takes microseconds even when its holder is preempted for a time slice or
/// two. So the caller's own deadline counts only after this: "do not wait" is no instant refusal.
const GRACE: Duration = Duration::from_millis(15);

static SPIN: Spin = Spin::for_locks();

/// A short-term lock in shared memory. All zero is a valid new one.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct EngineLock(AtomicU32);

impl EngineLock {
    /// A lock that nobody holds.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self, me: SlotId) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        word & !TIMES == 0 && self.take(word, me, 0)
    }

    /// Takes the lock if its word is still `word`.
    #[inline]
    fn take(&self, word: u32, me: SlotId, sleepers: u32) -> bool {
        let new = (word.wrapping_add(ONCE) & TIMES) | sleepers | u32::from(me.raw());
        self.0.compare_exchange(word, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock, waiting for its holder to leave or, if it has died, for its repair.
    ///
    /// # Errors
    /// [`GaveUp`]: only a holder that is stopped (SIGSTOP) lets it come to that.
    #[inline]
    pub fn lock(&self, peers: &impl Peers, patience: &Patience<'_>) -> Result<(), GaveUp> {
        if self.try_lock(peers.me()) { Ok(()) } else { self.lock_slow(peers, patience) }
    }

    #[cold]
    fn lock_slow(&self, peers: &impl Peers, patience: &Patience<'_>) -> Result<(), GaveUp> {
        let me = peers.me();
        if SPIN.until(|| self.try_lock(me).then_some(())).is_some() {
            return Ok(());
        }
        let mut slices = Slices::for_engine();
        let grace = Deadline::after(GRACE);
        loop {
            let word = self.0.load(Ordering::Relaxed);
            if word & HOLDER == 0 {
                // Others may sleep too. It costs one needless wake-up at most.
                if self.take(word, me, SLEEPERS) {
                    return Ok(());
                }
                continue;
            }
            let asleep = word | SLEEPERS;
            if word != asleep
                && self
                    .0
                    .compare_exchange(word, asleep, Ordering::Relaxed, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            let end = if grace.has_passed() {
                slices.next_deadline(patience)
            } else {
                slices.next_deadline(&Patience::forever())
            };
            let _ = futex_wait(&self.0, asleep, Some(end));
            let now = self.0.load(Ordering::Relaxed);
            if now & HOLDER == word & HOLDER
                && let Some(holder) = SlotId::from_raw((now & HOLDER) as u16)
            {
                peers.check(holder);
                if grace.has_passed() && self.is_held_by(holder) {
                    patience.check()?;
                }
            }
        }
    }

    /// Gives the lock back.
    #[inline]
    pub fn unlock(&self) {
        // A read-modify-write that keeps the count; only sleepers change the word meanwhile.
        if self.0.fetch_and(TIMES, Ordering::SeqCst) & SLEEPERS != 0 {
            futex_wake(&self.0, 1);
        }
    }

    /// Takes the lock if it is free, as [`EngineLock::guard`].
    #[inline]
    pub(crate) fn try_guard(&self, me: SlotId) -> Option<Guard<'_>> {
        self.try_lock(me).then(|| Guard(self))
    }

    /// Takes the lock for the life of the value returned, also when its holder panics.
    ///
    /// # Errors
    /// As [`EngineLock::lock`].
    #[inline]
    pub(crate) fn guard(
        &self,
        peers: &impl Peers,
        patience: &Patience<'_>,
    ) -> Result<Guard<'_>, GaveUp> {
        self.lock(peers, patience).map(|()| Guard(self))
    }

    /// Whether `slot` holds the lock.
    #[must_use]
    pub fn is_held_by(&self, slot: SlotId) -> bool {
        self.0.load(Ordering::Acquire) & HOLDER == u32::from(slot.raw())
    }

    /// The slot that holds the lock, if any.
    #[must_use]
    pub fn holder(&self) -> Option<SlotId> {
        SlotId::from_raw((self.0.load(Ordering::Acquire) & HOLDER) as u16)
    }

    /// Takes the lock from a holder that `is_dead`, for `me`. False if it is free, its holder is
    /// alive, or somebody was quicker.
    pub fn take_over(&self, me: SlotId, is_dead: impl FnOnce(SlotId) -> bool) -> bool {
        // The word first, then the question: with the count in it, the word stands for one holding
        // of one process, and once that process is dead it is dead for good.
        let word = self.0.load(Ordering::Acquire);
        let holder = SlotId::from_raw((word & HOLDER) as u16);
        holder.is_some_and(is_dead) && self.take(word, me, word & SLEEPERS)
    }

    /// Releases the lock on behalf of a dead holder, waking everybody. For the sweep only.
    pub fn release_dead(&self) {
        self.0.fetch_and(TIMES, Ordering::SeqCst);
        futex_wake(&self.0, u32::MAX);
    }
}

/// The lock, held.
#[derive(Debug)]
pub(crate) struct Guard<'a>(&'a EngineLock);

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(loom)]
        if crate::failpoint::model::is_dying() {
            return;
        }
        self.0.unlock();
    }
}
