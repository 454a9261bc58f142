//! A semaphore whose permits know who holds them.
//!
//! # Layout
//! A head, and one cell for each permit of the start value (up to [`MAX_CELLS`]). A cell names its
//! holder as a lock's word does ([`super::holder`]); taking a permit is one compare-and-swap of a
//! cell from free to the taker's slot. Permits that `release` adds beyond the start value are
//! anonymous: a plain count, `surplus`. The semaphore's value is the number of free cells plus the
//! surplus; there is no second count which a killed process could leave different from the cells.
//!
//! Above [`MAX_CELLS`] permits all are anonymous and those of a dead process are lost, as with the
//! standard library.
//!
//! # Which permit
//! Acquire prefers a free cell, then the surplus, then a cell whose holder died (which it is told of).
//! Release gives back a cell of the caller's own process; else one whose holder is gone (the caller
//! releases on its behalf); else one of another process (which is allowed, and that process will
//! release one of ours); else, if the semaphore is not bounded, it adds to the surplus. A cell
//! that is handed over like this may be charged to the wrong process when one dies.
//!
//! `hint` is where the last permit was given back: a place to begin looking, never a truth.
//!
//! # Sleeping
//! By [`EventCount`]: register, look at all cells once more, sleep. A release changes a cell (or the
//! surplus) first and looks for sleepers after that. Every waiter that leaves passes on a wake-up.
//! A `try` that runs while others acquire and release may find no permit although at each instant
//! there was one somewhere: it looked at every place when that was taken.
//!
//! # Deaths
//! - *Holding permits:* `on_death` replaces the slot in each cell by what the policy says.
//! - *Between giving back and the wake-up* (`permits.release.freed`, `permits.surplus.added`), or
//!   *woken and not yet taken* (`permits.park.registered`): `on_death` wakes all sleepers.
//! - *After taking from the surplus* (`permits.surplus.taken`): the permit is lost with its holder;
//!   anonymous permits are signals more often than resources, and a consumed signal does not return.

use super::holder::{Acquired, End, Holder, NotHeld, Policy, bury, decode, held_by, takeable};
use crate::event_count::EventCount;
use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};
use crate::peers::{Peers, SlotId};
use crate::spin::Spin;
use crate::sync::{AtomicU32, Ordering, Wake, fence};

/// The largest start value whose permits are tagged with their holders.
pub const MAX_CELLS: u32 = 4096;

static SPIN: Spin = Spin::new();

/// The fixed part of a semaphore; the cells follow it. All zero has no permits at all.
#[derive(Debug)]
#[repr(C)]
pub struct PermitsHead {
    surplus: AtomicU32,
    /// The most that the value may reach; 0: no limit below [`VALUE_MAX`].
    bound: AtomicU32,
    hint: AtomicU32,
    policy: AtomicU32,
    changed: EventCount,
    start: AtomicU32,
}

/// The largest value of a semaphore.
pub const VALUE_MAX: u32 = i32::MAX as u32;

/// How many cells a semaphore that starts at `value` needs behind its head.
#[must_use]
pub const fn cells_for(value: u32) -> usize {
    if value > MAX_CELLS { 0 } else { value as usize }
}

impl PermitsHead {
    /// The head of a semaphore with `value` permits. `bounded`: a release beyond that is refused.
    #[must_use]
    pub fn new(value: u32, bounded: bool, policy: Policy) -> Self {
        let head = Self {
            surplus: AtomicU32::new(0),
            bound: AtomicU32::new(0),
            hint: AtomicU32::new(0),
            policy: AtomicU32::new(0),
            changed: EventCount::new(),
            start: AtomicU32::new(0),
        };
        head.init(value, bounded, policy);
        head
    }

    /// Fills an all-zero head in place; its cells are all zero. Before it is shared.
    pub fn init(&self, value: u32, bounded: bool, policy: Policy) {
        let value = value.min(VALUE_MAX);
        let anonymous = if cells_for(value) == 0 { value } else { 0 };
        self.surplus.store(anonymous, Ordering::Release);
        // A bounded semaphore of zero permits is legal and can never be released.
        self.bound.store(if bounded { value + 1 } else { 0 }, Ordering::Release);
        self.policy.store(policy.to_raw(), Ordering::Release);
        self.start.store(value, Ordering::Release);
    }

    /// How many cells follow the head.
    #[must_use]
    pub fn cells(&self) -> usize {
        cells_for(self.start.load(Ordering::Acquire))
    }

    /// The value that the semaphore started with.
    #[must_use]
    pub fn start(&self) -> u32 {
        self.start.load(Ordering::Acquire)
    }
}

/// A view of a semaphore in shared memory: its head and its cells.
#[derive(Clone, Copy, Debug)]
pub struct Permits<'a> {
    head: &'a PermitsHead,
    cells: &'a [AtomicU32],
}

impl<'a> Permits<'a> {
    /// A view of the semaphore at `head`, whose cells (at least [`PermitsHead::cells`]) follow it.
    #[must_use]
    pub fn new(head: &'a PermitsHead, cells: &'a [AtomicU32]) -> Self {
        Self { head, cells }
    }

    /// Takes a permit, waiting as long as `patience` allows.
    ///
    /// # Errors
    /// [`GaveUp`] if there was none all that time.
    #[inline]
    pub fn acquire<P: Peers + ?Sized>(
        &self,
        peers: &P,
        patience: &Patience<'_>,
    ) -> Result<Acquired, GaveUp> {
        let me = peers.me();
        if let Some(how) = self.take(me, false) {
            return Ok(how);
        }
        if patience.is_none() {
            return Err(GaveUp::TimedOut);
        }
        self.acquire_slow(me, peers, patience)
    }

    /// Takes a permit if there is one now.
    #[inline]
    pub fn try_acquire<P: Peers + ?Sized>(&self, peers: &P) -> Option<Acquired> {
        self.take(peers.me(), false)
    }

    /// Takes a permit if there is one that no dead process held; returns whether it did.
    #[inline]
    pub fn acquire_free<P: Peers + ?Sized>(&self, peers: &P) -> bool {
        self.take_cell(peers.me(), |word| word == 0, false).is_some()
            || self.take_surplus().is_some()
    }

    /// Gives a permit back, or adds one.
    ///
    /// # Errors
    /// [`NotHeld`] if the semaphore is bounded and has all its permits (or has [`VALUE_MAX`]).
    #[inline]
    pub fn release<P: Peers + ?Sized>(&self, peers: &P) -> Result<(), NotHeld> {
        let mine = held_by(peers.me());
        if !(self.give_back(|word| word == mine)
            || self.give_back(|word| matches!(decode(word), Holder::Ended { .. } | Holder::Gone))
            || self.give_back(|word| word != 0))
        {
            self.add_surplus()?;
        }
        self.head.changed.notify_one();
        Ok(())
    }

    /// The number of permits that can be taken now without learning of a death.
    #[must_use]
    pub fn value(&self) -> u32 {
        let free = self.cells.iter().filter(|c| c.load(Ordering::Acquire) == 0).count();
        self.head.surplus.load(Ordering::Acquire).saturating_add(free as u32)
    }

    /// How many tagged permits the process in `slot` holds.
    #[must_use]
    pub fn held(&self, slot: SlotId) -> usize {
        let word = held_by(slot);
        self.cells.iter().filter(|c| c.load(Ordering::Acquire) == word).count()
    }

    /// Repairs what the process in `slot`, which has ended, left behind in this semaphore.
    pub fn on_death(&self, slot: SlotId, pid: u32, end: End) {
        let policy = Policy::from_raw(self.head.policy.load(Ordering::Acquire));
        for cell in self.cells {
            if bury(cell, slot, pid, end, policy) {
                failpoint!("permits.death.buried");
            }
        }
        fence(Ordering::SeqCst);
        self.head.changed.notify_all();
    }

    #[inline]
    fn take(&self, me: SlotId, patient: bool) -> Option<Acquired> {
        self.take_cell(me, |word| word == 0, patient)
            .or_else(|| self.take_surplus())
            .or_else(|| self.take_cell(me, |word| word != 0, patient))
    }

    #[inline]
    fn take_cell(
        &self,
        me: SlotId,
        wanted: impl Fn(u32) -> bool,
        patient: bool,
    ) -> Option<Acquired> {
        self.scan(|index, cell| {
            let word = cell.load(Ordering::Relaxed);
            if !wanted(word) {
                return None;
            }
            let how = takeable(word, patient)?;
            cell.compare_exchange(word, held_by(me), Ordering::SeqCst, Ordering::Relaxed).ok()?;
            failpoint!("permits.acquire.taken");
            self.head.hint.store(index as u32, Ordering::Relaxed);
            Some(how)
        })
    }

    #[inline]
    fn give_back(&self, wanted: impl Fn(u32) -> bool) -> bool {
        self.scan(|index, cell| {
            let mut word = cell.load(Ordering::Relaxed);
            while wanted(word) {
                // SeqCst: the look for sleepers that follows must not overtake this write.
                match cell.compare_exchange(word, 0, Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => {
                        self.head.hint.store(index as u32, Ordering::Relaxed);
                        failpoint!("permits.release.freed");
                        return Some(());
                    }
                    Err(now) => word = now,
                }
            }
            None
        })
        .is_some()
    }

    /// Looks at each cell once, beginning at the hint.
    #[inline]
    fn scan<T>(&self, mut look: impl FnMut(usize, &AtomicU32) -> Option<T>) -> Option<T> {
        if self.cells.is_empty() {
            return None;
        }
        let hint = self.head.hint.load(Ordering::Relaxed) as usize;
        let (before, after) = self.cells.split_at(hint.min(self.cells.len() - 1));
        let offset = before.len();
        for (index, cell) in after.iter().enumerate() {
            if let Some(found) = look(offset + index, cell) {
                return Some(found);
            }
        }
        before.iter().enumerate().rev().find_map(|(index, cell)| look(index, cell))
    }

    #[inline]
    fn take_surplus(&self) -> Option<Acquired> {
        let surplus = &self.head.surplus;
        let mut now = surplus.load(Ordering::Relaxed);
        while now > 0 {
            match surplus.compare_exchange_weak(now, now - 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    failpoint!("permits.surplus.taken");
                    return Some(Acquired::Clean);
                }
                Err(other) => now = other,
            }
        }
        None
    }

    fn add_surplus(&self) -> Result<(), NotHeld> {
        let bound = self.head.bound.load(Ordering::Relaxed);
        let most = match bound {
            0 => VALUE_MAX,
            // Every cell is free, so nothing that was taken is missing.
            _ if !self.cells.is_empty() => return Err(NotHeld),
            limit => limit - 1,
        };
        let surplus = &self.head.surplus;
        let mut now = surplus.load(Ordering::Relaxed);
        loop {
            if now >= most {
                return Err(NotHeld);
            }
            match surplus.compare_exchange_weak(now, now + 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    failpoint!("permits.surplus.added");
                    return Ok(());
                }
                Err(other) => now = other,
            }
        }
    }

    #[cold]
    fn acquire_slow<P: Peers + ?Sized>(
        &self,
        me: SlotId,
        peers: &P,
        patience: &Patience<'_>,
    ) -> Result<Acquired, GaveUp> {
        if let Some(how) = SPIN.until(|| self.take(me, true)) {
            return Ok(how);
        }
        let mut slices = Slices::for_users();
        loop {
            let ticket = self.head.changed.register();
            failpoint!("permits.park.registered");
            fence(Ordering::SeqCst);
            if let Some(how) = self.take(me, true) {
                return Ok(how);
            }
            let woken = self.head.changed.sleep(ticket, Some(slices.next_deadline(patience)));
            if woken == Wake::TimedOut {
                self.check_holders(me, peers);
            }
            if matches!(woken, Wake::TimedOut | Wake::Interrupted)
                && let Err(why) = patience.check()
            {
                if why == GaveUp::TimedOut
                    && let Some(how) = self.take(me, true)
                {
                    return Ok(how);
                }
                // The wake-up that may have been meant for us goes to the next.
                self.head.changed.notify_one();
                return Err(why);
            }
        }
    }

    /// Asks for the health of each process that holds a permit.
    fn check_holders<P: Peers + ?Sized>(&self, me: SlotId, peers: &P) {
        let mut last = me;
        for cell in self.cells {
            if let Holder::Process(slot) = decode(cell.load(Ordering::Relaxed))
                && slot != me
                && slot != last
            {
                last = slot;
                peers.check(slot);
            }
        }
    }
}
