//! A bell that is rung for sleepers only: the word beside a queue whose consumers sleep on a descriptor.
//!
//! What is queued needs no system call while the consumer is busy. One that wants to sleep, or was asked
//! for a descriptor to `select` on, says so in the word; then a producer also puts one byte into the wire
//! that the descriptor belongs to (a socket), unless one lies there already.
//!
//! ```text
//!   word:  units in flight : 32 | ringer's slot : 16 | ... | PARKED | WATCHED | state : 2
//!
//!   IDLE -> RINGING(producer) -> RUNG -> RINGING(consumer) -> IDLE
//! ```
//!
//! RUNG: one byte lies in the wire. RINGING: the process in that slot puts it in, or takes it out, alone.
//! A consumer that finds the queue empty takes RUNG back to IDLE, *and then* looks at the queue again. A
//! producer publishes what it has *and then* reads the word. So one of the two sees the other.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | producer, published, before RINGING | a sleeper not woken | the next producer; the sleeper's slice; the end of file, if it was the last producer |
//! | producer, RINGING, before or after the byte | RINGING(dead) | the next producer rings in its place, at worst a byte too many; a consumer that finds the queue empty ends the ringing |
//! | consumer, RINGING, before or after it removed the byte | RINGING(dead) | as above |
//! | either, between a message and its units | units too many | the count is ignored while the queue is empty |

#[cfg(all(test, loom))]
mod loom_tests;

use std::time::Duration;

use crate::failpoint;
use crate::peers::{Peers, SlotId};
use crate::sync::{AtomicU64, Ordering, fence, nap};

const STATE: u64 = 3;
const IDLE: u64 = 0;
const RINGING: u64 = 1;
const RUNG: u64 = 2;
const WATCHED: u64 = 4;
const PARKED: u64 = 8;
const SLOT_SHIFT: u32 = 16;
const SLOT: u64 = 0xffff << SLOT_SHIFT;
const UNITS_SHIFT: u32 = 32;

/// How long a consumer leaves a ringer alone that has put its byte in and not yet said so. That takes
/// it no time, but it may be preempted, or stopped: who looks again at once would burn a processor.
const RINGER_PREEMPTED: Duration = Duration::from_micros(100);

/// What carries the wake-ups of a bell: a socket, or whatever else can be slept on while it is empty.
pub trait Wire {
    /// Why a byte could not be put in.
    type Failure;

    /// Puts one byte in, without waiting.
    ///
    /// # Errors
    /// When it cannot be done; the bell counts as rung nevertheless.
    fn put(&self) -> Result<(), Self::Failure>;

    /// Removes what lies in the wire, without waiting; nothing may.
    fn empty(&self);
}

/// The word of a bell, wherever it lies. All zero is a bell at rest.
#[derive(Clone, Copy, Debug)]
pub struct Bell<'a>(&'a AtomicU64);

impl<'a> Bell<'a> {
    /// The bell with that word.
    #[must_use]
    pub fn new(word: &'a AtomicU64) -> Self {
        Self(word)
    }

    /// For the consumer: it goes to sleep, and looks at the queue again before it does.
    pub fn park(self) {
        self.0.fetch_or(PARKED, Ordering::SeqCst);
        // The look at the queue that follows must not be moved before this write.
        fence(Ordering::SeqCst);
        failpoint!("pipe.park.announced");
    }

    /// For the consumer: from now on it may sleep at any time, in a `select` that we know nothing of.
    pub fn watch(self) {
        self.0.fetch_or(WATCHED, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether no byte lies in the wire, and nobody may sleep.
    #[must_use]
    #[inline]
    pub fn is_at_rest(self) -> bool {
        self.0.load(Ordering::SeqCst) & (STATE | WATCHED | PARKED) == 0
    }

    /// Whether something published now would ring, by which the producer learns whether anybody is
    /// there.
    #[must_use]
    pub fn would_ring(self) -> bool {
        let word = self.0.load(Ordering::SeqCst);
        word & STATE == IDLE && word & (WATCHED | PARKED) != 0
    }

    /// For the producer, after it has published something by a write that no later load can overtake:
    /// wakes the consumer if it may sleep.
    ///
    /// # Errors
    /// Those of the wire, if it was used.
    #[inline]
    pub fn ring<W: Wire>(self, peers: &impl Peers, wire: &W) -> Result<(), W::Failure> {
        if self.is_at_rest() { Ok(()) } else { self.ring_slow(peers, wire) }
    }

    #[cold]
    fn ring_slow<W: Wire>(self, peers: &impl Peers, wire: &W) -> Result<(), W::Failure> {
        let mine = u64::from(peers.me().raw()) << SLOT_SHIFT;
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            match word & STATE {
                IDLE if word & (WATCHED | PARKED) != 0 => {}
                _ if has_dead_ringer(word, peers) => {}
                _ => return Ok(()),
            }
            let new = (word & !(STATE | SLOT | PARKED)) | RINGING | mine;
            match self.0.compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        failpoint!("pipe.bell.claimed");
        let sent = wire.put();
        failpoint!("pipe.bell.sent");
        self.0.fetch_xor(RINGING ^ RUNG, Ordering::SeqCst);
        failpoint!("pipe.bell.rung");
        sent
    }

    /// For the consumer, which saw the queue empty: removes the byte. It looks at the queue again
    /// afterwards.
    #[cold]
    pub fn settle(self, peers: &impl Peers, wire: &impl Wire) {
        self.clear(peers, wire, |word| word & STATE == RUNG);
    }

    /// For a consumer that was woken for nothing, perhaps although the word says that no byte is there. It
    /// looks at the queue again afterwards.
    #[cold]
    pub fn settle_stray(self, peers: &impl Peers, wire: &impl Wire) {
        let word = self.0.load(Ordering::SeqCst);
        if word & STATE == RINGING && !has_dead_ringer(word, peers) {
            nap(RINGER_PREEMPTED);
        }
        self.clear(peers, wire, |word| word & STATE != RINGING);
    }

    /// Empties the wire if the word is as it should be for that, or its ringer is dead. Nobody rings
    /// meanwhile: the byte of a ring that came in between would be removed too, and its ringer would
    /// leave RUNG behind, in which nobody rings, without a byte that wakes anybody.
    fn clear(self, peers: &impl Peers, wire: &impl Wire, is_due: impl Fn(u64) -> bool) {
        let mine = u64::from(peers.me().raw()) << SLOT_SHIFT;
        let mut word = self.0.load(Ordering::SeqCst);
        while is_due(word) || has_dead_ringer(word, peers) {
            let new = (word & !(STATE | SLOT)) | RINGING | mine;
            match self.0.compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    failpoint!("pipe.settle.claimed");
                    wire.empty();
                    failpoint!("pipe.settle.removed");
                    self.0.fetch_and(!(STATE | SLOT), Ordering::SeqCst);
                    // The look at the queue that follows must not be moved before this write.
                    fence(Ordering::SeqCst);
                    failpoint!("pipe.settle.idle");
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Units of memory that are on their way.
    #[must_use]
    pub fn units(self) -> u32 {
        (self.0.load(Ordering::SeqCst) >> UNITS_SHIFT) as u32
    }

    /// Counts units of memory that are on their way.
    pub fn add_units(self, units: u32) {
        self.0.fetch_add(u64::from(units) << UNITS_SHIFT, Ordering::SeqCst);
    }

    /// Takes units away, never more than there are.
    pub fn remove_units(self, units: u32) {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            let left = ((word >> UNITS_SHIFT) as u32).saturating_sub(units);
            let new = (word & u64::from(u32::MAX)) | u64::from(left) << UNITS_SHIFT;
            match self.0.compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

/// Whether somebody died while it rang: nobody knows then whether a byte is there.
fn has_dead_ringer(word: u64, peers: &impl Peers) -> bool {
    let ringer = SlotId::from_raw((word >> SLOT_SHIFT) as u16);
    word & STATE == RINGING
        && ringer.is_some_and(|ringer| ringer != peers.me() && !peers.check(ringer))
}
