//! The workers of a pool: hired, watched, buried, replaced, and let go.

use std::io;
use std::sync::Arc;

use phalanx_os::poll::{self, Interest};
use phalanx_os::wait::ExitStatus;
use phalanx_shm::patience::Patience;
use phalanx_shm::sync::Deadline;

use super::error::{PoolError, TimedOut, WorkerDied};
use super::hired::hire;
use super::ledger::Ledger;
use super::team::{State, Team};
use super::watch::end_the_late;
use crate::process::{Child, StartMethod};
use crate::trace::event;

/// Workers that end one after another without having done anything mean that none will.
const IDLE_DEATHS_FOR_EACH_SEAT: usize = 8;
/// At most this often does a thread that finds news all the time look after the workers.
const LOOK_EVERY_NS: u64 = 10_000_000;

impl Team {
    /// Buries workers that have ended, and fills empty seats if there is something to do.
    pub(super) fn look_after_workers(&self, state: &mut State, at_once: bool) {
        let now = Deadline::now().as_nanos();
        if state.broken.is_some() || (!at_once && now < state.looked_at + LOOK_EVERY_NS) {
            return;
        }
        state.looked_at = now;
        let buried = self.bury_the_dead(state);
        self.fill_seats(state);
        if buried {
            self.crew.pass_on();
        }
    }

    /// Ends workers whose task takes too long, and buries those that have ended; whether there were any.
    fn bury_the_dead(&self, state: &mut State) -> bool {
        if let Some(limit) = self.plan.timeout {
            for seat in end_the_late(&self.crew, &state.children, limit) {
                state.late[seat] = true;
            }
        }
        let mut buried = false;
        for seat in ended(&state.children) {
            buried |= self.bury(state, seat);
        }
        buried
    }

    fn fill_seats(&self, state: &mut State) {
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
    }

    /// One look by the thread that watches over tasks with a time limit; whether it is still needed. It
    /// forks nobody: at that moment the threads of the program may be in the middle of anything.
    pub(super) fn supervise(&self) -> bool {
        let Ok(mut guard) = self.guard() else { return false };
        let state = &mut *guard;
        self.collect(state);
        if state.broken.is_none() {
            let buried = self.bury_the_dead(state);
            if self.method != StartMethod::Fork {
                self.fill_seats(state);
            }
            if buried {
                self.crew.pass_on();
            }
        }
        state.is_supervised = state.ledger.unanswered() > 0;
        state.is_supervised
    }

    pub(super) fn give_up(&self, state: &mut State, error: PoolError) {
        state.ledger.fail_all(&error);
        state.broken.get_or_insert(error);
        self.crew.pass_on();
    }

    /// Takes in what an ended worker leaves. Returns whether it had ended.
    fn bury(&self, state: &mut State, seat: usize) -> bool {
        let Some(child) = &state.children[seat] else { return false };
        // What the kernel refuses to tell is asked again at the next look.
        let Ok(Some(status)) = child.try_status() else { return false };
        let (pid, memory) = (child.pid(), child.footprint());
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
                        let died = WorkerDied { task, function, worker: seat, pid, status, memory };
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
                let (task, function) = (None, "");
                let died = WorkerDied { task, function, worker: seat, pid, status, memory };
                self.give_up(state, PoolError::WorkersKeepDying(died));
            }
        }
        true
    }

    pub(super) fn hire(
        &self,
        state: &mut State,
        seat: usize,
        first: bool,
    ) -> Result<(), PoolError> {
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
