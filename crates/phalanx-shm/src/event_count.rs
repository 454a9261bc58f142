//! Sleeping until something changes, with no wake-up paid for when nobody sleeps.
//!
//! One 32-bit word: a sequence number (20 bits) and a count of tokens (12 bits). Who wants to
//! sleep adds a token, looks once more at what it waits for, and sleeps on the exact value that
//! it left in the word. Who changed something takes a token away, advances the sequence and wakes
//! one sleeper; with no token there is no system call.
//!
//! The invariant is *tokens >= sleepers*: a sleeper added its token before it slept, and each
//! token taken away wakes one sleeper if there is any. A process that dies, times out or changes
//! its mind leaves a token behind; it costs one wake-up that finds nobody, and is gone. So there
//! is nothing to repair after a death, except that a wake-up given to a process that died at
//! once is lost: the sweep therefore calls [`EventCount::notify_all`].

use crate::sync::{
    AtomicU32, Deadline, Ordering, Wake, futex_wait, futex_wake, store_load_barrier,
};

const TOKEN: u32 = 1;
const TOKENS: u32 = 0xfff;
const SEQUENCE: u32 = 0x1000;

/// An event count in shared memory. All zero is a valid new one.
#[derive(Debug)]
#[repr(transparent)]
pub struct EventCount(AtomicU32);

/// The value of the word that a sleeper registered under.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u32);

impl Default for EventCount {
    fn default() -> Self {
        Self::new()
    }
}

impl EventCount {
    /// One with nobody asleep.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Announces a sleep. The caller must look again at what it waits for before it sleeps.
    pub fn register(&self) -> Ticket {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let new = if word & TOKENS == TOKENS { word } else { word + TOKEN };
            // SeqCst: the caller's next look must not be moved before this write (the other side
            // writes what we look at, then reads this word).
            match self.0.compare_exchange_weak(word, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    store_load_barrier();
                    return Ticket(new);
                }
                Err(now) => word = now,
            }
        }
    }

    /// Sleeps until a notification since `ticket` was drawn, or `deadline`.
    pub fn sleep(&self, ticket: Ticket, deadline: Option<Deadline>) -> Wake {
        futex_wait(&self.0, ticket.0, deadline)
    }

    /// Wakes one sleeper, if there is one. The change it is told of must have been made before,
    /// by an operation that no later load can overtake (a `SeqCst` read-modify-write or fence).
    #[inline]
    pub fn notify_one(&self) {
        store_load_barrier();
        if self.0.load(Ordering::SeqCst) & TOKENS != 0 {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        let mut word = self.0.load(Ordering::SeqCst);
        while word & TOKENS != 0 {
            let new = word.wrapping_add(SEQUENCE) - TOKEN;
            match self.0.compare_exchange_weak(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    futex_wake(&self.0, 1);
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Wakes all sleepers.
    pub fn notify_all(&self) {
        store_load_barrier();
        let mut word = self.0.load(Ordering::SeqCst);
        while word & TOKENS != 0 {
            let new = (word & !TOKENS).wrapping_add(SEQUENCE);
            match self.0.compare_exchange_weak(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    futex_wake(&self.0, u32::MAX);
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// The futex word and its present value, for a sleep on several event counts at once.
    #[must_use]
    pub fn as_futex(&self, ticket: Ticket) -> (&AtomicU32, u32) {
        (&self.0, ticket.0)
    }
}
