//! A call of an executor: what is to be done, for whose future, and how often it has been tried.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use phalanx::stash::Stash;
use pyo3::prelude::*;

use super::super::future::FutureBase;
use super::super::options::Terms;
use super::super::owner::locked;
use super::super::random::SeedOfCall;
use super::super::sharing::Table;
use super::super::wire::Mode;
use crate::codec::Main;

/// A task that costs so many workers is not tried again.
const WORKERS: u32 = 2;

/// One call.
pub(in super::super) struct Work {
    pub(in super::super) function: Py<PyAny>,
    /// What the function is called with, as the mode says.
    pub(in super::super) task: Py<PyAny>,
    pub(super) mode: Mode,
    pub(in super::super) terms: Terms,
    future: Py<FutureBase>,
    /// How its function travels, if it is of `__main__` and that is not to be as always.
    pub(in super::super) main: Option<Main>,
    /// Where its large arguments are stored once for it and others.
    pub(in super::super) sharing: Option<Arc<Table>>,
    /// What it has of them.
    stashes: Mutex<Vec<Arc<Stash>>>,
    /// What its random numbers come from, however often it is tried.
    pub(in super::super) seed: Option<SeedOfCall>,
    /// Its future says that it is being run.
    has_begun: AtomicBool,
    /// Somebody asked for its end.
    is_stopped: AtomicBool,
    tries: AtomicU32,
    workers: AtomicU32,
}

impl Work {
    pub(in super::super) fn new(
        function: Py<PyAny>,
        task: Py<PyAny>,
        mode: Mode,
        terms: Terms,
        future: Py<FutureBase>,
    ) -> Self {
        Self {
            function,
            task,
            mode,
            terms,
            future,
            main: None,
            sharing: None,
            stashes: Mutex::default(),
            seed: None,
            has_begun: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            tries: AtomicU32::new(0),
            workers: AtomicU32::new(0),
        }
    }

    /// The call with random numbers of its own.
    pub(in super::super) fn seeded(self, seed: Option<SeedOfCall>) -> Self {
        Self { seed, ..self }
    }

    /// The call with a place for large arguments, and its function by value if it is of `__main__`.
    pub(in super::super) fn with_sharing(self, sharing: Option<Arc<Table>>) -> Self {
        Self { main: Some(Main::ByValue), sharing, ..self }
    }

    /// Keeps large arguments until it is over, for the attempt that is made now.
    pub(in super::super) fn keep(&self, stashes: Vec<Arc<Stash>>) {
        let former = std::mem::replace(&mut *locked(&self.stashes), stashes);
        drop(former);
    }

    /// Whether it is the call of a future.
    pub(super) fn is_of(&self, future: &Bound<'_, FutureBase>) -> bool {
        self.future.as_ptr() == future.as_ptr()
    }

    /// Its turn has come. False if its future was cancelled.
    pub(super) fn begin(&self, py: Python<'_>) -> bool {
        if self.has_begun.swap(true, Ordering::AcqRel) {
            return !self.is_stopped();
        }
        FutureBase::begin(self.future.bind(py)).unwrap_or_else(|error| {
            error.write_unraisable(py, Some(self.future.bind(py)));
            false
        })
    }

    /// Its turn has come at once: nobody has seen its future so far, let alone cancelled it.
    pub(super) fn begin_unseen(&self) {
        self.future.get().begin_unseen();
        self.has_begun.store(true, Ordering::Release);
    }

    /// Cancels it if its turn has not come, and tells those who wait for it.
    pub(super) fn cancel(&self, py: Python<'_>) {
        let cancel = || -> PyResult<()> {
            let future = self.future.bind(py);
            FutureBase::cancel_if_pending(future)?;
            if !self.has_begun.swap(true, Ordering::AcqRel) {
                FutureBase::begin(future)?;
            }
            Ok(())
        };
        if let Err(error) = cancel() {
            error.write_unraisable(py, Some(self.future.bind(py)));
        }
    }

    /// Nobody wants it any more.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// A worker has died of it, or had to be ended.
    pub(in super::super) fn cost_a_worker(&self) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is to be tried again after a failure.
    pub(super) fn tries_again(&self) -> bool {
        self.workers.load(Ordering::Relaxed) < WORKERS
            && !self.is_stopped()
            && self.tries.fetch_add(1, Ordering::Relaxed) < self.terms.retries
    }

    /// Completes its future. What callbacks raise is reported by the future itself.
    pub(super) fn complete(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) {
        if self.is_stopped() {
            return;
        }
        let outcome = outcome.map_err(|error| error.into_value(py).into_any());
        let told = FutureBase::finish(self.future.bind(py), outcome);
        if let Err(error) = told {
            // Somebody else has completed it.
            error.write_unraisable(py, Some(self.future.bind(py)));
        }
    }

    /// Completes the future of a call that was never sent.
    pub(super) fn fail(&self, py: Python<'_>, error: PyErr) {
        if self.begin(py) {
            self.complete(py, Err(error));
        }
    }
}
