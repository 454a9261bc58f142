//! The owner's side of a pool: everything that does not depend on types.
//!
//! All of it happens in the threads that call: whoever waits takes in what has arrived, looks now and
//! then whether a worker has died, and puts another in its place. One lock guards the ledger and the
//! workers; nobody sleeps under it except for a process that has been killed.
//!
//! Here is what callers ask for; the workers are looked after in `staff`, what they say is taken in by
//! `answers`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_shm::family::Family;
use phalanx_shm::leases::Span;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};

use super::Crew;
use super::call::Batch;
use super::callee::Callee;
use super::error::PoolError;
use super::ledger::{Answer, Ledger, Piece};
use super::serve::{DESK, Recipe};
use super::supervisor;
use super::watch::Tries;
use crate::message::Outgoing;
use crate::process::{Child, StartMethod};

/// Submitted tasks wait for room while the others' encoded arguments are more bytes than this.
const QUEUED_BYTES: usize = 256 << 20;

/// How a pool goes about its tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Tasks that travel together, if that was said.
    pub(super) batch: Option<usize>,
    /// Submitted tasks that may be unanswered.
    pub(super) queue: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: u32,
}

/// A pool's owner.
pub(super) struct Team {
    pub(super) crew: Crew,
    family: &'static Family,
    pub(super) method: StartMethod,
    pub(super) recipe: Recipe,
    pub(super) plan: Plan,
    pub(super) seats: usize,
    owner: SlotId,
    state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) children: Vec<Option<Child>>,
    /// Seats whose worker was killed because its task took too long.
    pub(super) late: Vec<bool>,
    pub(super) tries: Tries,
    /// No more tasks.
    pub(super) closed: bool,
    /// Why no task can be run any more.
    pub(super) broken: Option<PoolError>,
    pub(super) idle_deaths: usize,
    pub(super) looked_at: u64,
    /// A thread looks after the time limits.
    pub(super) is_supervised: bool,
    pub(super) scratch: Vec<u8>,
}

impl Team {
    /// A team with all its workers running.
    pub(super) fn start(
        seats: usize,
        method: StartMethod,
        recipe: Recipe,
        plan: Plan,
    ) -> Result<Arc<Self>, PoolError> {
        let family = Family::get().map_err(|e| PoolError::NoWorkers(Arc::new(e)))?;
        let state = State {
            ledger: Ledger::default(),
            children: (0..seats).map(|_| None).collect(),
            late: vec![false; seats],
            tries: Tries::default(),
            closed: false,
            broken: None,
            idle_deaths: 0,
            looked_at: 0,
            is_supervised: false,
            scratch: Vec::new(),
        };
        let team = Arc::new(Self {
            crew: Crew::with_desks(family, seats, DESK)?,
            family,
            method,
            recipe,
            plan,
            seats,
            owner: family.me(),
            state: Mutex::new(state),
        });
        {
            let mut state = team.lock();
            for seat in 0..seats {
                if let Err(error) = team.hire(&mut state, seat, true) {
                    drop(state);
                    team.terminate();
                    return Err(error);
                }
            }
        }
        Ok(team)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the process that made the pool. A forked child has a copy of everything here,
    /// its locks as they were, and must not touch it.
    pub(super) fn is_mine(&self) -> bool {
        self.owner == self.family.me()
    }

    pub(super) fn guard(&self) -> Result<MutexGuard<'_, State>, PoolError> {
        if self.is_mine() { Ok(self.lock()) } else { Err(PoolError::OtherProcess) }
    }

    pub(super) fn seats(&self) -> usize {
        self.seats
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan
    }

    pub(super) fn work_done(&self) -> (u64, u64) {
        self.crew.work_done()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.guard().map_or_else(
            |_| Vec::new(),
            |state| state.children.iter().flatten().map(Child::pid).collect(),
        )
    }

    /// Opens a call.
    pub(super) fn open(&self, callee: Callee) -> Result<u64, PoolError> {
        let mut state = self.guard()?;
        match &state.broken {
            Some(error) => Err(error.clone()),
            None if state.closed => Err(PoolError::Closed),
            None => Ok(state.ledger.open(callee)),
        }
    }

    /// Nobody will fetch what the call still yields.
    pub(super) fn abandon(&self, job: u64) {
        if let Ok(mut state) = self.guard() {
            state.ledger.abandon(job);
        }
    }

    /// Nobody wants what the call still yields: its tasks need not be run.
    pub(super) fn forget(&self, job: u64) {
        let Ok(mut state) = self.guard() else { return };
        state.tries.forget(job);
        if state.ledger.forget(job) {
            self.crew.cancel(job);
            self.crew.pass_on();
        }
    }

    /// Answers all tasks of the call that have no answer with [`PoolError::Cancelled`]. Returns whether
    /// there were any.
    pub(super) fn cancel(&self, job: u64) -> bool {
        let Ok(mut state) = self.guard() else { return false };
        if state.ledger.unanswered_of(job) == 0 {
            return false;
        }
        state.tries.forget(job);
        state.ledger.fail_job(job, &PoolError::Cancelled);
        self.crew.cancel(job);
        self.crew.pass_on();
        true
    }

    /// Sends a batch of a call that is open.
    pub(super) fn send(self: &Arc<Self>, job: u64, mut batch: Batch) -> Result<(), PoolError> {
        let mut guard = self.guard()?;
        let state = &mut *guard;
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        if self.plan.timeout.is_some() && !state.is_supervised {
            // Without the thread, whoever waits looks.
            state.is_supervised = supervisor::start(self);
        }
        let (count, body) = (batch.count, std::mem::take(&mut batch.body));
        let lent = std::mem::take(&mut batch.lent);
        let callee = state.ledger.callee(job).ok_or(PoolError::Cancelled)?;
        let span = state.ledger.note(job, count, body, lent).ok_or(PoolError::Cancelled)?;
        if !batch.has_failures() {
            let sent = self.put(span, callee, state.ledger.body(span), &mut state.scratch);
            return sent.inspect_err(|_| state.ledger.take_back(span));
        }
        // The others go one by one.
        for piece in batch.failures(span.first) {
            state.ledger.settle(job, piece);
        }
        for task in span.first..span.first + u64::from(count) {
            let span = Span { job, first: task, count: 1 };
            if !state.ledger.is_answered(job, task) {
                self.send_again(state, span);
            }
        }
        self.crew.pass_on();
        Ok(())
    }

    /// Whether a submitted task would have to wait for room.
    pub(super) fn is_full(&self) -> Result<bool, PoolError> {
        let mut state = self.guard()?;
        self.collect(&mut state);
        Ok(!self.has_room(&state.ledger))
    }

    /// Waits until there is room for a submitted task.
    pub(super) fn wait_for_room(&self) -> Result<(), PoolError> {
        if !self.is_full()? {
            return Ok(());
        }
        let room = |ledger: &mut Ledger| self.has_room(ledger).then_some(());
        // Without a deadline nobody gives up.
        self.wait_for(&Patience::forever(), room).map(drop)
    }

    fn has_room(&self, ledger: &Ledger) -> bool {
        let few = ledger.unanswered() < self.plan.queue as u64;
        // Cancelled tasks are answered, and lie in the ring until a worker comes by.
        let short = self.crew.queued() < self.plan.queue.max(2 * self.seats);
        few && short && (ledger.bytes() < QUEUED_BYTES || ledger.unanswered() == 0)
    }

    fn put(
        &self,
        span: Span,
        callee: Callee,
        body: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), PoolError> {
        let body = Outgoing::new(self.family, body)?;
        Ok(self.crew.submit(span, callee.target.tag(), body, scratch)?)
    }

    /// Waits until `ready` gives something, taking in what arrives.
    pub(super) fn wait_for<T>(
        &self,
        patience: &Patience<'_>,
        mut ready: impl FnMut(&mut Ledger) -> Option<T>,
    ) -> Result<Result<T, GaveUp>, PoolError> {
        let mut last = None;
        loop {
            let round = {
                let mut state = self.guard()?;
                self.collect(&mut state);
                self.look_after_workers(&mut state, last.is_some());
                let round = self.crew.round();
                if let Some(value) = ready(&mut state.ledger) {
                    return Ok(Ok(value));
                }
                round
            };
            if let Some(why) = last {
                return Ok(Err(why));
            }
            last = self.crew.wait(round, patience).err();
        }
    }

    /// Sends tasks again that lie in one batch and were not answered.
    pub(super) fn send_again(&self, state: &mut State, span: Span) {
        let Some(body) = state.ledger.part(span) else { return };
        let Some(callee) = state.ledger.callee(span.job) else { return };
        let Err(error) = self.put(span, callee, &body, &mut state.scratch) else { return };
        for task in span.first..span.first + u64::from(span.count) {
            state.ledger.settle(span.job, Piece::one(task, Answer::Failed(error.clone())));
        }
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team")
            .field("seats", &self.seats)
            .field("method", &self.method)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
