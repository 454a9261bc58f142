//! A barrier that breaks when a process dies while it waits there.
//!
//! # Layout
//! A head, whose `state` is one 64-bit word, and one cell for each party (up to [`MAX_CELLS`]).
//!
//! | bits of `state` | meaning |
//! |---|---|
//! | 0..20 | how many have arrived in this phase |
//! | 20 | broken: nobody passes before a reset |
//! | 21 | all have arrived and the last one runs the action |
//! | 24..40 | history: bit `24 + k` tells whether the phase `k + 1` before this one was broken |
//! | 40..64 | the phase |
//!
//! # Steps
//! To arrive: write slot and phase into a cell that is not of this phase, then count up. There are
//! as many cells as parties, so who finds none came too early and waits for the next phase. The
//! last arrival starts the next phase by one compare-and-swap (count 0, phase + 1); with an action,
//! it marks the state first, runs it, and starts the next phase then. A waiter remembers its phase;
//! once the state shows a later one, the history says how its own ended. Waiters that are
//! slow to wake cannot be mistaken, and nobody has to wait until they have left.
//!
//! A time-out breaks the barrier. A reset starts the next phase and, if somebody
//! waited, records the old one as broken. An interruption takes the arrival back.
//!
//! # Deaths
//! A cell of the present phase names everyone who has arrived (or was about to:
//! `barrier.arrive.claimed`). `on_death` breaks the barrier if the dead process is among them, before the
//! next phase had begun; cells of earlier phases mean nothing. Breaking, starting and
//! resetting are single steps followed by a wake-up (`barrier.break.marked`, `barrier.trip.done`,
//! `barrier.reset.done`): `on_death` wakes all. A process that dies *between* two phases is not known to be
//! a party: another may take its place.

use super::barrier_layout::{ACTION, BROKEN, COUNT, next_phase, outcome, party, phase_of, tag};
pub use super::barrier_layout::{BarrierHead, MAX_CELLS, PARTIES_MAX, cells_for};
use super::holder::End;
use crate::failpoint;
use crate::patience::{GaveUp, Patience, Slices};
use crate::peers::{Peers, SlotId};
use crate::spin::Spin;
use crate::sync::{AtomicU64, Ordering, Wake, fence};

static SPIN: Spin = Spin::new();

/// Why nobody passed the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPassed {
    /// It is broken: somebody timed out, died or aborted, or it was reset meanwhile.
    Broken,
    /// The caller was interrupted; its arrival has been taken back.
    Interrupted,
}

/// A view of a barrier in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Barrier<'a> {
    head: &'a BarrierHead,
    cells: &'a [AtomicU64],
}

#[derive(Clone, Copy)]
enum Step {
    /// Arrived as number `index`; the phase goes on.
    Waits { index: u32, cell: Option<usize> },
    /// Arrived as the last one.
    Last { index: u32 },
    /// All parties of this phase are there already.
    TooEarly,
}

/// Whether a sleeper counts among those who have arrived.
#[derive(Clone, Copy)]
enum Place {
    Arrived(Option<usize>),
    None,
}

impl<'a> Barrier<'a> {
    /// A view of the barrier at `head`, whose cells (at least [`BarrierHead::cells`]) follow it.
    #[must_use]
    pub fn new(head: &'a BarrierHead, cells: &'a [AtomicU64]) -> Self {
        Self { head, cells }
    }

    /// Waits until all parties have arrived; returns the order of arrival, from 0.
    ///
    /// The last to arrive runs `action`, if there is one, before anybody passes; if it answers
    /// `false`, the barrier breaks.
    ///
    /// # Errors
    /// [`NotPassed`].
    pub fn wait<P: Peers + ?Sized>(
        &self,
        peers: &P,
        patience: &Patience<'_>,
        action: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<u32, NotPassed> {
        let me = peers.me();
        loop {
            let state = self.head.state.load(Ordering::Acquire);
            if state & BROKEN != 0 {
                return Err(NotPassed::Broken);
            }
            match self.arrive(state, me, action.is_some()) {
                None => {}
                Some(Step::Last { index }) => {
                    return match action {
                        Some(action) => self.act(state, action).map(|()| index),
                        None => Ok(index),
                    };
                }
                Some(Step::Waits { index, cell }) => {
                    let place = Place::Arrived(cell);
                    return self.sleep(state, place, peers, patience).map(|()| index);
                }
                Some(Step::TooEarly) => {
                    // However that phase ends, the next one is ours, if there is time left.
                    let _ = self.sleep(state, Place::None, peers, patience);
                    match patience.check() {
                        Ok(()) => {}
                        Err(GaveUp::TimedOut) => return Err(NotPassed::Broken),
                        Err(GaveUp::Interrupted) => return Err(NotPassed::Interrupted),
                    }
                }
            }
        }
    }

    /// Breaks the barrier: all who wait and all who come fail, until [`Barrier::reset`].
    pub fn abort(&self) {
        self.transition(|state| (state & BROKEN == 0).then_some((state | BROKEN) & !ACTION));
        failpoint!("barrier.break.marked");
        self.head.changed.notify_all();
    }

    /// Starts anew, whole and empty; who waits now fails.
    pub fn reset(&self) {
        self.transition(|state| {
            let waited = state & (COUNT | BROKEN | ACTION) != 0;
            waited.then(|| next_phase(state, true))
        });
        failpoint!("barrier.reset.done");
        self.head.changed.notify_all();
    }

    /// Whether the barrier is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.head.state.load(Ordering::Acquire) & BROKEN != 0
    }

    /// How many wait at this moment.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        let state = self.head.state.load(Ordering::Acquire);
        if state & (BROKEN | ACTION) != 0 { 0 } else { (state & COUNT) as u32 }
    }

    /// Whether the process in `slot` is among those who have arrived in this phase.
    #[must_use]
    pub fn names(&self, slot: SlotId) -> bool {
        let phase = phase_of(self.head.state.load(Ordering::Acquire));
        self.cells.iter().any(|cell| party(cell.load(Ordering::Acquire), phase) == Some(slot))
    }

    /// Repairs what the process in `slot`, which has ended, left behind in this barrier.
    pub fn on_death(&self, slot: SlotId, _pid: u32, _end: End) {
        self.transition(|state| {
            let here =
                self.cells.iter().any(|c| c.load(Ordering::Acquire) == tag(slot, phase_of(state)));
            (here && state & BROKEN == 0).then_some((state | BROKEN) & !ACTION)
        });
        failpoint!("barrier.death.broken");
        for cell in self.cells {
            let now = cell.load(Ordering::Acquire);
            if now & 0xffff == u64::from(slot.raw()) {
                let _ = cell.compare_exchange(now, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        self.head.changed.notify_all();
    }

    fn transition(&self, next: impl Fn(u64) -> Option<u64>) -> bool {
        let mut state = self.head.state.load(Ordering::Acquire);
        while let Some(new) = next(state) {
            // SeqCst: the look for sleepers that follows must not overtake this write.
            match self.swap(state, new) {
                Ok(()) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    fn swap(&self, state: u64, new: u64) -> Result<(), u64> {
        let word = &self.head.state;
        word.compare_exchange(state, new, Ordering::SeqCst, Ordering::Acquire).map(|_| ())
    }

    /// Arrives in the phase of `state`; `None` if that has ended meanwhile.
    fn arrive(&self, state: u64, me: SlotId, acts: bool) -> Option<Step> {
        let phase = phase_of(state);
        if state & ACTION != 0 || state & COUNT >= u64::from(self.head.parties()) {
            return Some(Step::TooEarly);
        }
        let cell = self.claim(phase, me);
        if cell.is_none() && !self.cells.is_empty() {
            // Those who claimed before us have yet to count themselves.
            return Some(Step::TooEarly);
        }
        failpoint!("barrier.arrive.claimed");
        let step = self.count_up(state, cell, acts);
        if step.is_none() {
            self.unclaim(cell);
        }
        step
    }

    fn count_up(&self, mut state: u64, cell: Option<usize>, acts: bool) -> Option<Step> {
        let (phase, parties) = (phase_of(state), self.head.parties());
        loop {
            let index = (state & COUNT) as u32;
            if phase_of(state) != phase || state & (BROKEN | ACTION) != 0 || index >= parties {
                return None;
            }
            let last = index + 1 == parties;
            let new = match (last, acts) {
                (true, true) => (state + 1) | ACTION,
                (true, false) => next_phase(state, false),
                (false, _) => state + 1,
            };
            if let Err(now) = self.swap(state, new) {
                state = now;
                continue;
            }
            if !last {
                failpoint!("barrier.arrive.counted");
                return Some(Step::Waits { index, cell });
            }
            if acts {
                failpoint!("barrier.action.begun");
            } else {
                failpoint!("barrier.trip.done");
                self.head.changed.notify_all();
            }
            return Some(Step::Last { index });
        }
    }

    fn claim(&self, phase: u64, me: SlotId) -> Option<usize> {
        let mine = tag(me, phase);
        self.cells.iter().position(|cell| {
            let now = cell.load(Ordering::Relaxed);
            party(now, phase).is_none()
                && cell.compare_exchange(now, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    fn unclaim(&self, cell: Option<usize>) {
        if let Some(cell) = cell {
            self.cells[cell].store(0, Ordering::Release);
            fence(Ordering::SeqCst);
            // Somebody may have found no cell because of us.
            self.head.changed.notify_all();
        }
    }

    fn act(&self, state: u64, action: &mut dyn FnMut() -> bool) -> Result<(), NotPassed> {
        if !action() {
            self.abort();
            return Err(NotPassed::Broken);
        }
        let phase = phase_of(state);
        let tripped = self.transition(|now| {
            let ours = phase_of(now) == phase && now & ACTION != 0;
            ours.then(|| next_phase(now, false))
        });
        failpoint!("barrier.trip.done");
        self.head.changed.notify_all();
        // Somebody aborted or reset the barrier during the action.
        if tripped { Ok(()) } else { Err(NotPassed::Broken) }
    }

    fn sleep<P: Peers + ?Sized>(
        &self,
        then: u64,
        place: Place,
        peers: &P,
        patience: &Patience<'_>,
    ) -> Result<(), NotPassed> {
        let look = || {
            let end = outcome(then, self.head.state.load(Ordering::SeqCst));
            let early = matches!(place, Place::None);
            end.or_else(|| (early && self.has_room(then)).then_some(Ok(())))
        };
        if let Some(end) = SPIN.until(look) {
            return end;
        }
        let mut slices = Slices::for_users();
        loop {
            let ticket = self.head.changed.register();
            if let Some(end) = look() {
                return end;
            }
            let woken = self.head.changed.sleep(ticket, Some(slices.next_deadline(patience)));
            if let Some(end) = look() {
                return end;
            }
            if woken == Wake::TimedOut {
                self.check_parties(then, peers);
            }
            match patience.check() {
                Ok(()) => {}
                Err(GaveUp::TimedOut) => {
                    if matches!(place, Place::Arrived(_)) {
                        self.break_phase(then);
                    }
                    return look().unwrap_or(Err(NotPassed::Broken));
                }
                Err(GaveUp::Interrupted) => return self.leave(then, place),
            }
        }
    }

    /// Breaks the barrier unless the phase of `then` has ended meanwhile.
    fn break_phase(&self, then: u64) {
        let phase = phase_of(then);
        self.transition(|state| {
            let goes_on = phase_of(state) == phase && state & BROKEN == 0;
            goes_on.then_some((state | BROKEN) & !ACTION)
        });
        failpoint!("barrier.break.marked");
        self.head.changed.notify_all();
    }

    /// Takes an arrival back; too late if the phase has ended or the action runs.
    fn leave(&self, then: u64, place: Place) -> Result<(), NotPassed> {
        if let Place::Arrived(cell) = place {
            let phase = phase_of(then);
            let left = self.transition(|state| {
                let filling = phase_of(state) == phase && state & (BROKEN | ACTION) == 0;
                filling.then(|| state - 1)
            });
            failpoint!("barrier.leave.uncounted");
            if left {
                self.unclaim(cell);
            }
        }
        Err(NotPassed::Interrupted)
    }

    /// Whether one who came too early could arrive in this phase after all.
    fn has_room(&self, then: u64) -> bool {
        let phase = phase_of(then);
        let state = self.head.state.load(Ordering::Acquire);
        let free = |cell: &AtomicU64| party(cell.load(Ordering::Acquire), phase).is_none();
        state & (BROKEN | ACTION) == 0
            && state & COUNT < u64::from(self.head.parties())
            && (self.cells.is_empty() || self.cells.iter().any(free))
    }

    fn check_parties<P: Peers + ?Sized>(&self, then: u64, peers: &P) {
        let phase = phase_of(then);
        for cell in self.cells {
            if let Some(slot) = party(cell.load(Ordering::Acquire), phase)
                && slot != peers.me()
            {
                peers.check(slot);
            }
        }
    }
}
