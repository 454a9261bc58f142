//! A place in the process table for a child that is being prepared.

use std::cell::Cell;
use std::io;

use phalanx_shm::family::Family;
use phalanx_shm::peers::{Peers, SlotId};

use super::table;

thread_local! {
    static SPAWNING: Cell<Option<SlotId>> = const { Cell::new(None) };
}

/// The place of the child that the calling thread is packing values for, if it is: a shared
/// object that is packed meanwhile has to be held for that child from then on.
#[must_use]
pub fn spawning_slot() -> Option<SlotId> {
    SPAWNING.get()
}

/// Runs `pack`, during which [`spawning_slot`] names the place of a relative that runs already: what
/// is packed is held for it from then on. None if there is no such process (any more).
pub fn while_sharing_with<T>(slot: u16, pid: u32, pack: impl FnOnce() -> T) -> Option<T> {
    let slot = SlotId::from_raw(slot)?;
    let table = Family::existing()?.arena().table();
    let is_there = table.ids().any(|id| id == slot) && table.pid(slot) == pid;
    is_there.then(|| packing_for(Some(slot), pack))
}

/// The place of this process in its family's table, which it joins if it has not yet.
///
/// # Errors
/// When shared memory cannot be had.
pub fn own_slot() -> io::Result<u16> {
    Ok(Family::get()?.me().raw())
}

fn packing_for<T>(slot: Option<SlotId>, pack: impl FnOnce() -> T) -> T {
    struct Restore(Option<SlotId>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SPAWNING.set(self.0);
        }
    }
    let _restore = Restore(SPAWNING.replace(slot));
    pack()
}

/// A reserved place in the process table. Dropping it gives the place up, and with it all that
/// was held for the child.
///
/// ```
/// use phalanx::process::Reservation;
/// use phalanx::{Queue, wire};
///
/// let queue = Queue::<u64>::unbounded()?;
/// let reservation = Reservation::new()?;
/// // A handle can be encoded for the child that is being prepared, and at no other time.
/// let mut bytes = Vec::new();
/// reservation.while_packing(|| wire::encode(&queue, &mut bytes))?;
/// assert!(!bytes.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reservation(Option<SlotId>);

impl Reservation {
    /// Reserves a place for a child that will be started by [`spawn`](super::spawn::spawn) or by
    /// the [`zygote`](super::zygote).
    ///
    /// # Errors
    /// When the process table is full or shared memory cannot be had.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Some(table::reserve()?)))
    }

    /// Runs `pack`, during which [`spawning_slot`] names the reserved place.
    pub fn while_packing<T>(&self, pack: impl FnOnce() -> T) -> T {
        packing_for(self.0, pack)
    }

    /// The reserved place, as long as it has not been handed over.
    pub(crate) const fn place(&self) -> Option<SlotId> {
        self.0
    }

    /// The reserved place; it is the child's from now on.
    pub(super) fn hand_over(mut self) -> io::Result<SlotId> {
        self.0.take().ok_or_else(Self::used)
    }

    /// The reserved place.
    pub(super) fn slot(&self) -> io::Result<SlotId> {
        self.0.ok_or_else(Self::used)
    }

    fn used() -> io::Error {
        io::Error::other("the place reserved in the process table has been handed over already")
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            table::abandon(slot);
        }
    }
}
