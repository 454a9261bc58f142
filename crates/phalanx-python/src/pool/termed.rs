//! Calls of a pool on terms of their own: time limits, retries, priorities.
//!
//! They go the way of an executor's calls, each a task of its own; a thread of the pool's, started with the
//! first of them, looks after them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::executor::{Engine, Work};
use super::future::{FutureBase, Tally};
use super::job::Callbacks;
use super::options::Terms;
use super::owner::locked;
use super::progress::{self, Progress};
use super::random::Seeds;
use super::results::{ApplyResult, MapResult, Pending};
use super::sending::name_of;
use super::sharing::Sharing;
use super::termed_stream::TermedIterator;
use super::wire::Mode;
use crate::reading::{Reader, read_all};

/// A pool as those see it whose calls have the same terms.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct TermedPool {
    engine: Arc<Engine>,
    terms: Terms,
}

impl TermedPool {
    pub(super) fn new(engine: Arc<Engine>, terms: Terms) -> Self {
        Self { engine, terms }
    }
}

/// The arguments of a call for an item.
pub(super) fn arguments<'py>(item: Bound<'py, PyAny>, star: bool) -> PyResult<Bound<'py, PyTuple>> {
    if !star {
        return PyTuple::new(item.py(), [item]);
    }
    match item.cast_into::<PyTuple>() {
        Ok(args) => Ok(args),
        Err(error) => {
            let item = error.into_inner();
            PyTuple::new(item.py(), item.try_iter()?.collect::<PyResult<Vec<_>>>()?)
        }
    }
}

/// The arguments of a call for each item.
fn tasks_of<'py>(iterable: &Bound<'py, PyAny>, star: bool) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let items = read_all(iterable, Reader::Map)?;
    items.iter().map(|item| Ok(arguments(item, star)?.into_any())).collect()
}

/// Calls that are waited for together.
struct Calls {
    tally: Arc<Tally>,
    futures: Vec<Py<FutureBase>>,
    name: String,
    /// There is one, whose result is not in a list.
    is_single: bool,
    /// The results, once somebody has asked.
    values: Mutex<Option<Py<PyAny>>>,
}

impl Calls {
    /// Begins a call for each of the tasks, all in a mode.
    fn begin<'py>(
        pool: &TermedPool,
        function: &Bound<'py, PyAny>,
        mode: Mode,
        tasks: Vec<Bound<'py, PyAny>>,
        is_single: bool,
        callbacks: Callbacks,
    ) -> PyResult<Arc<Self>> {
        let py = function.py();
        let engine = &pool.engine;
        let _moving = engine.moving();
        engine.owner.check_running(py)?;
        // What is told of the end has to know the calls, which have to know where that is told.
        let whole: Arc<Mutex<Option<Arc<Self>>>> = Arc::default();
        let told = Arc::clone(&whole);
        let last = move |py: Python<'_>| {
            let calls = locked(&told).take();
            if let Some(calls) = calls {
                calls.call_back(py, &callbacks);
            }
        };
        let tally = Arc::new(Tally::of(tasks.len(), Some(Box::new(last))));
        let futures: Vec<_> =
            tasks.iter().map(|_| FutureBase::noted(py, engine, &tally)).collect::<PyResult<_>>()?;
        let (name, values) = (name_of(function), Mutex::default());
        let calls = Arc::new(Self { tally, futures, name, is_single, values });
        *locked(&whole) = Some(Arc::clone(&calls));
        let seeds = engine.owner.seeds_of_tasks(py);
        for (task, future) in tasks.into_iter().zip(&calls.futures) {
            let function = function.clone().unbind();
            let work = Work::new(function, task.unbind(), mode, pool.terms, future.clone_ref(py));
            let seed = seeds.next_task(&engine.owner.crew)?;
            engine.submit(py, work.seeded(seed));
        }
        calls.tally.end_if_empty(py);
        Ok(calls)
    }

    fn call_back(&self, py: Python<'_>, callbacks: &Callbacks) {
        if callbacks.is_empty() {
            return;
        }
        callbacks.tell(py, self.outcome(py).map_err(|error| error.into_value(py).into_any()));
    }

    /// Waits for all, and shows meanwhile how far they are.
    fn wait_showing(&self, py: Python<'_>, progress: &Progress) -> PyResult<()> {
        let counts = || {
            let (ended, failed) = self.tally.counts();
            (ended, failed, Some(self.futures.len() as u64))
        };
        let waited = loop {
            progress.show(py, counts);
            match self.tally.wait(py, Some(progress::EVERY), || self.tally.is_over()) {
                Ok(false) => {}
                waited => break waited,
            }
        };
        progress.end(py, counts);
        waited.map(drop)
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(values) = &*locked(&self.values) {
            return Ok(values.clone_ref(py));
        }
        let made = self.gather(py)?;
        Ok(locked(&self.values).get_or_insert_with(|| made.clone_ref(py)).clone_ref(py))
    }

    fn gather(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut values = Vec::with_capacity(self.futures.len());
        for future in &self.futures {
            values.push(value_of(py, future)?);
        }
        if self.is_single
            && let Some(value) = values.pop()
        {
            return Ok(value);
        }
        Ok(PyList::new(py, values)?.unbind().into_any())
    }
}

/// What the call of a future that is done returned, or the error that it raised.
pub(super) fn value_of(py: Python<'_>, future: &Py<FutureBase>) -> PyResult<Py<PyAny>> {
    future.get().outcome(py)?.map_err(|error| PyErr::from_value(error.into_bound(py)))
}

impl Pending for Arc<Calls> {
    fn is_ready(&self, _py: Python<'_>) -> PyResult<bool> {
        Ok(self.tally.is_over())
    }

    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<bool> {
        self.tally.wait(py, timeout, || self.tally.is_over())
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        (**self).outcome(py)
    }

    fn cancel(&self, py: Python<'_>, running: bool) -> PyResult<bool> {
        let mut any = false;
        // The last first: what is cancelled makes way for those before it.
        for future in self.futures.iter().rev().map(|future| future.bind(py)) {
            any |= !future.get().is_done() && FutureBase::cancel(future, running)?;
        }
        Ok(any)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What others refer to as well is not this object's to tell of.
        if Arc::strong_count(self) > 1 {
            return Ok(());
        }
        // A lock that is held is none of the collector's.
        if let Ok(values) = self.values.try_lock() {
            visit.call(&*values)?;
        }
        self.futures.iter().try_for_each(|future| visit.call(future))
    }

    fn clear(&self) {
        let values = locked(&self.values).take();
        drop(values);
    }
}

#[pymethods]
impl TermedPool {
    /// Sends one call.
    #[pyo3(signature = (function, args, kwds, callback=None, error_callback=None))]
    fn apply<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        args: Bound<'py, PyAny>,
        kwds: Option<Bound<'py, PyDict>>,
        callback: Option<Py<PyAny>>,
        error_callback: Option<Py<PyAny>>,
    ) -> PyResult<ApplyResult> {
        let args = arguments(args, true)?.into_any();
        let (mode, task) = match kwds.filter(|kwds| !kwds.is_empty()) {
            None => (Mode::Apply, args),
            Some(kwds) => {
                let task = PyTuple::new(function.py(), [args, kwds.into_any()])?;
                (Mode::ApplyKeywords, task.into_any())
            }
        };
        let callbacks = Callbacks { value: callback, error: error_callback };
        let calls = Calls::begin(self, function, mode, vec![task], true, callbacks)?;
        Ok(ApplyResult::new(Box::new(calls)))
    }

    /// Sends a call for each item of an iterable, results together.
    #[pyo3(signature = (function, iterable, star, callback=None, error_callback=None))]
    fn map<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        iterable: &Bound<'py, PyAny>,
        star: bool,
        callback: Option<Py<PyAny>>,
        error_callback: Option<Py<PyAny>>,
    ) -> PyResult<MapResult> {
        let tasks = tasks_of(iterable, star)?;
        let callbacks = Callbacks { value: callback, error: error_callback };
        let calls = Calls::begin(self, function, Mode::Apply, tasks, false, callbacks)?;
        Ok(MapResult::new(Box::new(calls)))
    }

    /// The same, waiting for the results.
    #[pyo3(signature = (function, iterable, star, progress=None))]
    fn map_and_wait(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        star: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let tasks = tasks_of(iterable, star)?;
        let callbacks = Callbacks::default();
        let calls = Calls::begin(self, function, Mode::Apply, tasks, false, callbacks)?;
        match progress.map(Progress::new) {
            Some(progress) => calls.wait_showing(py, &progress)?,
            None => drop(Pending::wait(&calls, py, None)?),
        }
        calls.outcome(py)
    }

    /// Sends a call for each item of an iterable, as results are fetched: at most `window` are ahead.
    #[pyo3(signature = (function, iterable, ordered=true, window=None, progress=None))]
    fn imap(
        &self,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<TermedIterator> {
        self.engine.owner.check_running(function.py())?;
        let (engine, terms) = (&self.engine, self.terms);
        TermedIterator::of_pool(engine, terms, function, iterable, ordered, window, progress)
    }

    /// Sends the calls of an iterable, `(function, args, kwargs)` each, as results are fetched.
    #[pyo3(signature = (calls, ordered=true, window=None, sharing=None, seeds=None, progress=None))]
    #[allow(clippy::too_many_arguments)]
    fn calls(
        &self,
        calls: &Bound<'_, PyAny>,
        ordered: bool,
        window: Option<usize>,
        sharing: Option<&Bound<'_, Sharing>>,
        seeds: Option<Py<Seeds>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<TermedIterator> {
        self.engine.owner.check_running(calls.py())?;
        let sharing = sharing.map(|sharing| sharing.get().handle());
        let (engine, terms, seeds) = (&self.engine, self.terms, seeds.as_ref());
        TermedIterator::of_calls(engine, terms, calls, ordered, window, sharing, seeds, progress)
    }
}
