//! The process table: who shares the arena, and whether they are still alive.
//!
//! A process is named in shared words by its slot's number. A slot is given out again only after
//! everything its former process left has been swept, so a number found in a word always means the
//! process that wrote it. The life of one slot is told in `slot.rs`; here is the array of them,
//! and what the kernel is asked.
//!
//! Liveness is asked of the kernel: a pidfd of the recorded pid that is readable, or cannot be
//! opened, or belongs to a process that started at another time, means the end.

use phalanx_os::{pidfd, proc};

use crate::peers::SlotId;
use crate::slot::{Generation, Name, Slot, Stage, State};
use crate::sync::{AtomicU32, AtomicU64, Deadline, Ordering};
use crate::view::ShmSafe;

pub use crate::peers::MAX_PROCESSES;

/// How long a reserved place waits for its process to appear once nobody can vouch for it.
const NASCENT_NS: u64 = 60_000_000_000;

#[cfg(not(feature = "failpoints"))]
const fn nascent_limit() -> u64 {
    NASCENT_NS
}

#[cfg(feature = "failpoints")]
mod nascent {
    use std::sync::atomic::{AtomicU64, Ordering};

    static LIMIT: AtomicU64 = AtomicU64::new(super::NASCENT_NS);

    /// Sets, for tests, how long an orphaned place waits for its process.
    pub fn set_nascent_limit(limit: std::time::Duration) {
        LIMIT.store(limit.as_nanos() as u64, Ordering::SeqCst);
    }

    pub(super) fn nascent_limit() -> u64 {
        LIMIT.load(Ordering::SeqCst)
    }
}

#[cfg(feature = "failpoints")]
use nascent::nascent_limit;
#[cfg(feature = "failpoints")]
pub use nascent::set_nascent_limit;

/// When the process started, as far as a [`Name`] keeps it.
fn start_of(pid: u32) -> u64 {
    match proc::start_time(pid) {
        Some(ticks) => Name::shorten(ticks),
        None if pidfd::may_exist(pid) => Name::UNKNOWN,
        None => Name::ENDED,
    }
}

/// Asks the kernel. Whoever cannot be asked about is taken for alive.
fn is_running(name: Name) -> bool {
    let (pid, start) = (name.pid(), name.start());
    match pidfd::open(pid) {
        Ok(fd) if pidfd::has_ended(&fd) => return false,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return false,
        // No descriptor left to ask with is no proof of death.
        _ => {}
    }
    match proc::start_time(pid) {
        Some(now) => start == Name::UNKNOWN || Name::shorten(now) == start,
        None => start != Name::ENDED && pidfd::may_exist(pid),
    }
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

    /// Whether there is such a place: a damaged word can name any.
    pub(crate) fn has(id: SlotId) -> bool {
        usize::from(id.raw()) < MAX_PROCESSES
    }

    /// The bytes in flight of a slot's process.
    pub(crate) fn pending(&self, id: SlotId) -> &AtomicU64 {
        self.slot(id).pending()
    }

    /// The slots that have ever been given out.
    pub fn ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        let end = self.high_water.load(Ordering::Acquire).min(MAX_PROCESSES as u32 - 1) as u16;
        (1..=end).filter_map(SlotId::from_raw)
    }

    /// Whether the slot's process has a name and there is no process of that number, not even one that
    /// has ended. Costs little.
    pub(crate) fn is_reaped(&self, id: SlotId) -> bool {
        let slot = self.slot(id);
        slot.state().stage() == Stage::Live && !pidfd::may_exist(slot.name().pid())
    }

    /// Reserves a place for a process that `parent` (0: nobody) is about to start.
    pub fn reserve(&self, parent: u16) -> Option<SlotId> {
        let start = self.hint.fetch_add(1, Ordering::Relaxed);
        let size = MAX_PROCESSES as u32 - 1;
        // Low numbers first keep the table's touched part and every scan short.
        let used = self.high_water.load(Ordering::Relaxed).clamp(1, size);
        let order = (0..used).map(|i| 1 + start.wrapping_add(i) % used).chain(used + 1..=size);
        for raw in order {
            let id = SlotId::from_raw(raw as u16)?;
            if self.slot(id).state().stage() != Stage::Free {
                continue;
            }
            // First, so that no sweep overlooks it.
            self.high_water.fetch_max(raw, Ordering::AcqRel);
            if self.slot(id).reserve(parent, Deadline::now().as_nanos()) {
                return Some(id);
            }
        }
        None
    }

    /// Gives a place back that the caller has just reserved and told nobody of.
    pub(crate) fn unreserve(&self, id: SlotId) {
        self.slot(id).unreserve();
    }

    /// Which use of the place this is.
    pub(crate) fn generation(&self, id: SlotId) -> Generation {
        self.slot(id).state().generation()
    }

    /// Names the process in a reserved slot. Its parent and the process itself both may do it.
    /// False if the place is not, or no more, one that waits for a process.
    pub fn adopt(&self, id: SlotId, pid: u32) -> bool {
        self.adopt_as(id, pid, self.generation(id))
    }

    pub(crate) fn adopt_as(&self, id: SlotId, pid: u32, generation: Generation) -> bool {
        self.slot(id).adopt(generation, pid, || start_of(pid))
    }

    /// The pid of the slot's process; 0 before it is known.
    #[must_use]
    pub fn pid(&self, id: SlotId) -> u32 {
        self.slot(id).name().pid()
    }

    /// The slot of the process that reserved this one, if any.
    #[must_use]
    pub fn parent(&self, id: SlotId) -> Option<SlotId> {
        SlotId::from_raw(self.slot(id).parent())
    }

    /// Records how the process ended: the raw wait status, as its reaper read it.
    pub fn set_status(&self, id: SlotId, raw_status: i32) {
        self.slot(id).set_status(raw_status);
    }

    /// The raw wait status of the slot's process, once somebody has reaped it.
    #[must_use]
    pub fn status(&self, id: SlotId) -> Option<i32> {
        self.slot(id).status()
    }

    /// Asks the kernel about the slot's process. Costs a few microseconds.
    #[must_use]
    pub fn life(&self, id: SlotId) -> Life {
        self.life_and_state(id).0
    }

    /// The answer, and the state that it is an answer about.
    fn life_and_state(&self, id: SlotId) -> (Life, State) {
        if !Self::has(id) {
            return (Life::Vacant, State::NOWHERE);
        }
        let slot = self.slot(id);
        let (state, name) = (slot.state(), slot.name());
        let life = match state.stage() {
            Stage::Free => Life::Vacant,
            Stage::Dead => Life::Dead,
            Stage::Reserved if name.pid() == 0 => self.nascent_life(slot),
            _ if is_running(name) => Life::Alive,
            _ => Life::Dead,
        };
        (life, state)
    }

    /// A reserved place is as alive as the parent that reserved it; an orphaned one gets a while.
    fn nascent_life(&self, slot: &Slot) -> Life {
        if Deadline::now().as_nanos().saturating_sub(slot.reserved_at()) < nascent_limit() {
            return Life::Alive;
        }
        // Only a process that has a name itself can have reserved a place.
        let parent = SlotId::from_raw(slot.parent());
        match parent.map(|parent| self.slot(parent).name()) {
            Some(name) if name.pid() != 0 && is_running(name) => Life::Alive,
            _ => Life::Dead,
        }
    }

    /// Marks the place as ended, if its process is. Returns whether a sweep has to be done.
    pub(crate) fn bury_if_dead(&self, id: SlotId) -> bool {
        let (life, state) = self.life_and_state(id);
        life == Life::Dead && self.slot(id).bury(state)
    }

    /// Marks the place as ended whatever the kernel says, unless it was given out again since it
    /// had that generation. Returns whether a sweep has to be done.
    pub(crate) fn bury_as(&self, id: SlotId, generation: Generation) -> bool {
        self.slot(id).bury_as(generation)
    }

    /// Takes a place that nobody has out of use, so that it can be swept once more. False if it is
    /// in use.
    pub(crate) fn bury_vacant(&self, id: SlotId) -> bool {
        Self::has(id) && self.slot(id).bury_vacant()
    }

    /// A slot whose sweep has begun and not ended.
    pub(crate) fn buried(&self) -> Option<SlotId> {
        self.ids().find(|id| self.slot(*id).state().stage() == Stage::Dead)
    }

    /// Gives a swept slot out again. Needs the housekeeping lock.
    pub(crate) fn vacate(&self, id: SlotId) {
        let slot = self.slot(id);
        if slot.state().stage() != Stage::Dead {
            return;
        }
        // Its children are orphans now; the number must not name a later process as their parent.
        self.ids().for_each(|child| self.slot(child).orphan(id.raw()));
        slot.vacate();
    }
}
