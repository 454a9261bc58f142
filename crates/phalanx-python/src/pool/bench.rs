//! A worker's place in a pool, as its process holds it.

use std::rc::Rc;
use std::sync::Arc;

use phalanx::pool::Bench;
use phalanx::sync::RawLock;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::output::share_output;
use super::owner::family;
use super::random::begin_worker;
use super::wire::{Kind, ResultLabel};
use super::worker::Worker;
use crate::codec::encode;
use crate::message::{out_of_memory, outgoing};
use crate::once::intern;
use crate::types::shared::create_error;

/// A worker's place in a pool. Given to the worker's process when it is started.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct WorkerBench {
    bench: Bench,
    /// Held while lines are written to a descriptor that the pool's workers share.
    output: Arc<RawLock>,
}

impl WorkerBench {
    pub(super) fn new(bench: Bench, output: Arc<RawLock>) -> Self {
        Self { bench, output }
    }
}

/// What `WorkerBench::_at` takes.
type Address = (u64, u64, u64, u64, u64);

#[pymethods]
impl WorkerBench {
    /// The bench behind an address, in a process that was started with it.
    #[staticmethod]
    fn _at(board: u64, tasks: u64, mailbox: u64, seat: u64, output: u64) -> PyResult<Self> {
        let bench = Bench::at(family()?, [board, tasks, mailbox, seat])
            .map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
        let output = RawLock::from_offset(output).map_err(create_error)?;
        Ok(Self { bench, output: Arc::new(output) })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Address)> {
        let Self { bench, output } = slf.get();
        let Some(place) = phalanx::process::spawning_slot() else {
            return Err(PyRuntimeError::new_err(
                "a worker's bench can only be passed to the worker's process when it is started",
            ));
        };
        bench.hold_for(place);
        let [a, b, c, d] = bench.address();
        Ok((slf.get_type().getattr("_at")?, (a, b, c, d, output.share())))
    }

    /// Works until the pool closes, for `max_tasks` tasks, or until there has been nothing to do for
    /// `idle` seconds.
    #[pyo3(signature = (initializer=None, initargs=None, max_tasks=None, idle=None))]
    fn run(
        &self,
        py: Python<'_>,
        initializer: Option<Bound<'_, PyAny>>,
        initargs: Option<Bound<'_, PyTuple>>,
        max_tasks: Option<u64>,
        idle: Option<f64>,
    ) -> PyResult<()> {
        // What a forked worker inherited is not looked at by its collector, hence not copied for it. The
        // module is there already: see `Owner::hire`.
        py.import(intern!(py, "gc"))?.call_method0(intern!(py, "freeze"))?;
        share_output(py, &self.output)?;
        let mut worker = Worker::new(&self.bench, crate::interrupt::timeout(idle))?;
        begin_worker(py);
        if let Some(initializer) = initializer {
            let args = initargs.unwrap_or_else(|| PyTuple::empty(py));
            if let Err(error) = initializer.call1(args) {
                worker.refuse(py, &error)?;
                return Err(error);
            }
        }
        worker.ready()?;
        let (bench, job) = (self.bench.clone(), worker.running_job());
        let is_cancelled = Rc::new(move || bench.is_cancelled(job.get()));
        phalanx::task::watching(is_cancelled, || worker.work(py, max_tasks.unwrap_or(u64::MAX)))?;
        self.bench.leave();
        Ok(())
    }

    /// Sends a log record to the pool's owner. For the thread that holds the interpreter: it must not
    /// come between the parts of a result.
    fn log(&self, py: Python<'_>, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let label = ResultLabel { job: 0, first: 0, kind: Kind::Log, count: 0 };
        let mut frame = Vec::new();
        let payloads = encode(py, record, &mut frame)?;
        let body = outgoing(py, family()?, &frame, &payloads)?;
        self.bench.announce(&label.pack(), body, &mut Vec::new()).map_err(out_of_memory)
    }
}
