//! The words as objects of the arena: what the sweep calls, and where their cells lie.

use super::barrier::{Barrier, BarrierHead};
use super::condition::{Condition, ConditionHead, WAITERS_MAX, WaiterCell};
use super::event::EventWord;
use super::holder::End;
use super::lock::LockWord;
use super::permits::{Permits, PermitsHead};
use super::rlock::RLockWord;
use crate::arena::Arena;
use crate::family::Family;
use crate::object::{ObjectKind, Shared, SharedObject};
use crate::peers::{Peers, SlotId};
use crate::view::ShmSafe;

/// A condition with its waiters' places.
#[derive(Debug)]
#[repr(C)]
pub struct ConditionObject {
    head: ConditionHead,
    cells: [WaiterCell; WAITERS_MAX],
}

impl ConditionObject {
    /// The condition as its users see it.
    #[must_use]
    pub fn view(&self) -> Condition<'_> {
        Condition::new(&self.head, &self.cells)
    }
}

/// A view of the semaphore behind a handle.
#[inline]
#[must_use]
pub fn permits(shared: &Shared<PermitsHead>) -> Permits<'_> {
    let cells = shared.family().arena().slice_at(shared.tail_offset(), shared.cells());
    Permits::new(shared, cells)
}

/// A view of the barrier behind a handle.
#[must_use]
pub fn barrier(shared: &Shared<BarrierHead>) -> Barrier<'_> {
    let cells = shared.family().arena().slice_at(shared.tail_offset(), shared.cells());
    Barrier::new(shared, cells)
}

/// How the process in `slot` ended, as far as its reaper has said.
fn end_of(slot: SlotId, family: &Family) -> End {
    if family.status(slot) == Some(0) { End::Normal } else { End::Abnormal }
}

/// Where the cells behind a head begin.
fn behind<T: ShmSafe>(head: &T, arena: &Arena) -> u64 {
    arena.offset_of(head) + std::mem::size_of::<T>() as u64
}

macro_rules! objects {
    ($(
        $type:ty = $kind:ident:
        |$this:ident, $dead:ident, $family:ident| $repair:expr,
        |$me:ident, $arena:ident| $words:expr;
    )*) => { $(
        // SAFETY: atomics only.
        #[allow(unsafe_code)]
        unsafe impl ShmSafe for $type {}

        // SAFETY: the kind is this type's alone, and zero is valid.
        #[allow(unsafe_code)]
        unsafe impl SharedObject for $type {
            const KIND: ObjectKind = ObjectKind::$kind;

            fn on_death(&self, $dead: SlotId, $family: &Family) {
                let $this = self;
                $repair;
            }

            fn describe(&self, $arena: &Arena) -> String {
                let $me = self;
                $words
            }
        }
    )* };
}

objects! {
    LockWord = Lock: |this, dead, family|
        this.on_death(dead, family.pid(dead), end_of(dead, family)),
        |this, _arena| this.holder().to_string();
    RLockWord = RLock: |this, dead, family|
        this.on_death(dead, family.pid(dead), end_of(dead, family)),
        |this, _arena| format!("{}, depth {}", this.holder(), this.depth());
    EventWord = Event: |this, _dead, _family| this.on_death(),
        |this, _arena| if this.is_set() { "set".to_owned() } else { "not set".to_owned() };
    ConditionObject = Condition: |this, dead, family|
        this.view().on_death(dead, family.pid(dead), end_of(dead, family)),
        |this, _arena| format!("{} wait", this.view().waiting());
    PermitsHead = Permits: |this, dead, family| {
        let cells = family.arena().slice_at(behind(this, family.arena()), this.cells());
        Permits::new(this, cells).on_death(dead, family.pid(dead), end_of(dead, family));
    }, |this, arena| {
        let permits = Permits::new(this, arena.slice_at(behind(this, arena), this.cells()));
        let held = |slot: SlotId| (slot, permits.held(slot));
        let taken = arena.table().ids().map(held).filter(|(_, permits)| *permits > 0);
        let taken: String =
            taken.map(|(slot, n)| format!(", {n} held by process {}", slot.raw())).collect();
        format!("{} of {} free{taken}", permits.value(), this.start())
    };
    BarrierHead = Barrier: |this, dead, family| {
        let cells = family.arena().slice_at(behind(this, family.arena()), this.cells());
        Barrier::new(this, cells).on_death(dead, family.pid(dead), end_of(dead, family));
    }, |this, arena| {
        let barrier = Barrier::new(this, arena.slice_at(behind(this, arena), this.cells()));
        let broken = if barrier.is_broken() { ", broken" } else { "" };
        format!("{} wait{broken}", barrier.waiting())
    };
}

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for WaiterCell {}
