//! How a barrier lies in memory: its head, the bits of its state and of its parties' cells.
//!
//! The table of the bits stands in [`super::barrier`].

use super::barrier::NotPassed;
use crate::event_count::EventCount;
use crate::peers::SlotId;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The largest number of parties whose deaths are noticed.
pub const MAX_CELLS: u32 = 4096;
/// The largest number of parties.
pub const PARTIES_MAX: u32 = (1 << 20) - 1;

pub(super) const COUNT: u64 = (1 << 20) - 1;
pub(super) const BROKEN: u64 = 1 << 20;
pub(super) const ACTION: u64 = 1 << 21;
const HISTORY_SHIFT: u32 = 24;
const HISTORY: u64 = 0xffff << HISTORY_SHIFT;
const PHASE_SHIFT: u32 = 40;
const PHASE: u64 = 0xff_ffff;

/// The fixed part of a barrier; its cells follow.
#[derive(Debug)]
#[repr(C)]
pub struct BarrierHead {
    pub(super) state: AtomicU64,
    parties: AtomicU32,
    pub(super) changed: EventCount,
}

/// How many cells a barrier of `parties` needs behind its head.
#[must_use]
pub const fn cells_for(parties: u32) -> usize {
    if parties > MAX_CELLS { 0 } else { parties as usize }
}

impl BarrierHead {
    /// The head of a barrier of `parties` (1 to [`PARTIES_MAX`]).
    #[must_use]
    pub fn new(parties: u32) -> Self {
        Self {
            state: AtomicU64::new(0),
            parties: AtomicU32::new(parties.clamp(1, PARTIES_MAX)),
            changed: EventCount::new(),
        }
    }

    /// Fills an all-zero head in place, before it is shared.
    pub fn init(&self, parties: u32) {
        self.parties.store(parties.clamp(1, PARTIES_MAX), Ordering::Release);
    }

    /// How many have to arrive.
    #[must_use]
    pub fn parties(&self) -> u32 {
        self.parties.load(Ordering::Acquire)
    }

    /// How many cells follow the head.
    #[must_use]
    pub fn cells(&self) -> usize {
        cells_for(self.parties())
    }
}

/// The phase of a state.
pub(super) fn phase_of(state: u64) -> u64 {
    (state >> PHASE_SHIFT) & PHASE
}

/// The state in which the next phase begins.
pub(super) fn next_phase(state: u64, broken: bool) -> u64 {
    let phase = (phase_of(state) + 1) & PHASE;
    let history = ((state & HISTORY) << 1 | u64::from(broken) << HISTORY_SHIFT) & HISTORY;
    phase << PHASE_SHIFT | history
}

/// How the phase of `then` ended, as seen in `now`; `None` if it goes on.
pub(super) fn outcome(then: u64, now: u64) -> Option<Result<(), NotPassed>> {
    let passed = (phase_of(now).wrapping_sub(phase_of(then))) & PHASE;
    if passed == 0 {
        return (now & BROKEN != 0).then_some(Err(NotPassed::Broken));
    }
    let broken = passed <= 16 && now >> (HISTORY_SHIFT as u64 + passed - 1) & 1 != 0;
    Some(if broken { Err(NotPassed::Broken) } else { Ok(()) })
}

/// What the cell of a party says.
pub(super) fn tag(slot: SlotId, phase: u64) -> u64 {
    phase << 16 | u64::from(slot.raw())
}

/// The party that a cell names, if it is of this phase.
pub(super) fn party(cell: u64, phase: u64) -> Option<SlotId> {
    if cell >> 16 == phase { SlotId::from_raw(cell as u16) } else { None }
}
