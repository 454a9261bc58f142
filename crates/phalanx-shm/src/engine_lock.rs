//! The lock that the engine's own structures use: held for microseconds, never by a user's code.
//!
//! One word: the holder's slot, and a bit that says somebody sleeps. Taking it and naming the
//! holder is one compare-and-swap, so there is no instant at which it is held by nobody knows
//! whom. What it protects is arranged so that its state is whole at every instruction (each change
//! takes effect by a single store; preparations are written to an *intent* word first), hence a
//! lock whose holder died is simply taken over after the intent has been settled.
//!
//! | the holder dies | what remains | who repairs |
//! |---|---|---|
//! | anywhere between take and release | the word names a dead slot | a waiter notices (1 ms slices) and asks [`Peers::check`], whose sweep settles the intent and releases the word |
//! | after release, before waking | a sleeper without a wake-up | it wakes by itself at the end of its slice |

use crate::patience::{GaveUp, Patience, Slices};
use crate::peers::{Peers, SlotId};
use crate::spin::Spin;
use crate::sync::{AtomicU32, Ordering, futex_wait, futex_wake};

const HOLDER: u32 = 0xffff;
const SLEEPERS: u32 = 0x1_0000;

static SPIN: Spin = Spin::new();

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
        let mine = u32::from(me.raw());
        self.0.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
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
        let mine = u32::from(peers.me().raw());
        if SPIN.until(|| self.try_lock(peers.me()).then_some(())).is_some() {
            return Ok(());
        }
        let mut slices = Slices::for_engine();
        loop {
            let word = self.0.load(Ordering::Relaxed);
            if word & HOLDER == 0 {
                // Keep the bit: others may sleep too. It costs one needless wake-up at most.
                let new = mine | SLEEPERS;
                if self.0.compare_exchange(word, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
                {
                    return Ok(());
                }
                continue;
            }
            if word & SLEEPERS == 0 {
                let new = word | SLEEPERS;
                if self.0.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed).is_err()
                {
                    continue;
                }
            }
            // A critical section takes microseconds even when its holder is preempted for a time
            // slice, so "do not wait" still means a few slices here, not an instant refusal.
            let end = slices.next_deadline(&Patience::forever());
            let _ = futex_wait(&self.0, word | SLEEPERS, Some(end));
            let now = self.0.load(Ordering::Relaxed);
            if now & HOLDER == word & HOLDER
                && SlotId::from_raw((now & HOLDER) as u16).is_some_and(|h| peers.check(h))
            {
                patience.check()?;
            }
        }
    }

    /// Gives the lock back.
    #[inline]
    pub fn unlock(&self) {
        if self.0.swap(0, Ordering::SeqCst) & SLEEPERS != 0 {
            futex_wake(&self.0, 1);
        }
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

    /// Takes the lock over from a holder that is known to be dead. Fails if somebody was quicker.
    pub fn take_over(&self, dead: SlotId, me: SlotId) -> bool {
        let word = self.0.load(Ordering::Acquire);
        word & HOLDER == u32::from(dead.raw())
            && self
                .0
                .compare_exchange(
                    word,
                    (word & SLEEPERS) | u32::from(me.raw()),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Releases the lock on behalf of a dead holder, waking everybody. For the sweep only.
    pub fn release_dead(&self) {
        self.0.store(0, Ordering::SeqCst);
        futex_wake(&self.0, u32::MAX);
    }
}
