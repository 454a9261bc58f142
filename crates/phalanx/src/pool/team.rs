//! The owner's side of a pool: everything that does not depend on types.
//!
//! All of it happens in the threads that call: whoever waits takes in what has arrived, looks now and
//! then whether a worker has died, and puts another in its place. One lock guards the ledger and the
//! workers; nobody sleeps under it except for a process that has been killed.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_os::poll::{self, Interest};
use phalanx_os::wait::ExitStatus;
use phalanx_shm::family::Family;
use phalanx_shm::leases::Span;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::sync::Deadline;

use super::call::{Batch, panicked};
use super::callee::Callee;
use super::error::{PoolError, TimedOut, WorkerDied};
use super::hired::hire;
use super::ledger::{Answer, Ledger, Piece};
use super::serve::{DESK, Kind, Recipe, ResultLabel};
use super::watch::{Tries, end_the_late};
use super::{Crew, Ended, News};
use crate::message::{Arrived, Outgoing};
use crate::process::{Child, StartMethod};
use crate::trace::event;

/// Workers that end one after another without having done anything mean that none will.
const IDLE_DEATHS_FOR_EACH_SEAT: usize = 8;
/// At most this often does a thread that finds news all the time look after the workers.
const LOOK_EVERY_NS: u64 = 10_000_000;

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
    crew: Crew,
    family: &'static Family,
    method: StartMethod,
    recipe: Recipe,
    plan: Plan,
    seats: usize,
    owner: SlotId,
    state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    pub(super) ledger: Ledger,
    children: Vec<Option<Child>>,
    /// Seats whose worker was killed because its task took too long.
    late: Vec<bool>,
    tries: Tries,
    /// No more tasks.
    closed: bool,
    /// Why no task can be run any more.
    broken: Option<PoolError>,
    idle_deaths: usize,
    looked_at: u64,
    scratch: Vec<u8>,
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

    fn guard(&self) -> Result<MutexGuard<'_, State>, PoolError> {
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
    pub(super) fn send(&self, job: u64, mut batch: Batch) -> Result<(), PoolError> {
        let mut guard = self.guard()?;
        let state = &mut *guard;
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let (count, body) = (batch.count, std::mem::take(&mut batch.body));
        let callee = state.ledger.callee(job).ok_or(PoolError::Cancelled)?;
        let span = state.ledger.note(job, count, body).ok_or(PoolError::Cancelled)?;
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

    /// Takes in everything that has arrived.
    fn collect(&self, state: &mut State) {
        if !self.crew.has_news() {
            return;
        }
        let State { ledger, scratch, children, idle_deaths, tries, .. } = state;
        let mut failures = Failures::default();
        let mut sink = |news: News<'_>| {
            *idle_deaths = 0;
            let pid = children[news.seat].as_ref().map_or(0, Child::pid);
            take_in(ledger, tries, &mut failures, pid, news);
        };
        let count = self.crew.collect(scratch, &mut sink);
        self.settle_failures(state, failures);
        if count > 0 {
            self.crew.pass_on();
        }
    }

    fn settle_failures(&self, state: &mut State, failures: Failures) {
        for (job, task, error) in failures.tasks {
            self.fail(state, job, task, error, false);
        }
        if let Some(error) = failures.refused {
            self.give_up(state, error);
        }
    }

    /// A task has failed: it is tried again if it may be, and answered otherwise.
    fn fail(&self, state: &mut State, job: u64, task: u64, error: PoolError, cost_worker: bool) {
        let retries = if state.broken.is_some() { 0 } else { self.plan.retries };
        if state.tries.again(job, task, cost_worker, retries)
            && !state.ledger.is_answered(job, task)
        {
            self.send_again(state, Span { job, first: task, count: 1 });
        } else {
            state.ledger.settle(job, Piece::one(task, Answer::Failed(error)));
        }
    }

    /// Buries workers that have ended, and fills empty seats if there is something to do.
    fn look_after_workers(&self, state: &mut State, at_once: bool) {
        let now = Deadline::now().as_nanos();
        if state.broken.is_some() || (!at_once && now < state.looked_at + LOOK_EVERY_NS) {
            return;
        }
        state.looked_at = now;
        if let Some(limit) = self.plan.timeout {
            for seat in end_the_late(&self.crew, &state.children, limit) {
                state.late[seat] = true;
            }
        }
        let mut buried = false;
        for seat in ended(&state.children) {
            buried |= self.bury(state, seat);
        }
        for seat in 0..self.seats {
            let needed = !state.closed || state.ledger.unanswered() > 0;
            if !needed || state.broken.is_some() || state.children[seat].is_some() {
                continue;
            }
            if let Err(error) = self.hire(state, seat, false)
                && state.children.iter().all(Option::is_none)
            {
                // With some workers left the pool goes on, and tries again at the next look.
                self.give_up(state, error);
            }
        }
        if buried {
            self.crew.pass_on();
        }
    }

    fn give_up(&self, state: &mut State, error: PoolError) {
        state.ledger.fail_all(&error);
        state.broken.get_or_insert(error);
        self.crew.pass_on();
    }

    /// Takes in what an ended worker leaves. Returns whether it had ended.
    fn bury(&self, state: &mut State, seat: usize) -> bool {
        let Some(child) = &state.children[seat] else { return false };
        // What the kernel refuses to tell is asked again at the next look.
        let Ok(Some(status)) = child.try_status() else { return false };
        let pid = child.pid();
        if status != ExitStatus::Code(0) {
            event!(WARN, "worker died", worker = seat, pid = pid, status = status);
        }
        state.children[seat] = None;
        let is_late = std::mem::take(&mut state.late[seat]);
        let ended = self.take_in_the_last(state, seat, pid);
        for span in [ended.unpublished, ended.lost].into_iter().flatten() {
            let function = state.ledger.callee(span.job).map_or("a task", |callee| callee.name);
            for task in span.first..span.first + u64::from(span.count) {
                let error = match self.plan.timeout.filter(|_| is_late) {
                    Some(limit) => PoolError::TimedOut(TimedOut { task, function, pid, limit }),
                    None => {
                        let task = Some(task);
                        let died = WorkerDied { task, function, worker: seat, pid, status };
                        PoolError::WorkerDied(died)
                    }
                };
                self.fail(state, span.job, task, error, true);
            }
        }
        if let Some(span) = ended.again {
            self.send_again(state, span);
        }
        if ended.begun || ended.left {
            state.idle_deaths = 0;
        } else {
            state.idle_deaths += 1;
            if state.idle_deaths > IDLE_DEATHS_FOR_EACH_SEAT * self.seats {
                let died = WorkerDied { task: None, function: "", worker: seat, pid, status };
                self.give_up(state, PoolError::WorkersKeepDying(died));
            }
        }
        true
    }

    /// Takes in what the worker of a seat had still published, or collected, when it ended.
    fn take_in_the_last(&self, state: &mut State, seat: usize, pid: u32) -> Ended {
        let State { ledger, scratch, tries, .. } = &mut *state;
        let mut failures = Failures::default();
        let mut sink = |news: News<'_>| take_in(ledger, tries, &mut failures, pid, news);
        let mut ended = self.crew.bury(seat, scratch, &mut sink);
        if let Some((span, records)) = ended.staged.take() {
            tries.over(span.job, span.first..span.first + u64::from(span.count));
            ledger.settle(span.job, Piece::values(span.first, span.count, records));
        }
        self.settle_failures(state, failures);
        ended
    }

    /// Sends tasks again that lie in one batch and were not answered.
    fn send_again(&self, state: &mut State, span: Span) {
        let Some(body) = state.ledger.part(span) else { return };
        let Some(callee) = state.ledger.callee(span.job) else { return };
        let Err(error) = self.put(span, callee, &body, &mut state.scratch) else { return };
        for task in span.first..span.first + u64::from(span.count) {
            state.ledger.settle(span.job, Piece::one(task, Answer::Failed(error.clone())));
        }
    }

    fn hire(&self, state: &mut State, seat: usize, first: bool) -> Result<(), PoolError> {
        let bench = self.crew.bench(seat)?;
        let child = hire(self.method, &bench, &self.recipe, first);
        let child = child.map_err(|e| PoolError::NoWorkers(Arc::new(e)))?;
        event!(DEBUG, "worker hired", worker = seat, pid = child.pid());
        state.children[seat] = Some(child);
        Ok(())
    }

    pub(super) fn close(&self) {
        if let Ok(mut state) = self.guard() {
            state.closed = true;
        }
    }

    /// Waits until every task has been answered, and the workers have left.
    pub(super) fn join(&self) -> Result<(), PoolError> {
        self.close();
        let all_done = |ledger: &mut Ledger| (ledger.unanswered() == 0).then_some(());
        // Without a deadline nobody gives up.
        let _ = self.wait_for(&Patience::forever(), all_done)?;
        self.crew.close();
        let children: Vec<Child> = {
            let mut state = self.guard()?;
            state.children.iter_mut().filter_map(Option::take).collect()
        };
        for child in &children {
            end_of(child);
        }
        Ok(())
    }

    /// Ends the workers at once, and fails what was not done.
    pub(super) fn terminate(&self) {
        let Ok(mut guard) = self.guard() else { return };
        let state = &mut *guard;
        state.closed = true;
        self.crew.close();
        for child in state.children.iter().flatten() {
            // One that has ended needs no signal.
            let _ = child.kill();
        }
        for seat in 0..self.seats {
            let Some(child) = state.children[seat].take() else { continue };
            end_of(&child);
            // Results that were published in time count. What failed is not tried again.
            state.broken.get_or_insert(PoolError::Terminated);
            self.take_in_the_last(state, seat, child.pid());
        }
        self.crew.discard_queued();
        self.give_up(state, PoolError::Terminated);
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

/// Waits for a worker that is on its way out.
fn end_of(child: &Child) -> ExitStatus {
    child.wait(Patience::forever()).unwrap_or(ExitStatus::Unknown)
}

/// The seats whose worker has ended: one system call for all.
fn ended(children: &[Option<Child>]) -> Vec<usize> {
    let seats: Vec<usize> = (0..children.len()).filter(|seat| children[*seat].is_some()).collect();
    let mut interests: Vec<Interest<'_>> =
        children.iter().flatten().map(|child| Interest::read(child.sentinel())).collect();
    let looked: io::Result<_> = poll::wait(&mut interests, Some(Deadline::from_nanos(0)));
    let ready = |(seat, interest): (usize, &Interest<'_>)| {
        // Where the kernel does not say, each is asked for its status.
        (looked.is_err() || interest.is_ready()).then_some(seat)
    };
    seats.into_iter().zip(&interests).filter_map(ready).collect()
}

/// What has arrived and failed, to be looked into when all has been taken in.
#[derive(Default)]
struct Failures {
    tasks: Vec<(u64, u64, PoolError)>,
    refused: Option<PoolError>,
}

fn take_in(
    ledger: &mut Ledger,
    tries: &mut Tries,
    failures: &mut Failures,
    pid: u32,
    News { bytes, parcel, .. }: News<'_>,
) {
    let Some(ResultLabel { job, first, count, kind }) = ResultLabel::unpack(bytes) else { return };
    let body = bytes[ResultLabel::LEN..].to_vec();
    let content = |parcel: Option<Arrived>| {
        let mut bytes = body.clone();
        if let Some(parcel) = parcel {
            bytes.clear();
            // A damaged one says nothing.
            let _ = parcel.read_frame(&mut bytes);
        }
        bytes
    };
    let text = |parcel| String::from_utf8_lossy(&content(parcel)).into_owned();
    let error = match kind {
        Kind::Values => {
            tries.over(job, first..first + u64::from(count));
            return ledger.settle(job, Piece::values(first, count, body));
        }
        Kind::Value => {
            tries.over(job, first..first + 1);
            return ledger.settle(job, Piece::one(first, Answer::Value(body, parcel)));
        }
        Kind::Panicked => {
            let function = ledger.callee(job).map_or("a task", |callee| callee.name);
            panicked(first, function, pid, &content(parcel))
        }
        Kind::Unreadable => PoolError::Unreadable { task: first, reason: text(parcel) },
        Kind::Unsendable => PoolError::Unsendable { task: first, reason: text(parcel) },
        Kind::Refused => {
            let panic = match panicked(0, "", pid, &content(parcel)) {
                PoolError::Panicked(panicked) => PoolError::Initializer(panicked.panic),
                other => other,
            };
            failures.refused.get_or_insert(panic);
            return;
        }
    };
    failures.tasks.push((job, first, error));
}
