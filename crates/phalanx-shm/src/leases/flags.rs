//! One bit a seat: something new lies in its mailbox.
//!
//! A worker publishes and *then* raises its flag; the owner takes the flags down and *then* looks into the
//! mailboxes. So one of the two sees the other. A flag that is up already is not raised again, which
//! would take its cache line away from everybody: whoever takes it down looks into the mailbox later
//! than that.
//!
//! | a process dies | what remains |
//! |---|---|
//! | worker, published, flag not raised | a mailbox not looked into; its burial does |
//! | worker, flag raised, owner not woken | a sleeper not woken; the sweep wakes it |
//! | owner | nobody who would miss anything |

use super::MAX_SEATS;
use crate::sync::{AtomicU64, Ordering, store_load_barrier};

/// The flags of all seats. All zero: none is up.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(super) struct Flags([AtomicU64; MAX_SEATS / 64]);

impl Flags {
    /// Raises the flag of a seat, after something was published there.
    #[inline]
    pub(super) fn raise(&self, seat: usize) {
        let (word, bit) = (&self.0[seat / 64 % self.0.len()], 1 << (seat % 64));
        // What was published before must be there for whoever takes down the flag that is read here.
        store_load_barrier();
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Whether any flag is up.
    pub(super) fn any(&self) -> bool {
        self.0.iter().any(|word| word.load(Ordering::SeqCst) != 0)
    }

    /// Takes all flags down, and names their seats. Call before looking into the mailboxes.
    pub(super) fn take(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let mut bits = match word.load(Ordering::Relaxed) {
                0 => 0,
                _ => word.swap(0, Ordering::SeqCst),
            };
            store_load_barrier();
            std::iter::from_fn(move || {
                (bits != 0).then(|| {
                    let bit = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    i * 64 + bit
                })
            })
        })
    }
}
