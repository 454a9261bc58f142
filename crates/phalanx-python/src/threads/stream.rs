//! Results as an iterator: `imap`, `imap_unordered`. Input is read a little ahead of what is fetched.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_shm::sync::Deadline;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

use super::hub::{Batch, Hub};
use super::job::Job;
use crate::pool::Progress;
use crate::reading::{Reader, Watch, has_length};

/// How often a display is told while nothing arrives.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Windows of a stream whose results may lie waiting for an earlier one.
const HELD: usize = 16;

/// The input of a stream, and how it is cut.
pub(super) struct Input {
    job: Arc<Job>,
    iterator: Mutex<Option<Py<PyAny>>>,
    /// Somebody is reading; a second one must not wait, it may hold the interpreter.
    is_read: AtomicBool,
    chunksize: usize,
    window: usize,
    /// It does not say how long it is.
    may_be_endless: bool,
    /// Watches over such an input while the pool closes.
    watch: Mutex<Option<Watch>>,
    /// The most tasks whose results may lie waiting for an earlier one.
    most_held: usize,
}

/// What holds the reading of a stream back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Results that nobody has fetched.
    Fetching,
    /// Somebody waits for the next result, which is not there: tasks without an answer, so that one
    /// long task leaves no thread without work.
    Waiting,
    /// Tasks without an answer, however many results lie unfetched: the pool is about to close.
    Closing,
}

impl Input {
    /// Reads input until enough tasks are ahead, by the measure of `pace`.
    pub(super) fn read(self: &Arc<Self>, py: Python<'_>, hub: &Hub, pace: Pace) {
        if self.is_read.swap(true, Ordering::Acquire) {
            return;
        }
        let iterator = {
            let iterator = self.iterator.lock().unwrap_or_else(PoisonError::into_inner);
            iterator.as_ref().map(|iterator| iterator.clone_ref(py))
        };
        let mut goes_on = iterator.is_some();
        while let (true, Some(iterator)) = (goes_on, &iterator) {
            let is_enough = {
                let state = self.job.state();
                if state.total.is_some() {
                    goes_on = false;
                }
                let held = state.submitted - state.fetched;
                let unanswered = held.saturating_sub(state.pieces.len());
                match pace {
                    Pace::Fetching => held >= self.window,
                    Pace::Waiting => unanswered >= self.window || held >= self.most_held,
                    Pace::Closing => unanswered >= self.window,
                }
            };
            if !goes_on || is_enough {
                break;
            }
            goes_on = match self.check_length(py, pace) {
                Ok(()) => self.send(py, hub, iterator.bind(py)),
                Err(error) => self.fail(py, error),
            };
        }
        if !goes_on {
            self.end(hub);
        }
        self.is_read.store(false, Ordering::Release);
    }

    /// An error if results pile up of an input that does not end.
    fn check_length(&self, py: Python<'_>, pace: Pace) -> PyResult<()> {
        let (submitted, held) = {
            let state = self.job.state();
            (state.submitted as u64, state.submitted.saturating_sub(state.fetched))
        };
        if pace != Pace::Closing || held < self.window || !self.may_be_endless {
            return Ok(());
        }
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.get_or_insert_with(Watch::new).check(py, submitted, Reader::Closed("imap"))
    }

    /// Whether nothing more is read, or only by another thread, or there is little left to do.
    pub(super) fn wants_reading(&self) -> bool {
        let is_there = self.iterator.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let state = self.job.state();
        let unanswered = state.submitted.saturating_sub(state.fetched + state.pieces.len());
        !is_there || (!self.is_read.load(Ordering::Relaxed) && 2 * unanswered <= self.window)
    }

    /// Reads no more of it.
    fn end(self: &Arc<Self>, hub: &Hub) {
        let ended = self.iterator.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut state = hub.state();
        let known = state.inputs.iter().position(|input| Arc::ptr_eq(input, self));
        let known = known.map(|at| state.inputs.remove(at));
        drop(state);
        drop((ended, known));
        hub.wake();
    }

    /// Sends a batch; returns whether there may be more input.
    fn send(&self, py: Python<'_>, hub: &Hub, iterator: &Bound<'_, PyAny>) -> bool {
        let mut tasks = Vec::with_capacity(self.chunksize);
        let mut end = None;
        while tasks.len() < self.chunksize {
            match iterator.try_iter().ok().and_then(|mut iterator| iterator.next()) {
                Some(Ok(task)) => tasks.push(task.unbind()),
                other => {
                    end = Some(other.and_then(Result::err));
                    break;
                }
            }
        }
        if matches!(end, Some(Some(_))) && self.chunksize > 1 {
            // A batch is read as a whole or not at all, as in the standard library.
            tasks.clear();
        }
        let count = tasks.len();
        let first = {
            let mut state = self.job.state();
            state.submitted += count;
            state.submitted - count
        };
        if count > 0 {
            hub.put(Batch { job: Arc::clone(&self.job), first, tasks });
        }
        match end {
            None => true,
            Some(None) => {
                self.job.state().total = Some(first + count);
                false
            }
            Some(Some(error)) => self.fail(py, error),
        }
    }

    /// The error is the last result. Returns that there is no more input.
    fn fail(&self, py: Python<'_>, error: PyErr) -> bool {
        let last = {
            let mut state = self.job.state();
            let last = state.submitted;
            state.total = Some(last + 1);
            last
        };
        self.job.settle(py, last, 1, Err(error));
        false
    }
}

/// The results of `ThreadPool.imap` or `ThreadPool.imap_unordered`.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct ThreadIterator {
    hub: Arc<Hub>,
    job: Arc<Job>,
    input: Arc<Input>,
    is_ordered: bool,
    /// An error is fetched as soon as it is there.
    fails_fast: bool,
    /// Who wants to see how far it is.
    progress: Option<Progress>,
}

impl ThreadIterator {
    #[expect(clippy::too_many_arguments, reason = "what a stream is")]
    pub(super) fn start(
        py: Python<'_>,
        job: Arc<Job>,
        iterable: &Bound<'_, PyAny>,
        chunksize: usize,
        window: usize,
        is_ordered: bool,
        fails_fast: bool,
        keeps_all: bool,
    ) -> PyResult<Self> {
        let input = Arc::new(Input {
            job: Arc::clone(&job),
            may_be_endless: !has_length(iterable)?,
            watch: Mutex::default(),
            iterator: Mutex::new(Some(iterable.try_iter()?.unbind().into_any())),
            is_read: AtomicBool::new(false),
            chunksize,
            window: window.max(chunksize),
            most_held: if keeps_all { usize::MAX } else { HELD * window.max(chunksize) },
        });
        let hub = Arc::clone(&job.hub);
        hub.state().inputs.push(Arc::clone(&input));
        input.read(py, &hub, Pace::Fetching);
        Ok(Self { hub, job, input, is_ordered, fails_fast, progress: None })
    }

    /// The same with a display of how far it is.
    pub(super) fn shown_by(self, display: Option<Py<PyAny>>) -> Self {
        Self { progress: display.map(Progress::new), ..self }
    }

    /// Drops what has not begun; what runs can see that it is not wanted.
    pub(super) fn cancel(&self) {
        self.job.cancel();
        self.input.end(&self.hub);
    }

    fn take_next(&self) -> Option<PyResult<Py<PyAny>>> {
        let mut state = self.job.state();
        let turn = state.fetched;
        let at = state.pieces.iter().position(|piece| self.is_next(piece, turn))?;
        state.fetched += 1;
        state.pieces.remove(at).map(|piece| piece.1)
    }

    /// Whether a result can be taken, or there will be none.
    fn is_there(&self) -> bool {
        let state = self.job.state();
        state.total.is_some_and(|total| state.fetched >= total)
            || state.pieces.iter().any(|piece| self.is_next(piece, state.fetched))
    }

    fn is_next(&self, piece: &(usize, PyResult<Py<PyAny>>), turn: usize) -> bool {
        !self.is_ordered || piece.0 == turn || (self.fails_fast && piece.1.is_err())
    }

    /// Whether the threads have little left to do while the next result is not there.
    fn is_short(&self) -> bool {
        let state = self.job.state();
        let held = state.submitted - state.fetched;
        state.total.is_none()
            && !self.input.is_read.load(Ordering::Relaxed)
            && 2 * (held - state.pieces.len()) <= self.input.window
            && held < self.input.most_held
    }

    pub(super) fn next_within(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.input.read(py, &self.hub, Pace::Fetching);
        let deadline = crate::interrupt::timeout(timeout).map(Deadline::after);
        loop {
            let left = deadline.map(Deadline::remaining);
            let look = self.progress.as_ref().map(|_| LOOK_EVERY);
            let timeout = left.into_iter().chain(look).min();
            let is_over =
                self.hub.wait_until(py, timeout, || self.is_there() || self.is_short())?;
            if let Some(progress) = &self.progress {
                progress.show(py, || self.job.counts());
            }
            if !is_over {
                if deadline.is_some_and(Deadline::has_passed) {
                    return Err(crate::pool::timed_out(py));
                }
                continue;
            }
            if self.is_there() {
                break;
            }
            self.input.read(py, &self.hub, Pace::Waiting);
        }
        self.take_next().unwrap_or_else(|| {
            if let Some(progress) = &self.progress {
                progress.end(py, || self.job.counts());
            }
            Err(PyStopIteration::new_err(()))
        })
    }
}

#[pymethods]
impl ThreadIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.next_within(py, None)
    }

    /// Reads no more input.
    fn stop(&self) {
        self.input.end(&self.hub);
    }

    /// How many tasks were sent, and how many of them have ended.
    fn counts(&self) -> (usize, usize) {
        let state = self.job.state();
        (state.submitted, state.fetched + state.pieces.len())
    }

    /// The next result; `TimeoutError` if it is not there after `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.next_within(py, timeout)
    }
}
