//! Streams of calls, each with a function of its own: what `phalanx.Parallel` sends.
//!
//! Neighbours that call the same function travel as one batch, so that a generator of a million small
//! calls costs what `imap` costs; a stream of all sorts of functions travels one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use phalanx_shm::object::{Bytes, Shared};
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answer::{Answer, Piece};
use super::core::PoolCore;
use super::input::Input;
use super::job::{Callbacks, Job};
use super::owner::Owner;
use super::random::Seeds;
use super::sending::name_of;
use super::sharing::Sharing;
use super::stream::{Fetched, IMapIterator};
use super::wire::Mode;
use crate::codec::Main;
use crate::reading::{Reader, Watch};

/// What the tasks of one batch call.
///
/// Functions of `__main__` go by value: workers stay from call to call, and what the program defines
/// anew in between must not be what they still have under the name.
pub(super) struct Call {
    pub(super) function: Arc<Shared<Bytes>>,
    pub(super) mode: Mode,
    pub(super) name: String,
}

/// One item of a stream of calls.
struct Item<'py> {
    function: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwds: Option<Bound<'py, PyDict>>,
}

impl<'py> Item<'py> {
    fn of(item: &Bound<'py, PyAny>) -> PyResult<Self> {
        let wrong = || {
            let kind = item.get_type();
            let name = kind.name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!(
                "a task of Parallel is `delayed(function)(arguments...)`, not an object of type {name}"
            ))
        };
        let parts = match item.cast::<PyTuple>() {
            Ok(parts) => parts.clone(),
            Err(_) => item
                .try_iter()
                .and_then(|i| i.collect::<PyResult<Vec<_>>>())
                .map_or_else(|_| Err(wrong()), |parts| PyTuple::new(item.py(), parts))?,
        };
        if parts.len() != 3 {
            return Err(wrong());
        }
        let args = parts.get_borrowed_item(1)?;
        let args = match args.cast::<PyTuple>() {
            Ok(args) => args.to_owned(),
            Err(_) => PyTuple::new(item.py(), args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        };
        let kwds = parts.get_item(2)?.cast_into::<PyDict>().map_err(|_| wrong())?;
        let kwds = (!kwds.is_empty()).then_some(kwds);
        Ok(Self { function: parts.get_item(0)?, args, kwds })
    }

    /// Whether it may travel with another.
    fn suits(&self, other: &Self) -> bool {
        self.function.is(&other.function) && self.kwds.is_some() == other.kwds.is_some()
    }

    fn task(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.kwds {
            None => Ok(self.args.into_any()),
            Some(kwds) => Ok(PyTuple::new(py, [self.args.into_any(), kwds.into_any()])?.into_any()),
        }
    }
}

impl Owner {
    /// Sends calls that follow those that were sent before, and counts them as submitted.
    pub(super) fn send_calls(&self, py: Python<'_>, job: &Arc<Job>, items: &[Bound<'_, PyAny>]) {
        let mut run: Vec<Item<'_>> = Vec::with_capacity(items.len());
        for item in items {
            match Item::of(item) {
                Ok(item) => {
                    if run.last().is_some_and(|last| !last.suits(&item)) {
                        self.send_run(py, job, std::mem::take(&mut run));
                    }
                    run.push(item);
                }
                Err(error) => {
                    self.send_run(py, job, std::mem::take(&mut run));
                    self.refuse(py, job, 1, &error);
                }
            }
        }
        self.send_run(py, job, run);
    }

    fn send_run(&self, py: Python<'_>, job: &Arc<Job>, run: Vec<Item<'_>>) {
        let Some(first) = run.first() else { return };
        let count = run.len();
        let mode = if first.kwds.is_some() { Mode::StarKeywords } else { Mode::Star };
        let name = name_of(&first.function);
        let prepared =
            self.function(py, &first.function, Some(Main::ByValue)).and_then(|function| {
                let tasks =
                    run.into_iter().map(|item| item.task(py)).collect::<PyResult<Vec<_>>>()?;
                Ok((Arc::new(Call { function, mode, name }), PyList::new(py, tasks)?))
            });
        match prepared {
            Ok((call, tasks)) => {
                let first = submit(job, count);
                self.send_calling(py, job, Some(&call), first, &tasks, 0..count, true);
            }
            Err(error) => self.refuse(py, job, count, &error),
        }
    }

    /// Answers calls that cannot be sent.
    fn refuse(&self, py: Python<'_>, job: &Arc<Job>, count: usize, error: &PyErr) {
        let first = submit(job, count);
        for first in first..first + count as u64 {
            let answer = Answer::Raised(error.clone_ref(py));
            self.settle(job, Piece { first, count: 1, answer });
        }
    }
}

/// Counts tasks as submitted; returns the number of the first.
fn submit(job: &Job, count: usize) -> u64 {
    let mut state = job.state();
    let first = state.submitted;
    state.submitted += count as u64;
    first
}

/// The results of a stream of calls, `(function, args, kwargs)` each, run by a pool's workers.
///
/// The first error ends it: it is raised as soon as it arrives, whatever is in front of it.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct CallStream {
    results: IMapIterator,
    owner: Arc<Owner>,
    is_over: AtomicBool,
}

impl CallStream {
    fn fetch(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        if self.is_over.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let fetched = self.results.fetch(py, crate::interrupt::timeout(timeout));
        let outcome = match fetched {
            Ok(Fetched::Result(piece)) => piece.answer.decode(py).map(Some),
            Ok(Fetched::Over) => Ok(None),
            Ok(Fetched::TimedOut) => Err(super::results::timed_out(py)),
            Err(error) => Err(error),
        };
        if !matches!(outcome, Ok(Some(_))) {
            self.stop(py);
        }
        outcome
    }
}

#[pymethods]
impl CallStream {
    /// Begins to send the calls of an iterable: in batches of `batch_size`, or as many together as
    /// suit what they cost; at most `ahead` batches before their results are fetched. With
    /// `keeps_all` any number of results may lie waiting for an earlier one. `seeds` is where their
    /// random numbers come from, `progress` a display of how far they are.
    #[new]
    #[pyo3(signature = (
        core, calls, batch_size=None, ordered=true, ahead=None, sharing=None, seeds=None,
        progress=None, keeps_all=false
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        core: &Bound<'_, PoolCore>,
        calls: &Bound<'_, PyAny>,
        batch_size: Option<usize>,
        ordered: bool,
        ahead: Option<usize>,
        sharing: Option<&Bound<'_, Sharing>>,
        seeds: Option<Py<Seeds>>,
        progress: Option<Py<PyAny>>,
        keeps_all: bool,
    ) -> PyResult<Self> {
        let owner = core.get().owner();
        owner.check_running(py)?;
        let input = Input::of(calls)?;
        let name = "a call".to_owned();
        let id = owner.next_job.fetch_add(1, Ordering::Relaxed);
        let mut job = Job::new(id, Mode::Star, false, name, None, Callbacks::default())
            .with_sharing(sharing.map(|sharing| sharing.get().handle()));
        job.seed = owner.seed_of_call(seeds.as_ref())?;
        let job = owner.enter(job, None);
        job.report_to(progress);
        let results = IMapIterator::of_calls(
            py,
            Arc::clone(&owner),
            job,
            input,
            batch_size,
            ordered,
            ahead,
            keeps_all,
        );
        Ok(Self { results, owner, is_over: AtomicBool::new(false) })
    }

    /// All results as a list; each may take `timeout` seconds to arrive.
    #[pyo3(signature = (timeout=None))]
    fn collect<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyList>> {
        let mut watch = self.results.stream.may_be_endless.then(Watch::new);
        let mut values = Vec::new();
        while let Some(value) = self.fetch(py, timeout)? {
            values.push(value);
            if let Some(watch) = &mut watch {
                watch.check(py, values.len() as u64, Reader::Parallel)?;
            }
        }
        PyList::new(py, values)
    }

    /// The next result; `TimeoutError` if it is not there after `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.fetch(py, timeout)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.next(py, None)
    }

    /// Reads no more input and drops what no worker has begun.
    fn stop(&self, py: Python<'_>) {
        // A forked child has a copy of everything, its locks as they were.
        if !self.is_over.swap(true, Ordering::AcqRel) && self.owner.is_mine() {
            let error = pyo3::exceptions::PyRuntimeError::new_err("the call was stopped");
            if !self.results.is_over() {
                self.owner.crew.discard_queued();
            }
            self.results.stream.end_progress(py);
            self.results.stream.abandon(py, &self.owner, &error);
        }
    }

    /// How many tasks were sent, and how many of them have ended.
    fn counts(&self) -> (u64, u64) {
        self.results.counts()
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        // What is left of a generator that nobody reads to its end.
        Python::try_attach(|py| self.stop(py));
    }
}

/// Captures the arguments of a call: `delayed(f)(*args, **kwargs)` is `(f, args, kwargs)`.
///
/// It has the attributes of the function that it was made from.
#[pyclass(frozen, dict, weakref, name = "delayed", module = "phalanx.parallel")]
pub(crate) struct Delayed {
    #[pyo3(get, name = "__wrapped__")]
    function: Py<PyAny>,
}

#[pymethods]
impl Delayed {
    #[new]
    fn new(function: Py<PyAny>) -> Self {
        Self { function }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> (Py<PyAny>, Bound<'py, PyTuple>, Bound<'py, PyDict>) {
        let kwargs = kwargs.unwrap_or_else(|| PyDict::new(py));
        (self.function.clone_ref(py), args, kwargs)
    }

    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        self.function.getattr(py, name)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Py<PyAny>,))> {
        let py = slf.py();
        Ok((slf.get_type().into_any(), (slf.get().function.clone_ref(py),)))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("delayed({})", self.function.bind(py).repr()?))
    }
}
