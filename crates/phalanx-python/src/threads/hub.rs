//! What the threads of a pool and their users share: the tasks that wait, and two bells.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::job::Job;
use super::stream::Input;

/// How often a thread that waits for an outcome looks for signals.
const SIGNALS: Duration = Duration::from_millis(50);

/// Tasks that a thread runs one after the other.
pub(super) struct Batch {
    pub(super) job: Arc<Job>,
    pub(super) first: usize,
    pub(super) tasks: Vec<Py<PyAny>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) batches: VecDeque<Batch>,
    pub(super) closed: bool,
    pub(super) terminated: bool,
    /// Why no thread can work: the initializer's exception.
    pub(super) broken: Option<Arc<PyErr>>,
    pub(super) jobs: Vec<Weak<Job>>,
    /// Inputs that have not been read to their end.
    pub(super) inputs: Vec<Arc<Input>>,
}

#[derive(Default)]
pub(super) struct Hub {
    state: Mutex<State>,
    /// Rings when there are tasks, or never will be.
    work: Condvar,
    /// Rings when an outcome may be there.
    news: Condvar,
}

impl Hub {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a job. Fails if the pool has been closed, or cannot work.
    pub(super) fn open(&self, py: Python<'_>, job: &Arc<Job>) -> PyResult<()> {
        let mut state = self.state();
        if let Some(error) = &state.broken {
            let error = Arc::clone(error);
            drop(state);
            return Err(error.clone_ref(py));
        }
        if state.closed {
            return Err(PyValueError::new_err("Pool not running"));
        }
        state.jobs.retain(|job| job.strong_count() > 0);
        state.jobs.push(Arc::downgrade(job));
        Ok(())
    }

    pub(super) fn put(&self, batch: Batch) {
        let mut state = self.state();
        if state.terminated {
            drop(state);
            drop(batch);
            return;
        }
        state.batches.push_back(batch);
        drop(state);
        self.work.notify_one();
    }

    /// The next batch for a thread; nothing when there will be no more.
    pub(super) fn take(&self, py: Python<'_>) -> Option<Batch> {
        if let Some(batch) = self.state().batches.pop_front() {
            return Some(batch);
        }
        py.detach(|| {
            let mut state = self.state();
            loop {
                if let Some(batch) = state.batches.pop_front() {
                    return Some(batch);
                }
                if state.closed && state.inputs.is_empty() || state.broken.is_some() {
                    return None;
                }
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        })
    }

    /// Rings both bells.
    pub(super) fn wake(&self) {
        // Whoever is about to sleep holds the lock until it does.
        drop(self.state());
        self.work.notify_all();
        self.news.notify_all();
    }

    /// Waits until `is_there`; returns false if `timeout` is over before. `is_there` must not run
    /// Python code.
    pub(super) fn wait_until(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        is_there: impl Fn() -> bool + Sync,
    ) -> PyResult<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if is_there() {
                return Ok(true);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            py.detach(|| {
                let state = self.state();
                if !is_there() {
                    let nap = left.map_or(SIGNALS, |left| left.min(SIGNALS));
                    drop(self.news.wait_timeout(state, nap));
                }
            });
            py.check_signals()?;
        }
    }

    /// No more calls; threads leave when everything is done.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.wake();
    }

    /// No more tasks: what has not begun fails.
    pub(super) fn terminate(&self, py: Python<'_>) {
        let error = PyRuntimeError::new_err("the pool was terminated before the task was done");
        self.fail(py, &error, |state| state.terminated = true);
    }

    /// No thread can work: every call fails.
    pub(super) fn break_down(&self, py: Python<'_>, error: PyErr) {
        let shared = Arc::new(error.clone_ref(py));
        self.fail(py, &error, |state| {
            state.broken.get_or_insert(shared);
        });
    }

    fn fail(&self, py: Python<'_>, error: &PyErr, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        state.closed = true;
        change(&mut state);
        let rubbish = (std::mem::take(&mut state.batches), std::mem::take(&mut state.inputs));
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(rubbish);
        for job in jobs.iter().filter_map(Weak::upgrade) {
            job.fail(py, error);
        }
        self.wake();
    }
}
