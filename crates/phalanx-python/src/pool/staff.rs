//! How many workers there are to be, and which seats they have.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::owner::locked;

/// The workers of a pool, by number.
///
/// Those of most pools stay until the pool closes, and one that ends is replaced at once. A staff that
/// is *elastic* comes with the work: workers leave when they have been idle for a while or are asked to,
/// and seats stay empty while there is nothing to do.
pub(super) struct Staff {
    /// Seats that have a worker, or for which one is being started.
    taken: Mutex<Vec<bool>>,
    /// How many those are.
    count: AtomicUsize,
    wanted: AtomicUsize,
    is_elastic: bool,
    /// How many workers have been asked to leave and are still there.
    dismissed: AtomicUsize,
}

impl Staff {
    /// As many workers as there are seats.
    pub(super) fn fixed(seats: usize) -> Self {
        Self::new(seats, seats, false)
    }

    /// Up to `wanted` workers at present, and up to one for each seat later.
    pub(super) fn elastic(seats: usize, wanted: usize) -> Self {
        Self::new(seats, wanted, true)
    }

    fn new(seats: usize, wanted: usize, is_elastic: bool) -> Self {
        Self {
            taken: Mutex::new(vec![false; seats]),
            count: AtomicUsize::new(0),
            wanted: AtomicUsize::new(wanted),
            is_elastic,
            dismissed: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_elastic(&self) -> bool {
        self.is_elastic
    }

    /// How many workers there are, those included that are being started.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// The most workers that there are to be.
    pub(super) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Acquire)
    }

    /// Takes an empty seat for a new worker, unless there are `most` already.
    pub(super) fn take_seat(&self, most: usize) -> Option<usize> {
        let mut taken = locked(&self.taken);
        if self.count() >= most {
            return None;
        }
        let seat = taken.iter().position(|is_taken| !is_taken)?;
        taken[seat] = true;
        self.count.fetch_add(1, Ordering::AcqRel);
        Some(seat)
    }

    /// A seat has a new worker.
    pub(super) fn take(&self, seat: usize) {
        if !std::mem::replace(&mut locked(&self.taken)[seat], true) {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A seat has no worker any more.
    pub(super) fn free(&self, seat: usize) {
        if std::mem::replace(&mut locked(&self.taken)[seat], false) {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether a worker that is gone, and whose seat still counts, is to be replaced.
    pub(super) fn replaces(&self, has_work: bool) -> bool {
        !self.is_elastic || (has_work && self.count() <= self.wanted())
    }

    /// From now on there are to be so many. Returns how many workers have to be asked to leave.
    pub(super) fn resize(&self, wanted: usize) -> usize {
        self.wanted.store(wanted, Ordering::Release);
        let _taken = locked(&self.taken);
        let staying = self.count().saturating_sub(self.dismissed.load(Ordering::Acquire));
        let excess = staying.saturating_sub(wanted);
        self.dismissed.fetch_add(excess, Ordering::AcqRel);
        excess
    }

    /// A worker has left of its own accord, perhaps because it was asked to.
    pub(super) fn has_left(&self) {
        let less = |dismissed: usize| dismissed.checked_sub(1);
        let _ = self.dismissed.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}
