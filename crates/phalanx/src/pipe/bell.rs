//! The bell of one direction of a pipe: wakes a receiver that sleeps on the pipe's socket.
//!
//! Messages travel through a ring in shared memory and need no system call while the receiver is
//! busy. A receiver that wants to sleep, or was asked for a descriptor to `select` on, says so in the
//! direction's word; then a sender also writes one byte to the socket, unless one lies there already.
//!
//! ```text
//!   word:  units in flight : 32 | ringer's slot : 16 | ... | PARKED | WATCHED | state : 2
//!
//!   IDLE -> RINGING(slot) -> RUNG -> IDLE        RUNG: one byte lies in the socket
//! ```
//!
//! A receiver that finds the ring empty takes RUNG back to IDLE, removes the byte, *and then* looks at
//! the ring again. A sender publishes its message *and then* reads the word. So one of the two sees the
//! other.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | sender, message published, before RINGING | a sleeper not woken | the next sender; the sleeper's slice; the end of file, if it was the last sender |
//! | sender, RINGING, before or after the byte | RINGING(dead) | the next sender rings in its place, at worst a byte too many; a receiver that finds the ring empty ends the ringing |
//! | receiver, IDLE again, before it removed the byte | a byte too many | whoever is woken by it for nothing removes it |
//! | either, between a message and its units | units too many | the count is ignored while the ring is empty |

use std::io::{ErrorKind, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use phalanx_os::socket;
use phalanx_shm::failpoint;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::peers::{Peers, SlotId};

const STATE: u64 = 3;
const IDLE: u64 = 0;
const RINGING: u64 = 1;
const RUNG: u64 = 2;
const WATCHED: u64 = 4;
const PARKED: u64 = 8;
const SLOT_SHIFT: u32 = 16;
const SLOT: u64 = 0xffff << SLOT_SHIFT;
const UNITS_SHIFT: u32 = 32;

/// The word of one direction.
#[derive(Clone, Copy)]
pub(super) struct Bell<'a>(&'a Shared<Bytes>);

impl<'a> Bell<'a> {
    pub(super) fn of(object: &'a Shared<Bytes>) -> Self {
        Self(object)
    }

    fn word(self) -> &'a AtomicU64 {
        &self.0.tag
    }

    /// For the receiver: it goes to sleep, and looks at the ring again before it does.
    pub(super) fn park(self) {
        self.word().fetch_or(PARKED, Ordering::SeqCst);
        // The look at the ring that follows must not be moved before this write.
        fence(Ordering::SeqCst);
        failpoint!("pipe.park.announced");
    }

    /// For the receiver: from now on it may sleep at any time, in a `select` that we know nothing of.
    pub(super) fn watch(self) {
        self.word().fetch_or(WATCHED, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether a byte may lie in the socket, or somebody may sleep.
    #[inline]
    pub(super) fn is_at_rest(self) -> bool {
        self.word().load(Ordering::SeqCst) & (STATE | WATCHED | PARKED) == 0
    }

    /// Whether a message sent now would ring, by which the sender learns whether anybody is there.
    pub(super) fn would_ring(self) -> bool {
        let word = self.word().load(Ordering::SeqCst);
        word & STATE == IDLE && word & (WATCHED | PARKED) != 0
    }

    /// For the sender, after it has published a message: wakes the receiver if it may sleep. False
    /// if that showed that the other end is closed.
    #[inline]
    pub(super) fn ring(self, socket: BorrowedFd<'_>) -> bool {
        self.is_at_rest() || self.ring_slow(socket)
    }

    #[cold]
    fn ring_slow(self, socket: BorrowedFd<'_>) -> bool {
        let family = self.0.family();
        let mine = u64::from(family.me().raw()) << SLOT_SHIFT;
        let mut word = self.word().load(Ordering::SeqCst);
        loop {
            match word & STATE {
                IDLE if word & (WATCHED | PARKED) != 0 => {}
                _ if self.has_dead_ringer(word) => {}
                _ => return true,
            }
            let new = (word & !(STATE | SLOT | PARKED)) | RINGING | mine;
            match self.word().compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        failpoint!("pipe.bell.claimed");
        // Room there is, for one byte or two.
        let sent = socket::send(socket, &[IoSlice::new(b"!")], &[], false);
        failpoint!("pipe.bell.sent");
        self.word().fetch_xor(RINGING ^ RUNG, Ordering::SeqCst);
        failpoint!("pipe.bell.rung");
        !sent.is_err_and(|e| matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
    }

    /// For the receiver, which saw the ring empty: removes the byte. It looks at the ring again
    /// afterwards.
    #[cold]
    pub(super) fn settle(self, socket: BorrowedFd<'_>) {
        let mut word = self.word().load(Ordering::SeqCst);
        while word & STATE == RUNG || self.has_dead_ringer(word) {
            let new = word & !(STATE | SLOT);
            match self.word().compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    failpoint!("pipe.settle.idle");
                    Self::remove_byte(socket);
                    fence(Ordering::SeqCst);
                    failpoint!("pipe.settle.removed");
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Whether somebody died while it rang: nobody knows then whether a byte is there.
    fn has_dead_ringer(self, word: u64) -> bool {
        let family = self.0.family();
        let ringer = SlotId::from_raw((word >> SLOT_SHIFT) as u16);
        word & STATE == RINGING
            && ringer.is_some_and(|ringer| ringer != family.me() && !family.check(ringer))
    }

    /// For a receiver that was woken for nothing although the word says that no byte is there.
    #[cold]
    pub(super) fn settle_stray(self, socket: BorrowedFd<'_>) {
        if self.word().load(Ordering::SeqCst) & STATE == IDLE {
            Self::remove_byte(socket);
        } else {
            self.settle(socket);
        }
    }

    fn remove_byte(socket: BorrowedFd<'_>) {
        let _ = socket::receive(socket, &mut [0u8; 8], false);
    }

    /// Units of memory that are on their way.
    pub(super) fn units(self) -> u32 {
        (self.word().load(Ordering::SeqCst) >> UNITS_SHIFT) as u32
    }

    pub(super) fn add_units(self, units: u32) {
        self.word().fetch_add(u64::from(units) << UNITS_SHIFT, Ordering::SeqCst);
    }

    /// Takes units away, never more than there are.
    pub(super) fn remove_units(self, units: u32) {
        let mut word = self.word().load(Ordering::SeqCst);
        loop {
            let left = ((word >> UNITS_SHIFT) as u32).saturating_sub(units);
            let new = (word & u64::from(u32::MAX)) | u64::from(left) << UNITS_SHIFT;
            match self.word().compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}
