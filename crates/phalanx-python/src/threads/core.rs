//! The class behind `phalanx.pool.ThreadPool`: the same methods as those of a pool of processes.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use phalanx::pool::pacer;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::hub::{Batch, Hub};
use super::job::{Job, Shape};
use super::stream::{LOOK_EVERY, Pace, ThreadIterator};
use crate::ffi::call_in_thread;
use crate::pool::{ApplyResult, Callbacks, MapResult, Mode, Pending, Progress};

/// A pool of threads, as its owner holds it.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct ThreadCore {
    hub: Arc<Hub>,
    seats: usize,
    threads: Mutex<Vec<Py<PyAny>>>,
}

impl ThreadCore {
    fn open(
        &self,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        shape: Shape,
        callbacks: Callbacks,
        total: Option<usize>,
    ) -> PyResult<Arc<Job>> {
        let py = function.py();
        let job = Job::new(Arc::clone(&self.hub), function, mode, shape, callbacks, total);
        self.hub.open(py, &job)?;
        Ok(job)
    }
}

impl ThreadCore {
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
        let job = self.open(function, mode, Shape::List, callbacks, Some(total))?;
        if total == 0 {
            job.finish(py);
        }
        let size = chunksize.unwrap_or_else(|| total.div_ceil(4 * self.seats.max(1)));
        let tasks: Vec<Py<PyAny>> = items.iter().map(Bound::unbind).collect();
        let mut tasks = tasks.into_iter();
        for (first, count) in pacer::even(total, size) {
            let tasks = tasks.by_ref().take(count).collect();
            self.hub.put(Batch { job: Arc::clone(&job), first, tasks });
        }
        Ok(job)
    }
}

#[pymethods]
impl ThreadCore {
    /// A pool with `seats` threads, each started by `start(bench)`.
    #[new]
    fn new(py: Python<'_>, seats: usize, start: &Bound<'_, PyAny>) -> PyResult<Self> {
        let hub = Arc::<Hub>::default();
        let mut threads = Vec::new();
        for _ in 0..seats {
            match start.call1((ThreadBench(Arc::clone(&hub)),)) {
                Ok(thread) => threads.push(thread.unbind()),
                Err(error) => {
                    hub.terminate(py);
                    return Err(error);
                }
            }
        }
        Ok(Self { hub, seats, threads: Mutex::new(threads) })
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
        let args = match args.cast::<PyTuple>() {
            Ok(args) => args.clone(),
            Err(_) => PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        };
        let (mode, task) = match kwds.filter(|kwds| !kwds.is_empty()) {
            None => (Mode::Apply, args),
            Some(kwds) => {
                (Mode::ApplyKeywords, PyTuple::new(py, [args.into_any(), kwds.clone().into_any()])?)
            }
        };
        let callbacks = Callbacks { value: callback, error: error_callback };
        let job = self.open(function, mode, Shape::Single, callbacks, Some(1))?;
        let tasks = vec![task.into_any().unbind()];
        self.hub.put(Batch { job: Arc::clone(&job), first: 0, tasks });
        Ok(ApplyResult::new(Box::new(job)))
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
        Ok(MapResult::new(Box::new(job)))
    }

    /// The same, waiting for the results.
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
        let callbacks = Callbacks::default();
        let job = self.open_map(py, function, items, star, chunksize, callbacks)?;
        let progress = progress.map(Progress::new);
        let look = progress.as_ref().map(|_| LOOK_EVERY);
        while !job.wait(py, look)? {
            if let Some(progress) = &progress {
                progress.show(py, || job.counts());
            }
        }
        if let Some(progress) = &progress {
            progress.end(py, || job.counts());
        }
        job.outcome(py)
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
        let results =
            self.imap(py, function, iterable, chunksize, false, None, false, false, None)?;
        let look = || -> PyResult<(Py<PyAny>,)> {
            loop {
                let value = results.next_within(py, None)?;
                if test.call1((value.bind(py),))?.is_truthy()? {
                    return Ok((value,));
                }
            }
        };
        let found = look();
        results.cancel();
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a call for each item of an iterable, as results are fetched.
    #[pyo3(signature = (function, iterable, chunksize=None, ordered=true, window=None, fails_fast=false, keeps_all=false, progress=None))]
    #[allow(clippy::too_many_arguments)]
    fn imap(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        chunksize: Option<usize>,
        ordered: bool,
        window: Option<usize>,
        fails_fast: bool,
        keeps_all: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<ThreadIterator> {
        let job = self.open(function, Mode::Each, Shape::Stream, Callbacks::default(), None)?;
        let size = chunksize.unwrap_or(1).max(1);
        let window = window.unwrap_or_else(|| pacer::stream_window(size, self.seats));
        let results =
            ThreadIterator::start(py, job, iterable, size, window, ordered, fails_fast, keeps_all)?;
        Ok(results.shown_by(progress))
    }

    /// No more calls.
    fn close(&self) {
        self.hub.close();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.hub.state().closed
    }

    /// Waits until everything that was sent is done and the threads have left. After `terminate`
    /// there is nothing to wait for: a task that runs cannot be ended, and may run for ever.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let Some(input) = self.hub.state().inputs.first().cloned() else { break };
            input.read(py, &self.hub, Pace::Closing);
            self.hub.wait_until(py, None, || input.wants_reading())?;
        }
        if self.hub.state().terminated {
            return Ok(());
        }
        for thread in self.processes(py) {
            thread.call_method0(py, "join")?;
        }
        Ok(())
    }

    /// No more tasks. Those in progress are not interrupted: threads cannot be.
    fn terminate(&self, py: Python<'_>) {
        self.hub.terminate(py);
    }

    /// The threads.
    fn processes(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().map(|thread| thread.clone_ref(py)).collect()
    }

    /// The calls that are not done, numbered.
    fn unfinished(&self) -> Vec<u64> {
        // None of these may be the last to go while the lock is held.
        let jobs: Vec<_> = self.hub.state().jobs.iter().filter_map(Weak::upgrade).collect();
        (0..).zip(jobs.iter().filter(|job| !job.is_over())).map(|(number, _)| number).collect()
    }

    /// How many batches wait for a thread.
    fn queued(&self) -> usize {
        self.hub.state().batches.len()
    }

    /// Threads need nobody to look after them.
    fn look(&self) {}
}

/// The place in a pool at which a thread works.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct ThreadBench(Arc<Hub>);

#[pymethods]
impl ThreadBench {
    /// Works until the pool closes.
    #[pyo3(signature = (initializer=None, initargs=None, max_tasks=None))]
    fn run(
        &self,
        py: Python<'_>,
        initializer: Option<Bound<'_, PyAny>>,
        initargs: Option<Bound<'_, PyTuple>>,
        max_tasks: Option<u64>,
    ) {
        // Threads leak nothing that replacing them would give back.
        let _ = max_tasks;
        let args = initargs.unwrap_or_else(|| PyTuple::empty(py));
        if let Some(Err(error)) = initializer.map(|begin| call_in_thread(&begin, &args, None)) {
            self.0.break_down(py, error);
            return;
        }
        while let Some(batch) = self.0.take(py) {
            let job = Arc::clone(&batch.job);
            let is_cancelled = Rc::new(move || job.is_cancelled());
            phalanx::task::watching(is_cancelled, || {
                batch.job.run(py, batch.first, batch.tasks);
            });
        }
    }
}
