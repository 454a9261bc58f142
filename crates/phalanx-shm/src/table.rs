//! The process table: who shares the arena, and whether they are still alive.
//!
//! A process is named in shared words by its slot's number. A slot is given out again only after
//! everything its former process left has been swept, so a number found in a word always means the
//! process that wrote it. States of a slot, all changes by compare-and-swap on one word that also
//! carries a generation (raised at each reuse):
//!
//! ```text
//!   FREE -> RESERVED -> LIVE -> DEAD -> FREE (generation + 1)
//!               \________________^
//! ```
//!
//! RESERVED: a parent is about to start the process, which already holds what its parent gives it.
//! LIVE: the process, or its parent on its behalf, has written its pid and start time. DEAD: its end
//! is proven and the sweep is under way; a sweeper that dies leaves DEAD, and the next one
//! repeats the sweep, each step of which may be repeated.
//!
//! Liveness is asked of the kernel: a pidfd of the recorded pid that is readable, or cannot be
//! opened, or belongs to a process that started at another time, means the end.

use phalanx_os::{pidfd, proc};

use crate::peers::SlotId;
use crate::sync::{AtomicU32, AtomicU64, Deadline, Ordering};
use crate::view::ShmSafe;

/// How many processes can share one arena at a time.
pub const MAX_PROCESSES: usize = 2048;

const FREE: u32 = 0;
const RESERVED: u32 = 1;
const LIVE: u32 = 2;
const DEAD: u32 = 3;
const STATE: u32 = 0xf;
const GENERATION: u32 = 0x10;

/// How long a reserved place waits for its process to appear once nobody can vouch for it.
const NASCENT_NS: u64 = 60_000_000_000;

/// A place in the table.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Slot {
    state: AtomicU32,
    pid: AtomicU32,
    parent: AtomicU32,
    /// 0: not known; otherwise 1 + the raw wait status.
    status: AtomicU32,
    start_time: AtomicU64,
    reserved_at: AtomicU64,
    unused: [AtomicU64; 4],
}

/// The table itself; all zero is a valid empty one.
#[repr(C)]
pub struct ProcessTable {
    slots: [Slot; MAX_PROCESSES],
    hint: AtomicU32,
    high_water: AtomicU32,
}

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for ProcessTable {}

/// What the table knows of a slot's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Nobody has the slot.
    Vacant,
    /// The process runs (or is stopped, or about to start).
    Alive,
    /// The process has ended and has not been swept yet.
    Dead,
}

impl ProcessTable {
    fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[usize::from(id.raw()) % MAX_PROCESSES]
    }

    /// The slots that have ever been given out.
    pub fn ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        let end = self.high_water.load(Ordering::Acquire) as u16;
        (1..=end).filter_map(SlotId::from_raw)
    }

    /// Reserves a place for a process that `parent` (0: nobody) is about to start.
    pub fn reserve(&self, parent: u16) -> Option<SlotId> {
        let start = self.hint.fetch_add(1, Ordering::Relaxed);
        let size = MAX_PROCESSES as u32 - 1;
        // Low numbers first keep the table's touched part and every scan short.
        let used = self.high_water.load(Ordering::Relaxed).max(1);
        let order = (0..used).map(|i| 1 + (start + i) % used).chain(used + 1..=size);
        for raw in order {
            let id = SlotId::from_raw(raw as u16)?;
            let slot = self.slot(id);
            let state = slot.state.load(Ordering::Relaxed);
            if state & STATE != FREE {
                continue;
            }
            // Written first, so that nobody takes a place that is new for one long orphaned.
            slot.reserved_at.store(Deadline::now().as_nanos(), Ordering::Relaxed);
            if slot
                .state
                .compare_exchange(state, state | RESERVED, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            slot.parent.store(u32::from(parent), Ordering::Release);
            self.high_water.fetch_max(raw, Ordering::AcqRel);
            return Some(id);
        }
        None
    }

    /// Names the process in a reserved slot. Its parent and the process itself both may do it.
    pub fn adopt(&self, id: SlotId, pid: u32) {
        let slot = self.slot(id);
        let state = slot.state.load(Ordering::Acquire);
        if state & STATE != RESERVED {
            return;
        }
        // A process that has ended already has no start time; its pid alone then proves the end.
        let start = proc::start_time(pid).unwrap_or(0);
        slot.start_time.store(start, Ordering::Relaxed);
        slot.pid.store(pid, Ordering::Release);
        let live = (state & !STATE) | LIVE;
        let _ = slot.state.compare_exchange(state, live, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The pid of the slot's process; 0 before it is known.
    #[must_use]
    pub fn pid(&self, id: SlotId) -> u32 {
        self.slot(id).pid.load(Ordering::Acquire)
    }

    /// The slot of the process that reserved this one, if any.
    #[must_use]
    pub fn parent(&self, id: SlotId) -> Option<SlotId> {
        SlotId::from_raw(self.slot(id).parent.load(Ordering::Acquire) as u16)
    }

    /// Records how the process ended: the raw wait status, as its reaper read it.
    pub fn set_status(&self, id: SlotId, raw_status: i32) {
        self.slot(id).status.store((raw_status as u32).wrapping_add(1), Ordering::Release);
    }

    /// The raw wait status of the slot's process, once somebody has reaped it.
    #[must_use]
    pub fn status(&self, id: SlotId) -> Option<i32> {
        match self.slot(id).status.load(Ordering::Acquire) {
            0 => None,
            n => Some((n - 1) as i32),
        }
    }

    /// Asks the kernel about the slot's process. Costs a few microseconds.
    #[must_use]
    pub fn life(&self, id: SlotId) -> Life {
        let slot = self.slot(id);
        match slot.state.load(Ordering::Acquire) & STATE {
            FREE => Life::Vacant,
            DEAD => Life::Dead,
            RESERVED => self.nascent_life(slot),
            _ => {
                let pid = slot.pid.load(Ordering::Acquire);
                let start = slot.start_time.load(Ordering::Relaxed);
                if is_running(pid, start) { Life::Alive } else { Life::Dead }
            }
        }
    }

    /// A reserved place is as alive as the parent that reserved it; an orphaned one gets a while.
    fn nascent_life(&self, slot: &Slot) -> Life {
        let age = Deadline::now().as_nanos() - slot.reserved_at.load(Ordering::Relaxed);
        if age < NASCENT_NS {
            return Life::Alive;
        }
        match SlotId::from_raw(slot.parent.load(Ordering::Acquire) as u16) {
            Some(parent) if self.life(parent) == Life::Alive => Life::Alive,
            _ => Life::Dead,
        }
    }

    /// Marks the slot's process as ended. Returns whether a sweep has to be done.
    pub(crate) fn bury(&self, id: SlotId) -> bool {
        let slot = self.slot(id);
        let mut state = slot.state.load(Ordering::Acquire);
        while matches!(state & STATE, RESERVED | LIVE) {
            let dead = (state & !STATE) | DEAD;
            match slot.state.compare_exchange(state, dead, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        state & STATE == DEAD
    }

    /// The slots whose sweep has begun and not ended.
    pub(crate) fn buried(&self) -> Vec<SlotId> {
        let dead = |id: &SlotId| self.slot(*id).state.load(Ordering::Acquire) & STATE == DEAD;
        self.ids().filter(dead).collect()
    }

    /// Gives a swept slot out again.
    pub(crate) fn vacate(&self, id: SlotId) {
        let slot = self.slot(id);
        let state = slot.state.load(Ordering::Acquire);
        if state & STATE == DEAD {
            slot.pid.store(0, Ordering::Relaxed);
            slot.start_time.store(0, Ordering::Relaxed);
            slot.status.store(0, Ordering::Relaxed);
            let free = (state & !STATE).wrapping_add(GENERATION) | FREE;
            let _ = slot.state.compare_exchange(state, free, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

fn is_running(pid: u32, start_time: u64) -> bool {
    let Ok(fd) = pidfd::open(pid) else {
        // No descriptor left to ask with is no proof of death; the start time is.
        return proc::start_time(pid).is_some_and(|now| now == start_time);
    };
    !pidfd::has_ended(&fd) && proc::start_time(pid).is_none_or(|now| now == start_time)
}
