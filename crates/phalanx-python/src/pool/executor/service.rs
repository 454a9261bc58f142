//! The thread of an executor: it takes in what workers publish, completes futures, sends more calls and
//! looks after the workers, from the first call until the last worker has left.
//!
//! It sleeps while there is nothing to do, and while a thread that fetches the results of a map does
//! the work itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pyo3::prelude::*;

use super::super::owner::locked;
use super::engine::{Engine, Outlook, Stage};

/// How often it looks whether workers that had nothing to do have left.
const LOOK_AT_IDLE_EVERY: Duration = Duration::from_millis(500);
/// How often it looks whether the maps are still being fetched.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What an executor's thread runs. It does not keep the executor alive: an executor that is gone is
/// closed, and its calls are done.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct ExecutorService(Arc<Engine>);

impl ExecutorService {
    pub(in super::super) fn new(engine: Arc<Engine>) -> Self {
        Self(engine)
    }
}

#[pymethods]
impl ExecutorService {
    /// Serves until the executor is closed and everything is done.
    fn run(&self, py: Python<'_>) {
        let engine = &self.0;
        while engine.stage() != Stage::Over {
            py.detach(|| engine.sleep());
            if let Err(error) = engine.work(py) {
                engine.owner.give_up(py, &error);
            }
        }
    }

    /// No more calls; what was sent is done.
    fn close(&self, py: Python<'_>) {
        self.0.close(py, false);
    }
}

impl Engine {
    /// Sleeps while there is nothing to do.
    fn sleep(&self) {
        let mut stage = locked(&self.stage);
        self.is_asleep.store(true, Ordering::SeqCst);
        while *stage == Stage::Open {
            match self.outlook() {
                Outlook::Busy => break,
                Outlook::Nothing if self.has_visitors() => {
                    let (held, slept) = self
                        .bell
                        .wait_timeout(stage, LOOK_AT_IDLE_EVERY)
                        .unwrap_or_else(|e| e.into_inner());
                    stage = held;
                    if slept.timed_out() {
                        break;
                    }
                }
                Outlook::Nothing => {
                    stage = self.bell.wait(stage).unwrap_or_else(|e| e.into_inner());
                }
                Outlook::Attended => {
                    let woken = self.bell.wait_timeout(stage, LOOK_EVERY);
                    stage = woken.unwrap_or_else(|e| e.into_inner()).0;
                }
            }
        }
        self.is_asleep.store(false, Ordering::SeqCst);
    }

    /// Whether workers may leave while there is nothing to do.
    fn has_visitors(&self) -> bool {
        let staff = &self.owner.staff;
        staff.is_elastic() && (staff.count() > 0 || !locked(&self.owner.leavers).is_empty())
    }

    /// Works until there is nothing to do, or everything is over.
    fn work(&self, py: Python<'_>) -> PyResult<()> {
        if self.has_visitors() {
            self.owner.look_after_workers(py)?;
        }
        self.owner.wait_until(py, None, |py| self.step(py))?;
        if locked(&self.owner.broken).is_some() {
            if self.is_of_pool {
                self.end_broken_of_pool(py);
                return Ok(());
            }
            return self.end_broken(py);
        }
        if self.is_terminated() {
            self.end_terminated(py);
            return Ok(());
        }
        if self.stage() == Stage::Closing && self.outlook() == Outlook::Nothing {
            if self.is_of_pool {
                self.be_over();
                self.owner.is_held_open.store(false, Ordering::SeqCst);
                self.owner.close_if_done();
                self.owner.crew.pass_on();
            } else {
                self.let_go(py)?;
            }
        }
        Ok(())
    }

    /// Does what can be done at once. Returns whether that was all.
    fn step(&self, py: Python<'_>) -> bool {
        if locked(&self.owner.broken).is_some() || self.is_terminated() {
            return true;
        }
        self.complete_answered(py);
        if let Err(error) = self.keep_staffed(py) {
            error.write_unraisable(py, None);
        }
        self.keep_limits(py);
        self.top_up(py);
        self.feed_unattended(py);
        match self.outlook() {
            Outlook::Nothing => true,
            Outlook::Attended => self.stage() == Stage::Open,
            Outlook::Busy => false,
        }
    }

    /// Everything has been answered: lets the workers leave, and waits for their end.
    fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        let owner = &self.owner;
        owner.closed.store(true, Ordering::SeqCst);
        owner.close_if_done();
        owner.wait_until(py, None, |_| locked(&owner.processes).iter().all(Option::is_none))?;
        super::super::death::join_all(owner, py)?;
        self.be_over();
        Ok(())
    }

    /// Fails what is left, and ends the workers.
    fn end_broken(&self, py: Python<'_>) -> PyResult<()> {
        self.fail_waiting(py);
        self.complete_answered(py);
        let ended = super::super::death::terminate(&self.owner, py);
        // Whatever came in meanwhile.
        self.fail_waiting(py);
        self.complete_answered(py);
        self.be_over();
        ended
    }

    /// Fails what is left. The pool ends its workers by itself, when it is told to.
    fn end_broken_of_pool(&self, py: Python<'_>) {
        self.fail_waiting(py);
        self.complete_answered(py);
        self.be_over();
        self.owner.is_held_open.store(false, Ordering::SeqCst);
        self.owner.close_if_done();
        self.owner.crew.pass_on();
    }

    /// The pool was terminated: fails what is left.
    fn end_terminated(&self, py: Python<'_>) {
        loop {
            self.fail_waiting(py);
            self.owner.fail_everything(py, &super::super::death::was_terminated());
            self.complete_answered(py);
            if self.has_settled() {
                break;
            }
            // Another thread is about to add a call, and will find that it is too late.
            py.detach(std::thread::yield_now);
        }
        self.be_over();
        self.owner.is_held_open.store(false, Ordering::SeqCst);
        self.owner.crew.pass_on();
    }

    fn be_over(&self) {
        *locked(&self.stage) = Stage::Over;
    }
}
