//! The class behind `phalanx.pool.Pool`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use phalanx::pool::pacer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::executor::{Engine, ExecutorService};
use super::input::Input;
use super::job::{Callbacks, Job};
use super::options::{CallOptions, breaks};
use super::owner::{Owner, locked};
use super::random::Seeds;
use super::results::{ApplyResult, InProcesses, MapResult};
use super::shared::SharedArguments;
use super::stream::IMapIterator;
use super::termed::TermedPool;
use super::wire::Mode;

/// The most tasks of a `map` in a batch: enough to make a batch's overhead vanish, and so few that
/// the objects of a batch and of its results stay in a processor's cache, and weigh little in
/// each worker. Two thousand numbers fit into a chunk of 16 KiB.
const MOST_TOGETHER: usize = 1000;

/// A pool of worker processes, as its owner holds it.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct PoolCore {
    owner: Arc<Owner>,
    /// What looks after calls on terms of their own, once there were any.
    engine: OnceLock<Arc<Engine>>,
}

impl PoolCore {
    pub(super) fn owner(&self) -> Arc<Owner> {
        Arc::clone(&self.owner)
    }

    fn open_map(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyList>,
        star: bool,
        chunksize: Option<usize>,
        callbacks: Callbacks,
    ) -> PyResult<Arc<Job>> {
        let mode = if star { Mode::Star } else { Mode::Each };
        let total = items.len();
        let job = self.owner.open(py, function, mode, true, callbacks, Some(total as u64))?;
        *locked(&job.shared) = SharedArguments::of(items);
        job.state().unsent = match chunksize {
            Some(size) => pacer::even(total, size).collect(),
            None => pacer::guided_up_to(MOST_TOGETHER, total, self.owner.seats).collect(),
        };
        Ok(job)
    }
}

#[pymethods]
impl PoolCore {
    /// A pool with `seats` workers, each started by `start(bench)`.
    #[new]
    #[pyo3(signature = (seats, start, seeds=None, on_worker_death="isolate"))]
    fn new(
        py: Python<'_>,
        seats: usize,
        start: Py<PyAny>,
        seeds: Option<Py<Seeds>>,
        on_worker_death: &str,
    ) -> PyResult<Self> {
        let owner = Owner::new(seats, start, breaks(on_worker_death)?)?.seeded(seeds);
        let seats = owner.seats;
        let core = Self { owner: Arc::new(owner), engine: OnceLock::new() };
        for seat in 0..seats {
            if let Err(error) = core.owner.hire(py, seat) {
                super::death::dismiss(&core.owner, py)?;
                return Err(error);
            }
        }
        Ok(core)
    }

    /// Sends one call.
    #[pyo3(signature = (function, args, kwds, callback=None, error_callback=None))]
    fn apply(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyAny>,
        kwds: Option<&Bound<'_, PyDict>>,
        callback: Option<Py<PyAny>>,
        error_callback: Option<Py<PyAny>>,
    ) -> PyResult<ApplyResult> {
        let callbacks = Callbacks { value: callback, error: error_callback };
        let args = match args.cast::<PyTuple>() {
            Ok(args) => args.clone(),
            Err(_) => PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        };
        let (mode, task) = match kwds.filter(|kwds| !kwds.is_empty()) {
            None => (Mode::Apply, args.into_any()),
            Some(kwds) => {
                let task = PyTuple::new(py, [args.into_any(), kwds.clone().into_any()])?;
                (Mode::ApplyKeywords, task.into_any())
            }
        };
        let job = self.owner.open(py, function, mode, false, callbacks, Some(1))?;
        self.owner.send(py, &job, 0, &PyList::new(py, [task])?, 0..1, true);
        Ok(ApplyResult::new(Box::new(InProcesses { owner: self.owner(), job })))
    }

    /// Sends a call for each item of a list, results together.
    #[pyo3(signature = (function, items, star, chunksize=None, callback=None, error_callback=None))]
    #[allow(clippy::too_many_arguments)]
    fn map(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyList>,
        star: bool,
        chunksize: Option<usize>,
        callback: Option<Py<PyAny>>,
        error_callback: Option<Py<PyAny>>,
    ) -> PyResult<MapResult> {
        let callbacks = Callbacks { value: callback, error: error_callback };
        let job = self.open_map(py, function, items, star, chunksize, callbacks)?;
        let batches = std::mem::take(&mut job.state().unsent);
        for (first, count) in batches {
            self.owner.send(py, &job, first as u64, items, first..first + count, true);
        }
        Ok(MapResult::new(Box::new(InProcesses { owner: self.owner(), job })))
    }

    /// The same, waiting for the results: batches are sent as workers need them, and results
    /// decoded as they come, so that neither piles up.
    #[pyo3(signature = (function, items, star, chunksize=None, progress=None))]
    fn map_and_wait(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyList>,
        star: bool,
        chunksize: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let owner = &self.owner;
        let job = self.open_map(py, function, items, star, chunksize, Callbacks::default())?;
        job.report_to(progress);
        // The workers have something to do meanwhile, and in the hole that the last call's list
        // has left in the heap this one fits as long as nothing else lies there.
        owner.send_more(py, &job, items);
        job.prepare_values(py)?;
        let mut decoded = Ok(());
        owner.wait_until(py, None, |py| {
            owner.send_more(py, &job, items);
            if decoded.is_ok() {
                decoded = job.decode_early(py);
            }
            job.show_progress(py);
            job.is_done()
        })?;
        job.end_progress(py);
        decoded?;
        job.outcome(py)
    }

    /// Sends a call for each item of an iterable, as results are fetched.
    #[pyo3(signature = (
        function, iterable, chunksize=None, ordered=true, window=None, progress=None, seeds=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn imap<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        chunksize: Option<usize>,
        ordered: bool,
        window: Option<usize>,
        progress: Option<Py<PyAny>>,
        seeds: Option<Py<Seeds>>,
    ) -> PyResult<Bound<'py, IMapIterator>> {
        let callbacks = Callbacks::default();
        let owner = &self.owner;
        let job =
            owner.open_seeded(py, function, Mode::Each, false, callbacks, None, seeds.as_ref())?;
        job.report_to(progress);
        let input = Input::of(iterable)?;
        let owner = Arc::clone(&self.owner);
        IMapIterator::start(py, owner, job, input, chunksize, ordered, window).into_object(py)
    }

    /// The first result to arrive that `test` is true for, in a tuple; nothing if there is none. Then
    /// what has not begun is not run any more.
    #[pyo3(signature = (function, iterable, test, chunksize=None))]
    fn search(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        test: &Bound<'_, PyAny>,
        chunksize: Option<usize>,
    ) -> PyResult<Option<(Py<PyAny>,)>> {
        super::search::search(py, &self.owner, function, iterable, test, chunksize)
    }

    /// The pool for calls on terms of their own; and what a thread is to run for them, the first time.
    fn on_terms(
        &self,
        py: Python<'_>,
        options: &Bound<'_, CallOptions>,
    ) -> PyResult<(TermedPool, Option<ExecutorService>)> {
        self.owner.check_running(py)?;
        let mut service = None;
        let engine = self.engine.get_or_init(|| {
            let engine = Arc::new(Engine::of_pool(self.owner()));
            service = Some(ExecutorService::new(Arc::clone(&engine)));
            engine
        });
        Ok((TermedPool::new(Arc::clone(engine), options.get().terms()), service))
    }

    /// No more calls.
    fn close(&self, py: Python<'_>) {
        if let Some(engine) = self.engine.get() {
            engine.close_of_pool(py);
        }
        self.owner.closed.store(true, Ordering::SeqCst);
        if self.owner.is_watched.swap(false, Ordering::SeqCst) {
            *locked(&self.owner.with_callbacks) -= 1;
        }
        self.owner.close_if_done();
        self.owner.wake_callbacks();
        self.owner.crew.pass_on();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.owner.closed.load(Ordering::Relaxed)
    }

    /// Waits until everything that was sent is done and the workers have left.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        let owner = &self.owner;
        owner.wait_until(py, None, |py| {
            if owner.terminated.load(Ordering::Relaxed) {
                return true;
            }
            owner.finish_sending(py);
            locked(&owner.processes).iter().all(Option::is_none)
                && *locked(&owner.with_callbacks) == 0
                && owner.works.load(Ordering::SeqCst) == 0
        })?;
        super::death::join_all(owner, py)
    }

    /// Ends the workers at once; what was in progress fails.
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        let ended = super::death::terminate(&self.owner, py);
        if let Some(engine) = self.engine.get() {
            engine.end_of_pool();
        }
        ended
    }

    /// The worker processes.
    fn processes(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        locked(&self.owner.processes).iter().flatten().map(|p| p.clone_ref(py)).collect()
    }

    /// The numbers of the calls that are not done.
    fn unfinished(&self) -> Vec<u64> {
        locked(&self.owner.jobs).keys().copied().collect()
    }

    /// How many batches wait for a worker.
    fn queued(&self) -> usize {
        self.owner.crew.queued()
    }

    /// Takes in what has arrived and looks after the workers, without waiting.
    fn look(&self, py: Python<'_>) -> PyResult<()> {
        self.owner.collect(py);
        self.owner.look_after_workers(py).map(drop)
    }

    /// Has the thread for callbacks take in what arrives although no job has any: log records are to be
    /// handled also when nobody waits for a result.
    fn watch(&self) {
        if !self.owner.is_watched.swap(true, Ordering::SeqCst) {
            *locked(&self.owner.with_callbacks) += 1;
            self.owner.wake_callbacks();
        }
    }

    /// Calls callbacks as jobs end, until the pool is closed and none are left: the body of the
    /// pool's thread for callbacks.
    fn serve_callbacks(&self, py: Python<'_>) -> PyResult<()> {
        let owner = &self.owner;
        while py.detach(|| owner.wait_for_callbacks()) {
            let mut next = None;
            owner.wait_until(py, None, |_| {
                next = locked(&owner.callbacks).pop_front();
                next.is_some()
                    || owner.terminated.load(Ordering::Relaxed)
                    || *locked(&owner.with_callbacks) == 0
            })?;
            let Some(job) = next else { continue };
            super::results::call_back(py, &job);
            *locked(&owner.with_callbacks) -= 1;
            owner.crew.pass_on();
        }
        Ok(())
    }
}
