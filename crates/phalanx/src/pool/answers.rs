//! What comes back from the workers of a pool, and what of it is tried again.

use phalanx_shm::leases::Span;

use super::call::panicked;
use super::error::PoolError;
use super::ledger::{Answer, Ledger, Piece};
use super::serve::{Kind, ResultLabel};
use super::team::{State, Team};
use super::watch::Tries;
use super::{Ended, News};
use crate::message::Arrived;
use crate::process::Child;

impl Team {
    /// Takes in everything that has arrived.
    pub(super) fn collect(&self, state: &mut State) {
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
    pub(super) fn fail(
        &self,
        state: &mut State,
        job: u64,
        task: u64,
        error: PoolError,
        cost_worker: bool,
    ) {
        let retries = if state.broken.is_some() { 0 } else { self.plan.retries };
        if state.tries.again(job, task, cost_worker, retries)
            && !state.ledger.is_answered(job, task)
        {
            self.send_again(state, Span { job, first: task, count: 1 });
        } else {
            state.ledger.settle(job, Piece::one(task, Answer::Failed(error)));
        }
    }

    /// Takes in what the worker of a seat had still published, or collected, when it ended.
    pub(super) fn take_in_the_last(&self, state: &mut State, seat: usize, pid: u32) -> Ended {
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
