//! Results of calls on terms of their own as an iterator.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx::pool::pacer;
use phalanx_shm::sync::Deadline;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::executor::{Engine, Terms, Work};
use super::future::{FutureBase, Tally};
use super::owner::locked;
use super::random::{Seeds, SeedsOfTasks};
use super::termed::{arguments, value_of};
use super::wire::Mode;

/// How often somebody looks who waits for another thread to read the input.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the items that are read have to do with calls.
enum Callee {
    /// Each is the argument of this function.
    Function(Py<PyAny>),
    /// Each is the tuple of its arguments.
    Starred(Py<PyAny>),
    /// Each says itself what it calls: `(function, args, kwargs)`.
    OfEach,
}

impl Callee {
    /// The function that an item calls, what it is given, and how.
    fn call<'py>(
        &self,
        item: Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>, Mode)> {
        let py = item.py();
        let (function, star) = match self {
            Self::Function(function) => (function, false),
            Self::Starred(function) => (function, true),
            Self::OfEach => {
                let (function, args, kwargs): (
                    Bound<'py, PyAny>,
                    Bound<'py, PyAny>,
                    Bound<'py, PyAny>,
                ) = item.extract()?;
                let args = arguments(args, true)?.into_any();
                if kwargs.is_truthy()? {
                    let task = PyTuple::new(py, [args, kwargs])?.into_any();
                    return Ok((function, task, Mode::ApplyKeywords));
                }
                return Ok((function, args, Mode::Apply));
            }
        };
        Ok((function.bind(py).clone(), arguments(item, star)?.into_any(), Mode::Apply))
    }
}

/// What is read, and the calls that were begun for it.
pub(super) struct Feed {
    engine: Arc<Engine>,
    terms: Terms,
    calls: Callee,
    input: Mutex<Option<Py<PyAny>>>,
    is_feeding: AtomicBool,
    /// How many calls may be ahead of the results that were fetched; all, if it does not say.
    window: Option<usize>,
    reads_all: AtomicBool,
    tally: Arc<Tally>,
    seeds: SeedsOfTasks,
    /// How many calls were begun.
    begun: AtomicU64,
    /// In the order of the input, if that is the order of the results.
    pending: Option<Mutex<VecDeque<Py<FutureBase>>>>,
}

impl Feed {
    fn ahead(&self) -> usize {
        match &self.pending {
            Some(pending) => locked(pending).len(),
            None => self.tally.outstanding(),
        }
    }

    fn has_ended(&self) -> bool {
        locked(&self.input).is_none()
    }

    /// Reads all input that is left: the pool is about to close.
    pub(super) fn read_all(&self, py: Python<'_>) {
        self.reads_all.store(true, Ordering::SeqCst);
        self.feed(py);
    }

    fn has_room(&self) -> bool {
        self.reads_all.load(Ordering::SeqCst)
            || self.window.is_none_or(|window| self.ahead() < window)
    }

    /// Reads input and begins calls until there are enough.
    pub(super) fn feed(&self, py: Python<'_>) {
        if self.is_feeding.swap(true, Ordering::AcqRel) {
            return;
        }
        // From here on the pool does not come to its end; whether it has is looked at after that.
        let _moving = self.engine.moving();
        let input = locked(&self.input).as_ref().map(|input| input.clone_ref(py));
        if let Some(input) = input {
            let goes_on = self.read(input.bind(py));
            if !goes_on {
                self.end();
            }
        }
        self.is_feeding.store(false, Ordering::Release);
    }

    fn end(&self) {
        let ended = locked(&self.input).take();
        drop(ended);
    }

    /// Returns whether there may be more input.
    fn read(&self, input: &Bound<'_, PyAny>) -> bool {
        let py = input.py();
        let Ok(mut input) = input.try_iter() else { return false };
        while self.has_room() {
            let next = match self.engine.check_takes_more(py) {
                Err(error) => Err(error),
                Ok(()) => match input.next() {
                    None => return false,
                    Some(item) => item.and_then(|item| self.calls.call(item)),
                },
            };
            let Ok(future) = FutureBase::noted(py, &self.tally) else { return false };
            self.tally.add();
            self.begun.fetch_add(1, Ordering::Relaxed);
            if let Some(pending) = &self.pending {
                locked(pending).push_back(future.clone_ref(py));
            }
            let next = next.and_then(|call| {
                let seed = self.seeds.next_task(&self.engine.owner.crew)?;
                Ok((call, seed))
            });
            match next {
                Ok(((function, task, mode), seed)) => {
                    let (function, task) = (function.unbind(), task.unbind());
                    let work = Work::new(function, task, mode, self.terms, future);
                    self.engine.submit(py, work.seeded(seed));
                }
                Err(error) => {
                    // What the input raises, or the end of the pool, is the last result.
                    let error = Err(error.into_value(py).into_any());
                    let _ = FutureBase::finish(future.bind(py), error);
                    return false;
                }
            }
        }
        true
    }

    /// The next future whose result is there.
    fn take_next(&self) -> Option<Py<FutureBase>> {
        let Some(pending) = &self.pending else { return self.tally.take_arrived() };
        let mut pending = locked(pending);
        if pending.front()?.get().is_done() { pending.pop_front() } else { None }
    }

    /// Nobody wants the rest: what has not begun is not run.
    fn abandon(&self, py: Python<'_>) {
        self.end();
        let Some(pending) = &self.pending else { return };
        let rest = std::mem::take(&mut *locked(pending));
        for future in rest {
            let _ = FutureBase::cancel_if_pending(future.bind(py));
        }
    }
}

/// The results of calls on terms of their own, in the order of the input or as they come.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct TermedIterator {
    feed: Arc<Feed>,
    /// Of an executor: the first error is the end, and so is this time.
    is_of_executor: bool,
    deadline: Option<Deadline>,
    has_begun: AtomicBool,
    is_over: AtomicBool,
}

impl TermedIterator {
    pub(super) fn of_pool(
        engine: &Arc<Engine>,
        terms: Terms,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
    ) -> PyResult<Self> {
        let calls = Callee::Function(function.clone().unbind());
        let seeds = engine.owner.seeds_of_tasks(function.py());
        Self::begin(engine, terms, calls, seeds, iterable, ordered, window)
    }

    /// Of calls that each name their function.
    pub(super) fn of_calls(
        engine: &Arc<Engine>,
        terms: Terms,
        calls: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
        seeds: Option<&Py<Seeds>>,
    ) -> PyResult<Self> {
        let seeds = SeedsOfTasks::of_next_call(calls.py(), seeds);
        Self::begin(engine, terms, Callee::OfEach, seeds, calls, ordered, window)
    }

    fn begin(
        engine: &Arc<Engine>,
        terms: Terms,
        calls: Callee,
        seeds: SeedsOfTasks,
        iterable: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
    ) -> PyResult<Self> {
        let py = iterable.py();
        let window = window.unwrap_or_else(|| pacer::stream_window(1, engine.owner.staff.wanted()));
        let feed = Feed {
            engine: Arc::clone(engine),
            terms,
            calls,
            input: Mutex::new(Some(iterable.try_iter()?.unbind().into_any())),
            is_feeding: AtomicBool::new(false),
            window: Some(window),
            reads_all: AtomicBool::new(false),
            tally: Arc::new(Tally::of_stream(!ordered)),
            seeds,
            begun: AtomicU64::new(0),
            pending: ordered.then(Mutex::default),
        };
        let iterator = Self::over(feed, false, None);
        iterator.feed.feed(py);
        // A pool that is closed reads what is left.
        engine.remember(&iterator.feed);
        Ok(iterator)
    }

    pub(super) fn of_executor(
        engine: &Arc<Engine>,
        terms: Terms,
        function: &Bound<'_, PyAny>,
        calls: &Bound<'_, PyAny>,
        window: Option<usize>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let feed = Feed {
            engine: Arc::clone(engine),
            terms,
            calls: Callee::Starred(function.clone().unbind()),
            input: Mutex::new(Some(calls.try_iter()?.unbind().into_any())),
            is_feeding: AtomicBool::new(false),
            window,
            reads_all: AtomicBool::new(false),
            tally: Arc::new(Tally::of_stream(false)),
            seeds: engine.owner.seeds_of_tasks(function.py()),
            begun: AtomicU64::new(0),
            pending: Some(Mutex::default()),
        };
        let deadline = crate::interrupt::timeout(timeout).map(Deadline::after);
        let iterator = Self::over(feed, true, deadline);
        iterator.feed.feed(function.py());
        Ok(iterator)
    }

    fn over(feed: Feed, is_of_executor: bool, deadline: Option<Deadline>) -> Self {
        let (has_begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { feed: Arc::new(feed), is_of_executor, deadline, has_begun, is_over }
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
            let reads_elsewhere = feed.is_feeding.load(Ordering::Acquire);
            let patience = if reads_elsewhere {
                Some(left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY)))
            } else {
                left
            };
            let is_there = feed.tally.wait(py, patience, &mut look)?;
            if let Some(future) = next {
                return value_of(py, &future);
            }
            if is_there {
                return Err(PyStopIteration::new_err(()));
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(self.timed_out(py));
            }
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
        let values = PyList::empty(py);
        loop {
            match self.next(py, timeout) {
                Ok(value) => values.append(value)?,
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => return Ok(values),
                Err(error) => return Err(error),
            }
        }
    }

    /// How many tasks were sent, and how many of them have ended.
    fn counts(&self) -> (u64, u64) {
        let begun = self.feed.begun.load(Ordering::Relaxed);
        (begun, begun.saturating_sub(self.feed.tally.outstanding() as u64))
    }

    /// Fetches no more results. What has not begun is not run.
    fn stop(&self, py: Python<'_>) {
        self.close(py);
    }

    /// The same, by the name that generators have for it.
    fn close(&self, py: Python<'_>) {
        if !self.is_over.swap(true, Ordering::AcqRel) && self.feed.engine.owner.is_mine() {
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
