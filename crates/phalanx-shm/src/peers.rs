//! What a shared structure may ask about the processes it is shared by.

/// How many processes can share one arena at a time.
pub const MAX_PROCESSES: usize = 2048;

/// The number of a process's place in the process table; never 0, which stands for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u16);

impl SlotId {
    /// The slot with number `raw`, or `None` for 0 (nobody).
    #[must_use]
    pub const fn from_raw(raw: u16) -> Option<Self> {
        if raw == 0 { None } else { Some(Self(raw)) }
    }

    /// The slot's number, 1 or more: what is recorded in a word as its holder.
    #[must_use]
    pub const fn raw(self) -> u16 {
        self.0
    }
}

/// The processes that share a structure, as seen from one of them.
pub trait Peers {
    /// The calling process's own slot.
    fn me(&self) -> SlotId;

    /// The process id behind a slot (0 if unknown), to name it in an error.
    fn pid(&self, slot: SlotId) -> u32;

    /// Looks whether the process in `slot` is alive and, if it has died, repairs everything that
    /// it left behind: structures it was changing, memory it owned, holds, locks (by calling each
    /// structure's `on_death`). Returns whether it was alive, or could not be repaired just now
    /// because the process that is about to is stopped. A stopped process is alive.
    ///
    /// Costs a few microseconds; for slow paths only. Idempotent.
    fn check(&self, slot: SlotId) -> bool;
}
