//! A condition variable whose notifications survive the death of those they are given to.
//!
//! # Layout
//! A head and a fixed number of cells, one for each waiter. A cell is the futex word of its
//! waiter and moves `free -> claimed -> waiting -> notified -> free`; it names the waiter's slot in
//! each state but the first. A bit says whether a waiting one sleeps, so that none is woken that
//! does not. Beside the cell stands the ticket that says who came first.
//!
//! # Steps
//! A waiter (which holds the user's lock) claims a cell, writes its ticket, marks the cell
//! `waiting`, releases the lock, and sleeps on the cell. A notifier turns the oldest `waiting` cell
//! into `notified` and wakes it: exactly one process runs, no herd. The waiter takes the lock
//! again and *then* frees its cell. A waiter whose time is up turns `waiting` into `claimed` itself; if
//! that fails, it has been notified at the last moment, and that is its answer.
//!
//! So a notification always has a place: in the cell of the waiter it was given to, until that one
//! holds the lock. None can be taken by a process that came later, as happens to
//! counters and tokens.
//!
//! # Deaths
//! - *Waiting* (`condition.enlist.claimed`, `condition.enlist.waiting`): `on_death` frees the cell, and
//!   nobody is notified in vain.
//! - *Notified, before it ran* (`condition.wait.notified`): `on_death` notifies the next waiter first
//!   and then frees the cell. If the sweeper dies between the two, the next sweep does it
//!   again: somebody is notified for nothing, which a condition allows; nobody is forgotten.
//! - *The notifier, before its wake-up* (`condition.notify.marked`): `on_death` wakes all notified
//!   cells; without it, sleepers look by themselves at the end of their slice.
//!
//! # Too many waiters
//! With all cells taken, a waiter releases the lock, sleeps a millisecond and returns as if
//! notified: it looks at its predicate, as every user of a condition does.

use std::time::Duration;

use super::holder::End;
use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};
use crate::peers::{Peers, SlotId};
use crate::spin::Spin;
use crate::sync::{AtomicU32, Deadline, Ordering, Wake, futex_wait, futex_wake};

const SLOT: u32 = 0xffff;
const CLAIMED: u32 = 1 << 16;
const WAITING: u32 = 2 << 16;
const NOTIFIED: u32 = 3 << 16;
const STATE: u32 = 3 << 16;
/// With `WAITING`: the waiter sleeps, or is about to, and has to be woken.
const PARKED: u32 = 1 << 18;

const POLL: Duration = Duration::from_millis(1);

/// How many waiters a condition has room for before some of them have to poll.
pub const WAITERS_MAX: usize = 256;

static SPIN: Spin = Spin::new();

/// The place of one waiter. All zero is free.
#[derive(Debug, Default)]
#[repr(C)]
pub struct WaiterCell {
    state: AtomicU32,
    ticket: AtomicU32,
}

/// The fixed part of a condition; its cells follow. All zero is a new one.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ConditionHead {
    next_ticket: AtomicU32,
    /// One more than the highest cell ever used: how far a notifier has to look.
    used: AtomicU32,
    idle: AtomicU32,
    reserved: AtomicU32,
}

/// A view of a condition in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    head: &'a ConditionHead,
    cells: &'a [WaiterCell],
}

/// How a wait for a condition ended; the lock is held again in each case unless `relock` said
/// otherwise.
///
/// ```
/// use phalanx_shm::patience::GaveUp;
/// use phalanx_shm::words::condition::Waited;
///
/// /// Whether to look again at what was waited for.
/// fn came<R>(waited: &Waited<R>) -> bool {
///     waited.end.is_ok()
/// }
/// assert!(!came(&Waited { end: Err(GaveUp::TimedOut), relocked: () }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited<R> {
    /// Whether a notification came, or what ended the wait instead.
    pub end: Result<(), GaveUp>,
    /// What the caller's `relock` returned.
    pub relocked: R,
}

impl<'a> Condition<'a> {
    /// A view of the condition at `head` with the waiters' places `cells`.
    #[must_use]
    pub fn new(head: &'a ConditionHead, cells: &'a [WaiterCell]) -> Self {
        Self { head, cells }
    }

    /// Releases the lock by `unlock`, waits for a notification, and takes the lock by `relock`.
    ///
    /// The caller holds the lock with which the condition is used; that makes "release and wait"
    /// one step for all who notify under the same lock.
    pub fn wait<P: Peers + ?Sized, R>(
        &self,
        peers: &P,
        patience: &Patience<'_>,
        unlock: impl FnOnce(),
        relock: impl FnOnce() -> R,
    ) -> Waited<R> {
        let me = u32::from(peers.me().raw());
        let Some(cell) = self.enlist(me) else {
            unlock();
            return self.poll(patience, relock);
        };
        unlock();
        let end = self.sleep(cell, me, patience);
        failpoint!("condition.wait.notified");
        let relocked = relock();
        cell.state.store(0, Ordering::Release);
        Waited { end, relocked }
    }

    /// Notifies up to `count` waiters, those who wait longest first; returns how many it found.
    pub fn notify(&self, count: usize) -> usize {
        let mut found = 0;
        while found < count {
            let Some(cell) = self.oldest() else { break };
            let state = cell.state.load(Ordering::Relaxed);
            if state & STATE == WAITING && Self::mark(cell, state) {
                found += 1;
            }
        }
        found
    }

    /// Notifies all waiters; returns how many there were.
    pub fn notify_all(&self) -> usize {
        let mut found = 0;
        for cell in self.in_use() {
            let state = cell.state.load(Ordering::Acquire);
            if state & STATE == WAITING && Self::mark(cell, state) {
                found += 1;
            }
        }
        found
    }

    /// How many processes wait and have not been notified.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.in_use()
            .iter()
            .filter(|cell| cell.state.load(Ordering::Acquire) & STATE == WAITING)
            .count()
    }

    /// Whether the process in `slot` has a place among the waiters.
    #[must_use]
    pub fn names(&self, slot: SlotId) -> bool {
        let named = u32::from(slot.raw());
        self.in_use().iter().any(|cell| cell.state.load(Ordering::Acquire) & SLOT == named)
    }

    /// Repairs what the process in `slot`, which has ended, left behind in this condition.
    pub fn on_death(&self, slot: SlotId, _pid: u32, _end: End) {
        let dead = u32::from(slot.raw());
        for cell in self.in_use() {
            let state = cell.state.load(Ordering::Acquire);
            if state & SLOT == dead {
                self.free_for(cell, state);
            } else if state & STATE == NOTIFIED {
                futex_wake(&cell.state, 1);
            }
        }
    }

    fn free_for(&self, cell: &WaiterCell, mut state: u32) {
        let dead = state & SLOT;
        loop {
            if state & STATE == NOTIFIED {
                self.notify(1);
                failpoint!("condition.death.passed");
            }
            match cell.state.compare_exchange(state, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                // A notifier may have chosen it meanwhile.
                Err(now) if now & SLOT == dead => state = now,
                Err(_) => return,
            }
        }
    }

    fn in_use(&self) -> &'a [WaiterCell] {
        let used = self.head.used.load(Ordering::Acquire) as usize;
        &self.cells[..used.min(self.cells.len())]
    }

    fn enlist(&self, me: u32) -> Option<&'a WaiterCell> {
        let (_, cell) = self.cells.iter().enumerate().find(|(index, cell)| {
            if cell.state.load(Ordering::Relaxed) != 0 {
                return false;
            }
            // Before it is claimed: a cell that a dead process claimed is among those in use, or it would
            // not be freed.
            self.head.used.fetch_max(*index as u32 + 1, Ordering::AcqRel);
            cell.state
                .compare_exchange(0, me | CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        })?;
        failpoint!("condition.enlist.claimed");
        cell.ticket.store(self.head.next_ticket.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        cell.state.store(me | WAITING, Ordering::Release);
        failpoint!("condition.enlist.waiting");
        Some(cell)
    }

    fn oldest(&self) -> Option<&'a WaiterCell> {
        let now = self.head.next_ticket.load(Ordering::Relaxed);
        self.in_use()
            .iter()
            .filter(|cell| cell.state.load(Ordering::Acquire) & STATE == WAITING)
            .max_by_key(|cell| now.wrapping_sub(cell.ticket.load(Ordering::Relaxed)))
    }

    /// Turns a waiting cell into a notified one and wakes its waiter.
    fn mark(cell: &WaiterCell, state: u32) -> bool {
        let new = (state & SLOT) | NOTIFIED;
        let marked = cell.state.compare_exchange(state, new, Ordering::AcqRel, Ordering::Relaxed);
        if marked.is_err() {
            return false;
        }
        failpoint!("condition.notify.marked");
        if state & PARKED != 0 {
            futex_wake(&cell.state, 1);
        }
        true
    }

    fn sleep(&self, cell: &WaiterCell, me: u32, patience: &Patience<'_>) -> Result<(), GaveUp> {
        let notified = || (cell.state.load(Ordering::Acquire) == me | NOTIFIED).then_some(());
        if !patience.is_none() && SPIN.until(notified).is_some() {
            return Ok(());
        }
        let (waiting, parked) = (me | WAITING, me | WAITING | PARKED);
        if cell
            .state
            .compare_exchange(waiting, parked, Ordering::Relaxed, Ordering::Acquire)
            .is_err()
        {
            return Ok(());
        }
        failpoint!("condition.park.flagged");
        let mut slices = Slices::for_users();
        while notified().is_none() {
            let woken = futex_wait(&cell.state, parked, Some(slices.next_deadline(patience)));
            if matches!(woken, Wake::TimedOut | Wake::Interrupted)
                && let Err(why) = patience.check()
            {
                let left = cell.state.compare_exchange(
                    parked,
                    me | CLAIMED,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                if left.is_err() && why == GaveUp::TimedOut {
                    return Ok(());
                }
                if left.is_err() {
                    // Notified in the moment of giving up, and not going to act on it.
                    self.notify(1);
                }
                return Err(why);
            }
        }
        Ok(())
    }

    #[cold]
    fn poll<R>(&self, patience: &Patience<'_>, relock: impl FnOnce() -> R) -> Waited<R> {
        let soon = Deadline::after(POLL);
        let until = patience.deadline().map_or(soon, |d| d.min(soon));
        let _ = futex_wait(&self.head.idle, 0, Some(until));
        let end = patience.check();
        Waited { end, relocked: relock() }
    }
}
