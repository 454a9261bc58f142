//! Results as an iterator: `imap`, `imap_unordered`.
//!
//! A stream reads its input only a little ahead of what has been fetched, so an endless input is
//! as good as a short one and memory stays bounded.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyGenericAlias, PyType};

use super::answer::Piece;
use super::core::PoolCore;
use super::input::{Drive, Input, Pace, Stream};
use super::job::{Callbacks, Job};
use super::job_state::State;
use super::owner::{Owner, locked};
use super::wire::Mode;
use crate::once::intern;

/// What came of waiting for a result.
pub(super) enum Fetched {
    Result(Piece),
    TimedOut,
    Over,
}

/// The results of `Pool.imap` or `Pool.imap_unordered`, in the order of the tasks or as they come.
#[pyclass(frozen, subclass, weakref, module = "phalanx.pool")]
pub(crate) struct IMapIterator {
    owner: Arc<Owner>,
    pub(super) stream: Arc<Stream>,
    is_ordered: bool,
    /// An error is fetched as soon as it is there.
    fails_fast: bool,
    /// Results that arrived before their turn, by distance from the next one.
    early: Mutex<VecDeque<Option<Piece>>>,
}

/// The results of `Pool.imap_unordered`, as they come.
#[pyclass(frozen, subclass, extends = IMapIterator, module = "phalanx.pool")]
pub(crate) struct IMapUnorderedIterator;

impl IMapUnorderedIterator {
    fn over(results: IMapIterator) -> PyClassInitializer<Self> {
        PyClassInitializer::from(results).add_subclass(Self)
    }
}

#[pymethods]
impl IMapUnorderedIterator {
    /// An iterator of a pool's whose tasks are still to be given to it: by `_begin`.
    #[new]
    fn new(py: Python<'_>, pool: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(Self::over(IMapIterator::new(py, pool, false)?))
    }
}

impl IMapIterator {
    /// The object that programs get.
    pub(super) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        if self.is_ordered {
            Bound::new(py, self)
        } else {
            Bound::new(py, IMapUnorderedIterator::over(self)).map(Bound::into_super)
        }
    }

    pub(super) fn start(
        py: Python<'_>,
        owner: Arc<Owner>,
        job: Arc<Job>,
        input: Input,
        chunksize: Option<usize>,
        is_ordered: bool,
        window: Option<usize>,
    ) -> Self {
        let drive = Drive::Fetching;
        let iterator = Self::over(owner, job, Some(input), chunksize, is_ordered, window, drive);
        iterator.stream.feed(py, &iterator.owner, Pace::Fetching);
        iterator
    }

    /// All results in order, of calls that are sent as `drive` says.
    pub(super) fn of_executor(
        py: Python<'_>,
        owner: Arc<Owner>,
        job: Arc<Job>,
        input: Input,
        chunksize: Option<usize>,
        window: Option<usize>,
        drive: Drive,
    ) -> Self {
        let iterator = Self::over(owner, job, Some(input), chunksize, true, window, drive);
        iterator.stream.feed(py, &iterator.owner, Pace::Fetching);
        iterator
    }

    /// The results of calls that the items describe, each a function with its arguments. `ahead`
    /// limits how many batches may be ahead of the results that were fetched.
    #[expect(clippy::too_many_arguments, reason = "what a stream is")]
    pub(super) fn of_calls(
        py: Python<'_>,
        owner: Arc<Owner>,
        job: Arc<Job>,
        input: Input,
        chunksize: Option<usize>,
        is_ordered: bool,
        ahead: Option<usize>,
        keeps_all: bool,
    ) -> Self {
        let stream = Arc::new(Stream {
            job,
            may_be_endless: input.may_be_endless,
            input: Mutex::new(Some(input.iterator)),
            is_feeding: AtomicBool::new(false),
            chunksize: chunksize.filter(|size| *size > 1),
            window: ahead,
            drive: Drive::Fetching,
            watch: Mutex::default(),
            is_closing: AtomicBool::new(false),
            of_calls: true,
            keeps_all,
            before: owner.crew.work_done(),
        });
        locked(&owner.streams).push(Arc::clone(&stream));
        let iterator =
            Self { owner, stream, is_ordered, fails_fast: true, early: Mutex::default() };
        iterator.stream.feed(py, &iterator.owner, Pace::Fetching);
        iterator
    }

    fn over(
        owner: Arc<Owner>,
        job: Arc<Job>,
        input: Option<Input>,
        chunksize: Option<usize>,
        is_ordered: bool,
        window: Option<usize>,
        drive: Drive,
    ) -> Self {
        let stream = Arc::new(Stream {
            job,
            may_be_endless: input.as_ref().is_some_and(|input| input.may_be_endless),
            input: Mutex::new(input.map(|input| input.iterator)),
            is_feeding: AtomicBool::new(false),
            chunksize: chunksize.filter(|size| *size > 1),
            window,
            drive,
            watch: Mutex::default(),
            is_closing: AtomicBool::new(false),
            of_calls: false,
            keeps_all: false,
            before: (0, 0),
        });
        stream.job.state().is_stream = true;
        locked(&owner.streams).push(Arc::clone(&stream));
        Self { owner, stream, is_ordered, fails_fast: false, early: Mutex::default() }
    }

    /// The next result, if it is there.
    fn take_next(&self) -> Option<Piece> {
        let mut state = self.stream.job.state();
        if !self.is_ordered {
            let piece = state.pieces.pop_front().or_else(|| state.take_last())?;
            state.fetched += 1;
            return Some(piece);
        }
        let mut early = locked(&self.early);
        while let Some(piece) = state.pieces.pop_front() {
            if self.fails_fast && piece.answer.is_error() {
                state.fetched += 1;
                return Some(piece);
            }
            let place = (piece.first - state.fetched) as usize;
            if place == 0 && early.front().is_none_or(Option::is_none) {
                early.pop_front();
                state.fetched += 1;
                return Some(piece);
            }
            if early.len() <= place {
                early.resize_with(place + 1, || None);
            }
            early[place] = Some(piece);
        }
        if early.front().is_some_and(Option::is_some) {
            state.fetched += 1;
            return early.pop_front().flatten();
        }
        let last = state.take_last()?;
        state.fetched += 1;
        drop(state);
        let rubbish = std::mem::take(&mut *early);
        drop(early);
        drop(rubbish);
        Some(last)
    }

    /// How many tasks were sent, and how many of them were answered.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.stream.job.state();
        (state.submitted, state.answered)
    }

    pub(super) fn is_over(&self) -> bool {
        let state = self.stream.job.state();
        state.total.is_some_and(|total| state.fetched >= total)
    }

    fn feed(&self, py: Python<'_>, pace: Pace) {
        let pace = self.stream.pace(pace);
        let ahead = |state: &State| match pace {
            Pace::Fetching => state.submitted - state.fetched,
            _ => state.submitted - state.answered,
        };
        let is_low = {
            let state = self.stream.job.state();
            state.total.is_none() && ahead(&state) * 2 <= state.window_hint.max(2)
        };
        if is_low {
            self.stream.feed(py, &self.owner, pace);
            let mut state = self.stream.job.state();
            state.window_hint = ahead(&state);
        }
    }

    fn next_within(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        match self.fetch(py, crate::interrupt::timeout(timeout))? {
            Fetched::Result(piece) => piece.answer.decode(py),
            Fetched::TimedOut => Err(super::results::timed_out(py)),
            Fetched::Over => Err(PyStopIteration::new_err(())),
        }
    }

    /// The next result as it arrived, waiting for it.
    pub(super) fn fetch(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Fetched> {
        self.feed(py, Pace::Fetching);
        self.stream.job.show_progress(py);
        let mut next = self.take_next();
        if next.is_none() {
            let arrived = self.owner.wait_until(py, timeout, |py| {
                self.stream.job.show_progress(py);
                next = self.take_next();
                if next.is_none() {
                    self.feed(py, Pace::Waiting);
                    next = self.take_next();
                }
                next.is_some() || self.is_over()
            })?;
            if !arrived {
                return Ok(Fetched::TimedOut);
            }
        }
        if next.is_none() {
            self.stream.job.end_progress(py);
        }
        Ok(next.map_or(Fetched::Over, Fetched::Result))
    }
}

#[pymethods]
impl IMapIterator {
    /// An iterator of a pool's whose tasks are still to be given to it: by `_begin`.
    #[new]
    #[pyo3(signature = (pool, ordered=true))]
    fn new(py: Python<'_>, pool: &Bound<'_, PyAny>, ordered: bool) -> PyResult<Self> {
        let core = pool.getattr(intern!(py, "_core"))?;
        let owner = core.cast::<PoolCore>()?.get().owner();
        let function = py.import("phalanx.pool")?.getattr("_run_task")?;
        let job = owner.open(py, &function, Mode::Each, false, Callbacks::default(), None)?;
        Ok(Self::over(owner, job, None, None, ordered, None, Drive::Fetching))
    }

    /// The class with a parameter, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls.as_any(), item)
    }

    /// Gives it tasks, as a sequence of what the function takes.
    fn _begin(&self, py: Python<'_>, tasks: &Bound<'_, PyAny>) -> PyResult<()> {
        *locked(&self.stream.input) = Some(tasks.try_iter()?.unbind().into_any());
        self.stream.feed(py, &self.owner, Pace::Fetching);
        self.owner.crew.pass_on();
        Ok(())
    }

    #[getter]
    fn _job(&self) -> u64 {
        self.stream.job.id
    }

    /// What tells an iterator of the standard library how many results there will be; this one
    /// finds out by itself.
    fn _set_length(&self, _length: usize) {}

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.next_within(py, None)
    }

    /// The next result; `TimeoutError` if it is not there after `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.next_within(py, timeout)
    }
}
