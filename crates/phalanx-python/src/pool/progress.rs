//! How far a call is, shown by whoever waits for it.
//!
//! Counting is what a job does anyway. Whoever waits looks in passing whether the display is due, which is
//! ten times a second at most.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phalanx_shm::sync::Deadline;
use pyo3::prelude::*;

use super::job::Job;
use super::owner::locked;
use crate::once::intern;

/// Between two updates.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// How many tasks have ended, how many of them have failed, and how many there are, once known.
pub(crate) type Counts = (u64, u64, Option<u64>);

/// A display, and when it was last told.
pub(crate) struct Progress {
    display: Mutex<Option<Py<PyAny>>>,
    shown_at: AtomicU64,
}

impl Progress {
    pub(crate) fn new(display: Py<PyAny>) -> Self {
        Self { display: Mutex::new(Some(display)), shown_at: AtomicU64::new(0) }
    }

    /// Tells the display, unless it was told a moment ago.
    pub(crate) fn show(&self, py: Python<'_>, counts: impl FnOnce() -> Counts) {
        let now = Deadline::now().as_nanos();
        let last = self.shown_at.load(Ordering::Relaxed);
        if u128::from(now.saturating_sub(last)) < EVERY.as_nanos() {
            return;
        }
        self.shown_at.store(now, Ordering::Relaxed);
        let display = locked(&self.display).as_ref().map(|display| display.clone_ref(py));
        if let Some(display) = display {
            self.tell(py, &display, counts(), false);
        }
    }

    /// Tells the display for the last time.
    pub(crate) fn end(&self, py: Python<'_>, counts: impl FnOnce() -> Counts) {
        let display = locked(&self.display).take();
        if let Some(display) = display {
            self.tell(py, &display, counts(), true);
        }
    }

    fn tell(&self, py: Python<'_>, display: &Py<PyAny>, counts: Counts, is_last: bool) {
        let (done, failed, total) = counts;
        let told = display.call_method1(py, intern!(py, "show"), (done, failed, total, is_last));
        if let Err(error) = told {
            // The results matter more than the display: it is told no more.
            let display = locked(&self.display).take();
            error.write_unraisable(py, display.as_ref().map(|display| display.bind(py)));
        }
    }
}

impl Job {
    fn counts(&self) -> Counts {
        let state = self.state();
        (state.answered, state.failed, state.total)
    }

    /// Shows how far it is to a display, if there is one. Before anything is waited for.
    pub(super) fn report_to(&self, display: Option<Py<PyAny>>) {
        if let Some(display) = display {
            let _ = self.progress.set(Progress::new(display));
        }
    }

    /// Shows how far it is, if somebody wants to see it and has not just seen it.
    #[inline]
    pub(super) fn show_progress(&self, py: Python<'_>) {
        if let Some(progress) = self.progress.get() {
            progress.show(py, || self.counts());
        }
    }

    /// Shows how far it came.
    #[inline]
    pub(super) fn end_progress(&self, py: Python<'_>) {
        if let Some(progress) = self.progress.get() {
            progress.end(py, || self.counts());
        }
    }
}
