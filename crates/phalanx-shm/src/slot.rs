//! A place in the process table: the life of one process after another.
//!
//! ```text
//!   FREE -> RESERVED -> LIVE -> DEAD -> FREE (generation + 1)
//!               \________________^
//! ```
//!
//! RESERVED: a parent is about to start the process, which already holds what its parent gives it.
//! LIVE: the process, or its parent on its behalf, has written its name: pid and start time. DEAD: its
//! end is proven and the sweep is under way; a sweeper that dies leaves DEAD, and the next one
//! repeats the sweep, each step of which may be repeated.
//!
//! All changes are made by compare-and-swap on one word that also carries a generation, raised at each
//! reuse. A look at the kernel takes time, in which a place may be swept and given out again by others.
//! So every change of state names the state that was looked at, and the word that names the
//! process carries the generation too: who was slow finds that it lost, and changes nothing.

use crate::failpoint;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

const FREE: u32 = 0;
const RESERVED: u32 = 1;
const LIVE: u32 = 2;
const DEAD: u32 = 3;
const STATE: u32 = 0xf;
const GENERATION: u32 = 0x10;

/// Where a place is in its life, without the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Free,
    Reserved,
    Live,
    Dead,
}

/// What a place's word said when somebody looked: stage and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u32);

impl State {
    /// Of a place that does not exist.
    pub(crate) const NOWHERE: Self = Self(FREE);

    pub(crate) fn stage(self) -> Stage {
        match self.0 & STATE {
            FREE => Stage::Free,
            RESERVED => Stage::Reserved,
            LIVE => Stage::Live,
            _ => Stage::Dead,
        }
    }

    pub(crate) fn generation(self) -> Generation {
        Generation(self.0 & !STATE)
    }
}

/// Which use of a place: who reserved it remembers it, to tell it from the same place given
/// out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    fn at(self, stage: u32) -> u32 {
        self.0 | stage
    }

    fn next(self) -> Self {
        Self(self.0.wrapping_add(GENERATION))
    }
}

/// Which process has a place: its generation (16 bits), pid (22 bits, 0: not known yet) and start
/// time (26 bits), in one word that is written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(u64);

impl Name {
    const START: u64 = (1 << 26) - 1;
    /// The start time of a process that had ended before it could be asked: nobody's.
    pub(crate) const ENDED: u64 = 0;
    /// Could not be asked: any process with the pid is taken for it.
    pub(crate) const UNKNOWN: u64 = Self::START;

    const fn nobody(generation: Generation) -> Self {
        Self(((generation.0 >> GENERATION.trailing_zeros()) as u64 & 0xffff) << 48)
    }

    fn with(self, pid: u32, start: u64) -> Self {
        Self(self.0 | u64::from(pid & 0x3f_ffff) << 26 | start)
    }

    /// A start time in clock ticks, as far as it is kept.
    pub(crate) fn shorten(ticks: u64) -> u64 {
        (ticks & Self::START).clamp(Self::ENDED + 1, Self::UNKNOWN - 1)
    }

    pub(crate) const fn pid(self) -> u32 {
        (self.0 >> 26) as u32 & 0x3f_ffff
    }

    pub(crate) const fn start(self) -> u64 {
        self.0 & Self::START
    }
}

/// A place in the table. All zero is a free one.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    state: AtomicU32,
    parent: AtomicU32,
    /// 0: not known; otherwise 1 + the raw wait status.
    status: AtomicU32,
    unused: AtomicU32,
    /// Which process it is; see [`Name`].
    name: AtomicU64,
    reserved_at: AtomicU64,
    /// What the accounts of the arena do not show yet.
    pending: AtomicU64,
    more: [AtomicU64; 3],
}

impl Slot {
    pub(crate) fn state(&self) -> State {
        State(self.state.load(Ordering::Acquire))
    }

    pub(crate) fn name(&self) -> Name {
        Name(self.name.load(Ordering::Acquire))
    }

    pub(crate) fn pending(&self) -> &AtomicU64 {
        &self.pending
    }

    /// When it was last reserved, in nanoseconds of the monotonic clock.
    pub(crate) fn reserved_at(&self) -> u64 {
        self.reserved_at.load(Ordering::Relaxed)
    }

    /// The number of the parent's place, or 0.
    pub(crate) fn parent(&self) -> u16 {
        self.parent.load(Ordering::Acquire) as u16
    }

    /// Forgets the parent with that number, which has ended.
    pub(crate) fn orphan(&self, parent: u16) {
        let parent = u32::from(parent);
        if self.parent.load(Ordering::Acquire) == parent {
            let _ = self.parent.compare_exchange(parent, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_status(&self, raw_status: i32) {
        self.status.store((raw_status as u32).wrapping_add(1), Ordering::Release);
    }

    pub(crate) fn status(&self) -> Option<i32> {
        match self.status.load(Ordering::Acquire) {
            0 => None,
            n => Some(n.wrapping_sub(1) as i32),
        }
    }

    /// Reserves the place if it is free. `now`: the monotonic clock, in nanoseconds.
    pub(crate) fn reserve(&self, parent: u16, now: u64) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        if state & STATE != FREE {
            return false;
        }
        // First, so that nobody takes a place that is new for one long orphaned.
        self.reserved_at.store(now, Ordering::Relaxed);
        let taken = self
            .state
            .compare_exchange(state, state | RESERVED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if taken {
            failpoint!("table.reserve.reserved");
            self.parent.store(u32::from(parent), Ordering::Release);
        }
        taken
    }

    /// Gives the place back that the caller has just reserved and told nobody of.
    pub(crate) fn unreserve(&self) {
        let state = self.state();
        let next = state.generation().next();
        self.name.store(Name::nobody(next).0, Ordering::Release);
        self.change(state, next.at(FREE));
    }

    /// Names the process of a reserved place. Its parent and the process itself both may do it.
    /// False if the place is not, or no more, one of that generation that has this process.
    pub(crate) fn adopt(&self, generation: Generation, pid: u32, start: impl Fn() -> u64) -> bool {
        let named = || self.state().0 == generation.at(LIVE) && self.name().pid() == pid;
        if self.state().0 != generation.at(RESERVED) {
            return named();
        }
        let nobody = Name::nobody(generation);
        let name = nobody.with(pid, start());
        // If this fails, the other one of the two has named it already.
        let _ = self.name.compare_exchange(nobody.0, name.0, Ordering::AcqRel, Ordering::Relaxed);
        failpoint!("table.adopt.named");
        self.change(State(generation.at(RESERVED)), generation.at(LIVE));
        named()
    }

    /// Marks the place as ended if it is still as it was `seen`. Returns whether a sweep has to be
    /// done.
    pub(crate) fn bury(&self, seen: State) -> bool {
        match seen.stage() {
            Stage::Reserved | Stage::Live => self.change(seen, seen.generation().at(DEAD)),
            Stage::Dead => true,
            Stage::Free => false,
        }
    }

    /// Marks the place as ended in whatever stage of that generation it is. Returns whether a
    /// sweep has to be done.
    pub(crate) fn bury_as(&self, generation: Generation) -> bool {
        // Each failure means that the other of parent and child named it meanwhile.
        (0..3).any(|_| {
            let state = self.state();
            state.generation() == generation && self.bury(state)
        })
    }

    /// Takes a free place out of use, so that it can be swept once more.
    pub(crate) fn bury_vacant(&self) -> bool {
        let state = self.state();
        state.stage() == Stage::Free && self.change(state, state.generation().at(DEAD))
    }

    /// Makes a dead and swept place free again. Under the housekeeping lock.
    pub(crate) fn vacate(&self) {
        let state = self.state();
        if state.stage() != Stage::Dead {
            return;
        }
        let next = state.generation().next();
        self.parent.store(0, Ordering::Relaxed);
        self.status.store(0, Ordering::Relaxed);
        self.pending.store(0, Ordering::Relaxed);
        // An exchange, so that it is in one order with those of `adopt`.
        self.name.swap(Name::nobody(next).0, Ordering::AcqRel);
        failpoint!("table.vacate.nameless");
        self.change(state, next.at(FREE));
    }

    fn change(&self, from: State, to: u32) -> bool {
        self.state.compare_exchange(from.0, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::loom_tests::explore;

    fn reserved(slot: &Slot) -> Generation {
        assert!(slot.reserve(1, 0));
        slot.state().generation()
    }

    #[test]
    fn loom_a_place_is_reserved_by_one() {
        explore(3, || {
            let slot = Arc::new(Slot::default());
            let others: Vec<_> = (2..4)
                .map(|parent| {
                    let slot = slot.clone();
                    thread::spawn(move || slot.reserve(parent, 0))
                })
                .collect();
            let mut winners = u32::from(slot.reserve(1, 0));
            for other in others {
                winners += u32::from(other.join().expect("no panic"));
            }
            assert_eq!(winners, 1);
            assert_ne!(slot.parent(), 0);
        });
    }

    #[test]
    fn loom_parent_and_child_name_the_child_alike() {
        explore(3, || {
            let slot = Arc::new(Slot::default());
            let generation = reserved(&slot);
            let child = slot.clone();
            let child = thread::spawn(move || child.adopt(generation, 77, || 5));
            // The parent may have asked for the start time too late.
            let known = slot.adopt(generation, 77, || Name::ENDED);
            assert!(child.join().expect("no panic") && known);
            assert_eq!((slot.state().stage(), slot.name().pid()), (Stage::Live, 77));
        });
    }

    #[test]
    fn loom_who_adopts_late_does_not_name_the_next_process() {
        explore(3, || {
            let slot = Arc::new(Slot::default());
            let old = reserved(&slot);
            let late = slot.clone();
            let late = thread::spawn(move || late.adopt(old, 77, || 5));
            // Meanwhile the place is taken for dead, swept, and given to another process.
            if slot.bury_as(old) {
                slot.vacate();
                let new = reserved(&slot);
                assert!(slot.adopt(new, 88, || 6));
                let _ = late.join().expect("no panic");
                assert_eq!((slot.state().stage(), slot.name().pid()), (Stage::Live, 88));
                assert!(!slot.adopt(old, 77, || 5));
            } else {
                late.join().expect("no panic");
            }
        });
    }

    #[test]
    fn loom_who_judges_late_does_not_bury_the_next_process() {
        explore(3, || {
            let slot = Arc::new(Slot::default());
            let old = reserved(&slot);
            assert!(slot.adopt(old, 77, || 5));
            let judge = slot.clone();
            // Looked, asked the kernel for a while, and found process 77 dead.
            let seen = judge.state();
            let judge = thread::spawn(move || judge.bury(seen));
            let sweeps = slot.bury(slot.state());
            if sweeps {
                slot.vacate();
            }
            let reused = slot.reserve(1, 0);
            let also = judge.join().expect("no panic");
            assert!(sweeps || also);
            if reused {
                assert_eq!(slot.state().stage(), Stage::Reserved);
                assert_ne!(slot.state().generation(), old);
            }
        });
    }
}
