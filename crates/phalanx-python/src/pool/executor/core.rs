//! The class behind `phalanx.ProcessPoolExecutor`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::super::future::FutureBase;
use super::super::input::{Drive, Input};
use super::super::job::Callbacks;
use super::super::options::{CallOptions, Terms, breaks};
use super::super::owner::{DESK, Owner, locked};
use super::super::random::Seeds;
use super::super::staff::Staff;
use super::super::stream::IMapIterator;
use super::super::termed_stream::TermedIterator;
use super::super::wire::Mode;
use super::engine::{Engine, Stage};
use super::manners::Manners;
use super::map::ExecutorMap;
use super::service::ExecutorService;
use super::work::Work;

/// An executor of worker processes, as its owner holds it. Dropping it closes it.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct ExecutorCore {
    engine: Arc<Engine>,
    /// Somebody starts the thread, or has.
    is_served: AtomicBool,
}

#[pymethods]
impl ExecutorCore {
    /// An executor with `seats` workers, each started by `start(bench)`: all with the first call, or as
    /// calls come. `on_worker_death="break"` says that it does not outlive its first worker. With `wanted` there are only
    /// so many at present, and those that leave are replaced when there is work.
    #[new]
    #[pyo3(signature = (seats, start, on_demand=false, on_worker_death="isolate", seeds=None, wanted=None))]
    fn new(
        seats: usize,
        start: Py<PyAny>,
        on_demand: bool,
        on_worker_death: &str,
        seeds: Option<Py<Seeds>>,
        wanted: Option<usize>,
    ) -> PyResult<Self> {
        let staff = match wanted {
            None => Staff::fixed(seats),
            Some(wanted) => Staff::elastic(seats, wanted),
        };
        let manners = Manners::of_executor(breaks(on_worker_death)?);
        let owner = Owner::with(staff, seats, start, DESK, manners)?;
        let engine = Arc::new(Engine::new(Arc::new(owner.seeded(seeds)), on_demand));
        Ok(Self { engine, is_served: AtomicBool::new(false) })
    }

    /// Takes on a call; returns its future.
    #[pyo3(signature = (function, args, kwds=None, options=None))]
    fn submit(
        &self,
        py: Python<'_>,
        function: Py<PyAny>,
        args: Bound<'_, PyTuple>,
        kwds: Option<Bound<'_, PyDict>>,
        options: Option<&Bound<'_, CallOptions>>,
    ) -> PyResult<Py<FutureBase>> {
        let _moving = self.engine.moving();
        self.engine.check_open(py)?;
        self.engine.hire(py, 1)?;
        let (mode, task) = match kwds.filter(|kwds| !kwds.is_empty()) {
            None => (Mode::Apply, args.into_any()),
            Some(kwds) => {
                let task = PyTuple::new(py, [args.into_any(), kwds.into_any()])?;
                (Mode::ApplyKeywords, task.into_any())
            }
        };
        let terms = options.map_or_else(Terms::default, |options| options.get().terms());
        let future = FutureBase::of_call(py, &self.engine)?;
        let work = Work::new(function, task.unbind(), mode, terms, future.clone_ref(py));
        let seed = self.engine.owner.seed_of_call(None)?;
        self.engine.submit(py, work.seeded(seed));
        Ok(future)
    }

    /// An iterator of the results of a call for each item. All calls are sent, whether anybody fetches
    /// results or not, unless `buffersize` limits how many may be ahead of the results that were fetched;
    /// if `iterable` has no length, as long as there is memory.
    /// `goes_on`: there are results after one that is an error.
    #[pyo3(signature = (
        function, iterable, star, chunksize=1, buffersize=None, timeout=None, progress=None, goes_on=false
    ))]
    #[allow(clippy::too_many_arguments)]
    fn map(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        star: bool,
        chunksize: usize,
        buffersize: Option<usize>,
        timeout: Option<f64>,
        progress: Option<Py<PyAny>>,
        goes_on: bool,
    ) -> PyResult<ExecutorMap> {
        let _moving = self.engine.moving();
        self.engine.check_open(py)?;
        let input = Input::of(iterable)?;
        let (calls, drive) = match buffersize {
            Some(most) => (most, Drive::Fetching),
            None if input.may_be_endless => (usize::MAX / 2, Drive::within_limits()),
            None => (iterable.len()?.div_ceil(chunksize), Drive::Itself),
        };
        self.engine.hire(py, calls)?;
        let mode = if star { Mode::Star } else { Mode::Each };
        let owner = Arc::clone(&self.engine.owner);
        let job = owner.open(py, function, mode, false, Callbacks::default(), None)?;
        job.report_to(progress);
        self.engine.attend();
        let size = Some(chunksize);
        let results = IMapIterator::of_executor(py, owner, job, input, size, buffersize, drive);
        self.engine.wake();
        Ok(ExecutorMap::new(results, Arc::clone(&self.engine), timeout, goes_on))
    }

    /// The results of a call for each item, on terms of their own. `calls` are tuples of arguments.
    #[pyo3(signature = (function, calls, options, buffersize=None, timeout=None, progress=None))]
    #[allow(clippy::too_many_arguments)]
    fn map_on_terms(
        &self,
        function: &Bound<'_, PyAny>,
        calls: &Bound<'_, PyAny>,
        options: &Bound<'_, CallOptions>,
        buffersize: Option<usize>,
        timeout: Option<f64>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<TermedIterator> {
        let _moving = self.engine.moving();
        self.engine.check_open(function.py())?;
        self.engine.hire(function.py(), buffersize.unwrap_or(usize::MAX / 2))?;
        let terms = options.get().terms();
        TermedIterator::of_executor(
            &self.engine,
            terms,
            function,
            calls,
            buffersize,
            timeout,
            progress,
        )
    }

    /// What the executor's thread is to run.
    fn service(&self) -> ExecutorService {
        ExecutorService::new(Arc::clone(&self.engine))
    }

    /// From now on there are to be so many workers, at most as many as there are seats. Those that are
    /// too many leave when what was sent before is done.
    fn resize(&self, py: Python<'_>, wanted: usize) -> PyResult<()> {
        let _moving = self.engine.moving();
        self.engine.check_open(py)?;
        let seats = self.engine.owner.seats;
        if !(1..=seats).contains(&wanted) {
            return Err(PyValueError::new_err(format!(
                "cannot have {wanted} workers: this executor can have 1 to {seats}"
            )));
        }
        self.engine.resize(wanted)
    }

    /// Whether the thread has to be started, and by who asks: once, when there are workers.
    fn claim_thread(&self) -> bool {
        self.engine.has_hired() && !self.is_served.swap(true, Ordering::AcqRel)
    }

    /// No more calls; those that wait are done, or cancelled.
    #[pyo3(signature = (cancels=false))]
    fn close(&self, py: Python<'_>, cancels: bool) {
        self.engine.close(py, cancels);
    }

    /// Ends the workers now, with a method of theirs; what is in progress is broken off.
    fn end_workers(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        self.engine.check_mine()?;
        let processes = self.processes(py);
        if !processes.is_empty() {
            self.engine.owner.manners.break_from_now_on();
        }
        self.engine.close(py, true);
        for process in processes {
            process.call_method0(py, method)?;
        }
        Ok(())
    }

    /// The worker processes.
    fn processes(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        locked(&self.engine.owner.processes).iter().flatten().map(|p| p.clone_ref(py)).collect()
    }

    /// Why the executor cannot go on, if so.
    #[getter]
    fn broken(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        locked(&self.engine.owner.broken).as_ref().map(|error| error.clone_ref(py))
    }

    /// Whether there are no workers any more, and never will be.
    #[getter]
    fn is_over(&self) -> bool {
        self.engine.stage() == Stage::Over
    }
}

impl Drop for ExecutorCore {
    fn drop(&mut self) {
        Python::attach(|py| self.engine.close(py, false));
    }
}
