//! The word that names the seat which signed last, and how a lease is written.
//!
//! A worker signs under the lock of the ring of tasks, before the record counts as taken. If it dies
//! in between, the record goes to the next worker and the ring says "taken" for both. So the next one
//! strikes the void lease out before it signs its own. It finds it by this word, which is written before a
//! lease is.

use super::seat::{Seat, Span};
use crate::failpoint;
use crate::sync::{AtomicU32, Ordering};

/// 1 + the seat that was the last to sign a lease, whether it got its record or not; 0 at first.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(super) struct Signing(AtomicU32);

impl Signing {
    /// Writes a lease into seat `number`; `seat` finds the seats that exist. Under the lock of the ring of
    /// tasks.
    pub(super) fn sign<'a>(
        &self,
        seat: impl Fn(usize) -> Option<&'a Seat>,
        number: usize,
        ordinal: u32,
        span: Span,
    ) {
        let before = self.0.load(Ordering::Relaxed) as usize;
        if before != number + 1
            && let Some(before) = before.checked_sub(1).and_then(&seat)
        {
            before.strike(ordinal);
        }
        failpoint!("pool.lease.struck");
        self.0.store(number as u32 + 1, Ordering::Release);
        failpoint!("pool.lease.signing");
        if let Some(seat) = seat(number) {
            seat.sign(ordinal, span);
        }
        failpoint!("pool.lease.signed");
    }
}
