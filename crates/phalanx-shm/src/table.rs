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
//! A look at the kernel takes time, in which a slot may be swept and given out again by others. So
//! every change of state names the generation that was looked at, and the word that names the
//! process carries it too: who was slow finds that it lost, and changes nothing.
//!
//! Liveness is asked of the kernel: a pidfd of the recorded pid that is readable, or cannot be
//! opened, or belongs to a process that started at another time, means the end.

use phalanx_os::{pidfd, proc};

use crate::failpoint;
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

/// A place in the table.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Slot {
    state: AtomicU32,
    parent: AtomicU32,
    /// 0: not known; otherwise 1 + the raw wait status.
    status: AtomicU32,
    unused: AtomicU32,
    /// Which process it is; see [`Name`].
    name: AtomicU64,
    reserved_at: AtomicU64,
    /// What the arena's accounts do not show yet; see [`crate::arena`].
    pending: AtomicU64,
    more: [AtomicU64; 3],
}

/// Which process has a slot: its generation (16 bits), pid (22 bits, 0: not known yet) and start
/// time (26 bits), in one word that is written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name(u64);

impl Name {
    const START: u64 = (1 << 26) - 1;
    /// The start time of a process that had ended before it could be asked: nobody's.
    const ENDED: u64 = 0;
    /// Could not be asked: any process with the pid is taken for it.
    const UNKNOWN: u64 = Self::START;

    const fn nobody(state: u32) -> Self {
        Self(((state >> GENERATION.trailing_zeros()) as u64 & 0xffff) << 48)
    }

    fn with(self, pid: u32) -> Self {
        let start = match proc::start_time(pid) {
            Some(ticks) => Self::shorten(ticks),
            None if pidfd::may_exist(pid) => Self::UNKNOWN,
            None => Self::ENDED,
        };
        Self(self.0 | u64::from(pid & 0x3f_ffff) << 26 | start)
    }

    fn shorten(ticks: u64) -> u64 {
        (ticks & Self::START).clamp(Self::ENDED + 1, Self::UNKNOWN - 1)
    }

    const fn pid(self) -> u32 {
        (self.0 >> 26) as u32 & 0x3f_ffff
    }

    /// Asks the kernel. Whoever cannot be asked about is taken for alive.
    fn is_running(self) -> bool {
        let (pid, start) = (self.pid(), self.0 & Self::START);
        match pidfd::open(pid) {
            Ok(fd) if pidfd::has_ended(&fd) => return false,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return false,
            // No descriptor left to ask with is no proof of death.
            _ => {}
        }
        match proc::start_time(pid) {
            Some(now) => start == Self::UNKNOWN || Self::shorten(now) == start,
            None => start != Self::ENDED && pidfd::may_exist(pid),
        }
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
        &self.slot(id).pending
    }

    /// The slots that have ever been given out.
    pub fn ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        let end = self.high_water.load(Ordering::Acquire).min(MAX_PROCESSES as u32 - 1) as u16;
        (1..=end).filter_map(SlotId::from_raw)
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
            let slot = self.slot(id);
            let state = slot.state.load(Ordering::Relaxed);
            if state & STATE != FREE {
                continue;
            }
            // Written first, so that nobody takes a place that is new for one long orphaned, and
            // no sweep overlooks it.
            self.high_water.fetch_max(raw, Ordering::AcqRel);
            slot.reserved_at.store(Deadline::now().as_nanos(), Ordering::Relaxed);
            if slot
                .state
                .compare_exchange(state, state | RESERVED, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            failpoint!("table.reserve.reserved");
            slot.parent.store(u32::from(parent), Ordering::Release);
            return Some(id);
        }
        None
    }

    /// Gives a place back that the caller has just reserved and told nobody of.
    pub(crate) fn unreserve(&self, id: SlotId) {
        let slot = self.slot(id);
        let state = slot.state.load(Ordering::Acquire);
        let free = (state & !STATE).wrapping_add(GENERATION) | FREE;
        slot.name.store(Name::nobody(free).0, Ordering::Release);
        let _ = slot.state.compare_exchange(state, free, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The generation of a place: who reserved it remembers it, to tell it from the same place
    /// given out again.
    pub(crate) fn generation(&self, id: SlotId) -> u32 {
        self.slot(id).state.load(Ordering::Acquire) & !STATE
    }

    /// Names the process in a reserved slot. Its parent and the process itself both may do it.
    /// False if the place is not, or no more, one that waits for a process.
    pub fn adopt(&self, id: SlotId, pid: u32) -> bool {
        self.adopt_as(id, pid, self.generation(id))
    }

    pub(crate) fn adopt_as(&self, id: SlotId, pid: u32, generation: u32) -> bool {
        let slot = self.slot(id);
        let named = || {
            slot.state.load(Ordering::Acquire) == generation | LIVE
                && Name(slot.name.load(Ordering::Acquire)).pid() == pid
        };
        if slot.state.load(Ordering::Acquire) != generation | RESERVED {
            return named();
        }
        let nobody = Name::nobody(generation);
        let name = nobody.with(pid);
        // If this fails, the other one of the two has named it already.
        let _ = slot.name.compare_exchange(nobody.0, name.0, Ordering::AcqRel, Ordering::Relaxed);
        failpoint!("table.adopt.named");
        let (from, to) = (generation | RESERVED, generation | LIVE);
        let _ = slot.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        named()
    }

    /// The pid of the slot's process; 0 before it is known.
    #[must_use]
    pub fn pid(&self, id: SlotId) -> u32 {
        Name(self.slot(id).name.load(Ordering::Acquire)).pid()
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
            n => Some(n.wrapping_sub(1) as i32),
        }
    }

    /// Asks the kernel about the slot's process. Costs a few microseconds.
    #[must_use]
    pub fn life(&self, id: SlotId) -> Life {
        self.life_and_state(id).0
    }

    /// The answer, and the state that it is an answer about.
    fn life_and_state(&self, id: SlotId) -> (Life, u32) {
        if !Self::has(id) {
            return (Life::Vacant, FREE);
        }
        let slot = self.slot(id);
        let state = slot.state.load(Ordering::Acquire);
        let name = Name(slot.name.load(Ordering::Acquire));
        let life = match state & STATE {
            FREE => Life::Vacant,
            DEAD => Life::Dead,
            RESERVED if name.pid() == 0 => self.nascent_life(slot),
            _ if name.is_running() => Life::Alive,
            _ => Life::Dead,
        };
        (life, state)
    }

    /// A reserved place is as alive as the parent that reserved it; an orphaned one gets a while.
    fn nascent_life(&self, slot: &Slot) -> Life {
        let reserved_at = slot.reserved_at.load(Ordering::Relaxed);
        if Deadline::now().as_nanos().saturating_sub(reserved_at) < nascent_limit() {
            return Life::Alive;
        }
        // Only a process that has a name itself can have reserved a place.
        let parent = SlotId::from_raw(slot.parent.load(Ordering::Acquire) as u16);
        match parent.map(|parent| Name(self.slot(parent).name.load(Ordering::Acquire))) {
            Some(name) if name.pid() != 0 && name.is_running() => Life::Alive,
            _ => Life::Dead,
        }
    }

    /// Marks the place as ended, if its process is. Returns whether a sweep has to be done.
    pub(crate) fn bury_if_dead(&self, id: SlotId) -> bool {
        let (life, state) = self.life_and_state(id);
        life == Life::Dead && self.bury_from(id, state)
    }

    /// Marks the place as ended whatever the kernel says, unless it was given out again since it
    /// had that generation. Returns whether a sweep has to be done.
    pub(crate) fn bury_as(&self, id: SlotId, generation: u32) -> bool {
        // Each failure means that the other of parent and child named it meanwhile.
        (0..3).any(|_| {
            let state = self.slot(id).state.load(Ordering::Acquire);
            state & !STATE == generation && self.bury_from(id, state)
        })
    }

    fn bury_from(&self, id: SlotId, state: u32) -> bool {
        let word = &self.slot(id).state;
        match state & STATE {
            RESERVED | LIVE => {
                let dead = (state & !STATE) | DEAD;
                word.compare_exchange(state, dead, Ordering::AcqRel, Ordering::Acquire).is_ok()
            }
            other => other == DEAD,
        }
    }

    /// Takes a place that nobody has out of use, so that it can be swept once more. False if it is
    /// in use.
    pub(crate) fn bury_vacant(&self, id: SlotId) -> bool {
        let word = &self.slot(id).state;
        let state = word.load(Ordering::Acquire);
        let dead = (state & !STATE) | DEAD;
        Self::has(id)
            && state & STATE == FREE
            && word.compare_exchange(state, dead, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// A slot whose sweep has begun and not ended.
    pub(crate) fn buried(&self) -> Option<SlotId> {
        let dead = |id: &SlotId| self.slot(*id).state.load(Ordering::Acquire) & STATE == DEAD;
        self.ids().find(dead)
    }

    /// Gives a swept slot out again. Needs the housekeeping lock.
    pub(crate) fn vacate(&self, id: SlotId) {
        let slot = self.slot(id);
        let state = slot.state.load(Ordering::Acquire);
        if state & STATE != DEAD {
            return;
        }
        // Its children are orphans now; the number must not name a later process as their parent.
        for child in self.ids() {
            let parent = &self.slot(child).parent;
            let mine = u32::from(id.raw());
            if parent.load(Ordering::Acquire) == mine {
                let _ = parent.compare_exchange(mine, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        let free = (state & !STATE).wrapping_add(GENERATION) | FREE;
        slot.parent.store(0, Ordering::Relaxed);
        slot.status.store(0, Ordering::Relaxed);
        slot.pending.store(0, Ordering::Relaxed);
        slot.name.store(Name::nobody(free).0, Ordering::Release);
        failpoint!("table.vacate.nameless");
        let _ = slot.state.compare_exchange(state, free, Ordering::AcqRel, Ordering::Relaxed);
    }
}
