//! Ending calls that run: those whose time is over, and those that nobody wants any more.
//!
//! A call is ended with its worker. The worker is condemned first: from then on it cannot answer the
//! call, nor begin another, so that nothing else is lost with it. It is asked to end (SIGTERM), and
//! killed if it has not a moment later; another takes its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use phalanx_shm::leases::Lease;
use phalanx_shm::sync::Deadline;
use pyo3::prelude::*;

use super::super::answer::{Answer, Piece};
use super::super::future::FutureBase;
use super::super::job::Job;
use super::super::owner::{Owner, locked};
use super::super::raised::Raised;
use super::engine::{Engine, cancelled};
use super::manners::module;
use crate::once::intern;

/// Between asking a worker to end and killing it.
const GRACE: Duration = Duration::from_secs(1);

/// A worker that has been asked to end.
pub(super) struct Doomed {
    process: Py<PyAny>,
    deadline: Deadline,
}

impl Owner {
    /// Answers a job with an error that arose here.
    pub(super) fn fail_job(&self, job: &Arc<Job>, error: PyErr) {
        self.settle(job, Piece { first: 0, count: 1, answer: Answer::Raised(error) });
    }
}

impl Engine {
    /// Ends calls whose time is over, and kills workers that did not end when asked to.
    pub(super) fn keep_limits(&self, py: Python<'_>) {
        if self.timed.load(Ordering::Relaxed) > 0 {
            for seat in 0..self.owner.seats {
                self.end_if_late(py, seat);
            }
        }
        self.kill_the_slow(py);
    }

    fn end_if_late(&self, py: Python<'_>, seat: usize) {
        // First when, then which: read the other way a task could be taken for one that began earlier.
        let began = self.owner.crew.began_at(seat);
        let Some(lease) = self.owner.crew.lease(seat) else { return };
        let Some(job) = self.owner.job(lease.span.job) else { return };
        let Some(limit) = job.work.as_ref().and_then(|work| work.terms.timeout) else { return };
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let is_late = began != 0 && Deadline::now().as_nanos().saturating_sub(began) > limit_ns;
        // The executor's own thread does this, on which no handler of a signal runs.
        let mut raised = Raised::default();
        if is_late
            && self.owner.crew.began_at(seat) == began
            && self.end(py, seat, &lease, &mut raised)
        {
            let error = late(py, &job.name_of_function(py), limit);
            if let Some(work) = &job.work {
                work.cost_a_worker();
            }
            self.owner.fail_job(&job, error);
        }
    }

    /// Ends the worker of a seat with the task that it runs under a lease; false if it has moved on.
    fn end(&self, py: Python<'_>, seat: usize, lease: &Lease, raised: &mut Raised) -> bool {
        let process = locked(&self.owner.processes)[seat].as_ref().map(|p| p.clone_ref(py));
        let Some(process) = process else { return false };
        if !self.owner.crew.condemn(seat, lease) {
            return false;
        }
        self.owner.manners.condemn(seat);
        raised.note(process.call_method0(py, intern!(py, "terminate")).map(drop));
        let deadline = Deadline::after(GRACE);
        locked(&self.doomed).push(Doomed { process, deadline });
        true
    }

    fn kill_the_slow(&self, py: Python<'_>) {
        let doomed = std::mem::take(&mut *locked(&self.doomed));
        for worker in doomed {
            let ended = worker.process.getattr(py, intern!(py, "exitcode"));
            if !ended.is_ok_and(|code| code.is_none(py)) {
                continue;
            }
            if worker.deadline.has_passed() {
                let _ = worker.process.call_method0(py, intern!(py, "kill"));
            } else {
                locked(&self.doomed).push(worker);
            }
        }
    }

    /// Ends the call of a future, wherever it is. Returns whether there was one without an answer.
    pub(in super::super) fn stop(&self, future: &Bound<'_, FutureBase>) -> PyResult<bool> {
        let py = future.py();
        if !self.owner.is_mine() {
            return Ok(false);
        }
        let mut raised = Raised::default();
        let jobs: Vec<Arc<Job>> = locked(&self.owner.jobs).values().cloned().collect();
        let is_it = |job: &&Arc<Job>| job.work.as_ref().is_some_and(|work| work.is_of(future));
        let Some(job) = jobs.iter().find(is_it) else { return Ok(self.stop_waiting(future)) };
        // A worker that has not begun it passes over it.
        self.owner.crew.cancel(job.id);
        for seat in 0..self.owner.seats {
            let lease = self.owner.crew.lease(seat).filter(|lease| lease.span.job == job.id);
            if let Some(lease) = lease {
                let runs = lease.begun > lease.finished;
                if runs && !self.end(py, seat, &lease, &mut raised) {
                    // It has just been done.
                    return Ok(false);
                }
            }
        }
        if let Some(work) = &job.work {
            work.stop();
        }
        self.owner.fail_job(job, cancelled(py));
        self.wake();
        raised.into_result().map(|()| true)
    }
}

fn late(py: Python<'_>, name: &str, limit: Duration) -> PyErr {
    let make = || module(py)?.getattr("_timed_out")?.call1((name, limit.as_secs_f64()));
    make().map_or_else(|error| error, PyErr::from_value)
}
