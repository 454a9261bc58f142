//! The owner's side of a pool of forked workers: everything that does not depend on types.
//!
//! All of it happens in the threads that call: whoever waits takes in what has arrived, looks now and
//! then whether a worker has died, and puts another in its place. One lock guards the ledger and the
//! workers; nobody sleeps under it except for a process that has been killed.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phalanx_os::poll::{self, Interest};
use phalanx_os::wait::ExitStatus;
use phalanx_shm::family::Family;
use phalanx_shm::leases::Span;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::sync::Deadline;

use super::error::{Panicked, PoolError, WorkerDied};
use super::ledger::{Answer, Ledger};
use super::serve::{Kind, Recipe, ResultLabel, serve};
use super::{Crew, News};
use crate::message::Outgoing;
use crate::process::{Child, fork};

/// Workers that end one after another without having done anything mean that none will.
const IDLE_DEATHS_FOR_EACH_SEAT: usize = 8;
/// At most this often does a thread that finds news all the time look after the workers.
const LOOK_EVERY_NS: u64 = 10_000_000;

/// A pool's owner.
pub(super) struct Team {
    crew: Crew,
    family: &'static Family,
    recipe: Recipe,
    seats: usize,
    owner: SlotId,
    state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    pub(super) ledger: Ledger,
    children: Vec<Option<Child>>,
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
    pub(super) fn start(seats: usize, recipe: Recipe) -> Result<Arc<Self>, PoolError> {
        let family = Family::get().map_err(|e| PoolError::NoWorkers(Arc::new(e)))?;
        let state = State {
            ledger: Ledger::default(),
            children: (0..seats).map(|_| None).collect(),
            closed: false,
            broken: None,
            idle_deaths: 0,
            looked_at: 0,
            scratch: Vec::new(),
        };
        let team = Arc::new(Self {
            crew: Crew::new(family, seats)?,
            family,
            recipe,
            seats,
            owner: family.me(),
            state: Mutex::new(state),
        });
        {
            let mut state = team.lock();
            for seat in 0..seats {
                if let Err(error) = team.hire(&mut state, seat) {
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

    pub(super) fn function(&self) -> &'static str {
        self.recipe.function
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
    pub(super) fn open(&self) -> Result<u64, PoolError> {
        let mut state = self.guard()?;
        match &state.broken {
            Some(error) => Err(error.clone()),
            None if state.closed => Err(PoolError::Closed),
            None => Ok(state.ledger.open()),
        }
    }

    /// Nobody will fetch what the call still yields.
    pub(super) fn abandon(&self, job: u64) {
        if let Ok(mut state) = self.guard() {
            state.ledger.abandon(job);
        }
    }

    /// Sends a batch of a call that is open.
    pub(super) fn send(&self, job: u64, count: u32, body: Vec<u8>) -> Result<(), PoolError> {
        let mut guard = self.guard()?;
        let state = &mut *guard;
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let span = state.ledger.note(job, count, body);
        let sent = self.put(span, state.ledger.body(span), &mut state.scratch);
        sent.inspect_err(|_| state.ledger.take_back(span))
    }

    fn put(&self, span: Span, body: &[u8], scratch: &mut Vec<u8>) -> Result<(), PoolError> {
        let body = Outgoing::new(self.family, body)?;
        Ok(self.crew.submit(span, [0; 2], body, scratch)?)
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
        let State { ledger, scratch, children, idle_deaths, .. } = state;
        let mut sink = |news: News<'_>| {
            *idle_deaths = 0;
            let pid = children[news.seat].as_ref().map_or(0, Child::pid);
            self.take_in(ledger, pid, news);
        };
        if self.crew.collect(scratch, &mut sink) > 0 {
            self.crew.pass_on();
        }
    }

    fn take_in(&self, ledger: &mut Ledger, pid: u32, news: News<'_>) {
        let Some(ResultLabel { job, task, kind }) = ResultLabel::unpack(news.bytes) else { return };
        let body = news.bytes[ResultLabel::LEN..].to_vec();
        let answer = match kind {
            Kind::Value => Answer::Value(body, news.parcel),
            Kind::Undecodable => Answer::Failed(PoolError::Undecodable { task }),
            Kind::Panicked => {
                let function = self.recipe.function;
                let message = text_of(body, news.parcel.as_ref());
                Answer::Failed(PoolError::Panicked(Panicked { task, function, pid, message }))
            }
            Kind::TooLarge => {
                let message = text_of(body, news.parcel.as_ref());
                Answer::Failed(PoolError::ResultTooLarge { task, message })
            }
        };
        ledger.settle(job, task, answer);
    }

    /// Buries workers that have ended, and fills empty seats if there is something to do.
    fn look_after_workers(&self, state: &mut State, at_once: bool) {
        let now = Deadline::now().as_nanos();
        if state.broken.is_some() || (!at_once && now < state.looked_at + LOOK_EVERY_NS) {
            return;
        }
        state.looked_at = now;
        let mut buried = false;
        for seat in ended(&state.children) {
            buried |= self.bury(state, seat);
        }
        for seat in 0..self.seats {
            let needed = !state.closed || state.ledger.unanswered() > 0;
            if !needed || state.broken.is_some() || state.children[seat].is_some() {
                continue;
            }
            if let Err(error) = self.hire(state, seat)
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
        state.broken = Some(error);
        self.crew.pass_on();
    }

    /// Takes in what an ended worker leaves. Returns whether it had ended.
    fn bury(&self, state: &mut State, seat: usize) -> bool {
        let Some(child) = &state.children[seat] else { return false };
        // What the kernel refuses to tell is asked again at the next look.
        let Ok(Some(status)) = child.try_status() else { return false };
        let pid = child.pid();
        state.children[seat] = None;
        let State { ledger, scratch, .. } = &mut *state;
        let mut sink = |news: News<'_>| self.take_in(ledger, pid, news);
        let ended = self.crew.bury(seat, scratch, &mut sink);
        let died =
            |task| WorkerDied { task, function: self.recipe.function, worker: seat, pid, status };
        for span in [ended.unpublished, ended.lost].into_iter().flatten() {
            for task in span.first..span.first + u64::from(span.count) {
                let error = PoolError::WorkerDied(died(Some(task)));
                state.ledger.settle(span.job, task, Answer::Failed(error));
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
                self.give_up(state, PoolError::WorkersKeepDying(died(None)));
            }
        }
        true
    }

    fn send_again(&self, state: &mut State, span: Span) {
        let Some(body) = state.ledger.part(span) else { return };
        let Err(error) = self.put(span, &body, &mut state.scratch) else { return };
        for task in span.first..span.first + u64::from(span.count) {
            state.ledger.settle(span.job, task, Answer::Failed(error.clone()));
        }
    }

    fn hire(&self, state: &mut State, seat: usize) -> Result<(), PoolError> {
        let bench = self.crew.bench(seat)?;
        let child = fork::run(|| serve(&bench, &self.recipe));
        state.children[seat] = Some(child.map_err(|e| PoolError::NoWorkers(Arc::new(e)))?);
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
            let State { ledger, scratch, .. } = &mut *state;
            // Results that were published in time count.
            let mut sink = |news: News<'_>| self.take_in(ledger, child.pid(), news);
            let _ = self.crew.bury(seat, scratch, &mut sink);
        }
        self.crew.discard_queued();
        self.give_up(state, PoolError::Terminated);
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team")
            .field("function", &self.recipe.function)
            .field("seats", &self.seats)
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

fn text_of(body: Vec<u8>, parcel: Option<&crate::message::Arrived>) -> String {
    let mut bytes = body;
    if let Some(parcel) = parcel {
        bytes.clear();
        let _ = parcel.read_frame(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
