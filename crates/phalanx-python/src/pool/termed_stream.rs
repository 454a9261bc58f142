//! Results of calls on terms of their own as an iterator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use phalanx::pool::pacer;
use phalanx_shm::sync::Deadline;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::executor::Engine;
use super::feed::{Callee, Feed};
use super::options::Terms;
use super::progress::{self, Progress};
use super::random::{Seeds, SeedsOfTasks};
use super::sharing::Table;
use super::termed::value_of;
use crate::reading::{Reader, Watch, has_length};

/// How often somebody looks who waits for another thread to read the input.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The results of calls on terms of their own, in the order of the input or as they come.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct TermedIterator {
    feed: Arc<Feed>,
    /// Of an executor: the first error is the end, and so is this time.
    is_of_executor: bool,
    deadline: Option<Deadline>,
    has_begun: AtomicBool,
    is_over: AtomicBool,
    progress: Option<Progress>,
}

impl TermedIterator {
    pub(super) fn of_pool(
        engine: &Arc<Engine>,
        terms: Terms,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let calls = Callee::Function(function.clone().unbind());
        let seeds = engine.owner.seeds_of_tasks(function.py());
        let window = Some(window.unwrap_or_else(|| usual_window(engine)));
        let feed = Feed::new(engine, terms, calls, seeds, iterable, ordered, window)?;
        Ok(Self::begin(iterable.py(), feed, progress))
    }

    /// Of calls that each name their function.
    #[expect(clippy::too_many_arguments, reason = "what a stream of calls is")]
    pub(super) fn of_calls(
        engine: &Arc<Engine>,
        terms: Terms,
        calls: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
        sharing: Option<Arc<Table>>,
        seeds: Option<&Py<Seeds>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let py = calls.py();
        let seeds = SeedsOfTasks::of_next_call(py, seeds);
        let window = Some(window.unwrap_or_else(|| usual_window(engine)));
        let callee = Callee::OfEach(sharing);
        let feed = Feed::new(engine, terms, callee, seeds, calls, ordered, window)?;
        Ok(Self::begin(py, feed, progress))
    }

    fn begin(py: Python<'_>, feed: Feed, progress: Option<Py<PyAny>>) -> Self {
        let iterator = Self::over(feed, false, None, progress);
        iterator.feed.feed(py);
        // A pool that is closed reads what is left.
        iterator.feed.engine.remember(&iterator.feed);
        iterator
    }

    pub(super) fn of_executor(
        engine: &Arc<Engine>,
        terms: Terms,
        function: &Bound<'_, PyAny>,
        calls: &Bound<'_, PyAny>,
        window: Option<usize>,
        timeout: Option<f64>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let callee = Callee::Starred(function.clone().unbind());
        let seeds = engine.owner.seeds_of_tasks(function.py());
        let goes_on = window.is_none() && !has_length(calls)?;
        let window = if goes_on { Some(usual_window(engine)) } else { window };
        let feed = Feed::new(engine, terms, callee, seeds, calls, true, window)?;
        let deadline = crate::interrupt::timeout(timeout).map(Deadline::after);
        let iterator = Self::over(feed, true, deadline, progress);
        iterator.feed.feed(function.py());
        if goes_on {
            // An executor that is closed reads what is left, also if nobody fetches results.
            engine.keep(&iterator.feed);
        }
        Ok(iterator)
    }

    fn over(
        feed: Feed,
        is_of_executor: bool,
        deadline: Option<Deadline>,
        progress: Option<Py<PyAny>>,
    ) -> Self {
        let (has_begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let (feed, progress) = (Arc::new(feed), progress.map(Progress::new));
        Self { feed, is_of_executor, deadline, has_begun, is_over, progress }
    }

    fn fetch(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Py<PyAny>> {
        let feed = &self.feed;
        let deadline = timeout.map(Deadline::after);
        loop {
            feed.feed(py);
            let mut next = None;
            let mut look = || {
                next = feed.take_next();
                next.is_some() || (feed.has_ended() && feed.ahead() == 0)
            };
            // While another thread reads the input there may be nothing to wait for yet.
            let left = deadline.map(Deadline::remaining);
            let reads_elsewhere = feed.is_feeding.load(Ordering::Acquire).then_some(LOOK_EVERY);
            let is_shown = self.progress.as_ref().map(|_| progress::EVERY);
            let patience = [left, reads_elsewhere, is_shown].into_iter().flatten().min();
            self.show_progress(py);
            let is_there = feed.tally.wait(py, patience, &mut look)?;
            if let Some(future) = next {
                return value_of(py, &future);
            }
            if is_there {
                self.end_progress(py);
                return Err(PyStopIteration::new_err(()));
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(self.timed_out(py));
            }
        }
    }

    fn show_progress(&self, py: Python<'_>) {
        if let Some(progress) = &self.progress {
            progress.show(py, || self.feed.counts());
        }
    }

    fn end_progress(&self, py: Python<'_>) {
        if let Some(progress) = &self.progress {
            progress.end(py, || self.feed.counts());
        }
    }

    fn timed_out(&self, py: Python<'_>) -> PyErr {
        if !self.is_of_executor {
            return super::results::timed_out(py);
        }
        let make = || py.import("concurrent.futures")?.getattr("TimeoutError")?.call0();
        make().map_or_else(|error| error, PyErr::from_value)
    }
}

#[pymethods]
impl TermedIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.next(py, None)
    }

    /// The next result; `TimeoutError` if it is not there after `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        if self.is_over.load(Ordering::Acquire) {
            return Err(PyStopIteration::new_err(()));
        }
        self.feed.engine.check_mine()?;
        self.has_begun.store(true, Ordering::Relaxed);
        if !self.is_of_executor {
            return self.fetch(py, crate::interrupt::timeout(timeout));
        }
        self.fetch(py, self.deadline.map(Deadline::remaining)).inspect_err(|_| self.close(py))
    }

    /// All results as a list; each may take `timeout` seconds to arrive.
    #[pyo3(signature = (timeout=None))]
    fn collect<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyList>> {
        let mut watch = self.feed.may_be_endless.then(Watch::new);
        let values = PyList::empty(py);
        loop {
            match self.next(py, timeout) {
                Ok(value) => {
                    values.append(value)?;
                    if let Some(watch) = &mut watch {
                        watch.check(py, values.len() as u64, Reader::Parallel)?;
                    }
                }
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => return Ok(values),
                Err(error) => return Err(error),
            }
        }
    }

    /// How many tasks were sent, and how many of them have ended.
    fn counts(&self) -> (u64, u64) {
        let begun = self.feed.begun();
        (begun, begun.saturating_sub(self.feed.tally.outstanding() as u64))
    }

    /// Fetches no more results. What has not begun is not run.
    fn stop(&self, py: Python<'_>) {
        self.close(py);
    }

    /// The same, by the name that generators have for it.
    fn close(&self, py: Python<'_>) {
        if !self.is_over.swap(true, Ordering::AcqRel) && self.feed.engine.owner.is_mine() {
            self.end_progress(py);
            self.feed.abandon(py);
        }
    }
}

impl Drop for TermedIterator {
    fn drop(&mut self) {
        // As with the standard library's generator, the rest of an executor's map that nobody began to
        // fetch is done.
        if self.is_of_executor && *self.has_begun.get_mut() && !*self.is_over.get_mut() {
            Python::try_attach(|py| self.close(py));
        }
    }
}

/// How many calls may be ahead of their results, if nobody says.
fn usual_window(engine: &Engine) -> usize {
    pacer::stream_window(1, engine.owner.staff.wanted())
}
