//! The loop of a worker process.

use std::sync::Mutex;
use std::time::Duration;

use phalanx::message::Arrived;
use phalanx::pool::{Bench, Leased, Span};
use phalanx_shm::family::Family;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::sync::Deadline;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::owner::family;
use super::shared::decode_stashed;
use super::wire::{CONDEMNABLE, Kind, LEAVE, Mode, ResultLabel, STASHED};
use crate::codec::{FunctionCache, encode, encode_exception};
use crate::message::{damaged, object, out_of_memory, outgoing};

/// A worker's place in a pool. Given to the worker's process when it is started.
#[pyclass(frozen, module = "phalanx._core")]
pub(crate) struct WorkerBench(Bench);

impl WorkerBench {
    pub(super) fn new(bench: Bench) -> Self {
        Self(bench)
    }
}

/// What `WorkerBench::_at` takes.
type Address = (u64, u64, u64, u64);

#[pymethods]
impl WorkerBench {
    /// The bench behind an address, in a process that was started with it.
    #[staticmethod]
    fn _at(board: u64, tasks: u64, mailbox: u64, seat: u64) -> PyResult<Self> {
        Bench::at(family()?, [board, tasks, mailbox, seat])
            .map(Self)
            .map_err(|e| PyRuntimeError::new_err(e.to_string()))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Address)> {
        let bench = &slf.get().0;
        let Some(place) = phalanx::process::spawning_slot() else {
            return Err(PyRuntimeError::new_err(
                "a worker's bench can only be passed to the worker's process when it is started",
            ));
        };
        bench.hold_for(place);
        let [a, b, c, d] = bench.address();
        Ok((slf.get_type().getattr("_at")?, (a, b, c, d)))
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
        let mut worker = Worker::new(&self.0, crate::interrupt::timeout(idle))?;
        if let Some(initializer) = initializer {
            let args = initargs.unwrap_or_else(|| PyTuple::empty(py));
            if let Err(error) = initializer.call1(args) {
                worker.refuse(py, &error)?;
                return Err(error);
            }
        }
        worker.ready()?;
        let mut left = max_tasks.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(batch) = worker.next(py)? else { break };
            if batch.tag[1] & LEAVE != 0 {
                worker.skip(batch.span)?;
                break;
            }
            left = left.saturating_sub(worker.run(py, batch)?);
        }
        self.0.leave();
        Ok(())
    }
}

struct Worker<'a> {
    bench: &'a Bench,
    family: &'static Family,
    functions: FunctionCache,
    /// How long it stays without work.
    idle: Option<Duration>,
    /// The batch as it was taken.
    batch: Vec<u8>,
    /// A result being encoded.
    frame: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(bench: &'a Bench, idle: Option<Duration>) -> PyResult<Self> {
        Ok(Self {
            bench,
            family: family()?,
            functions: FunctionCache::default(),
            idle,
            batch: Vec::new(),
            frame: Vec::new(),
            scratch: Vec::new(),
        })
    }

    fn ready(&mut self) -> PyResult<()> {
        let label = ResultLabel { job: 0, first: 0, kind: Kind::Ready, count: 0 };
        let nothing = phalanx::message::Outgoing::Inline(&[]);
        self.bench.announce(&label.pack(), nothing, &mut self.scratch).map_err(out_of_memory)
    }

    fn refuse(&mut self, py: Python<'_>, error: &PyErr) -> PyResult<()> {
        let label = ResultLabel { job: 0, first: 0, kind: Kind::Refused, count: 0 };
        self.publish_error(py, 0, label, error)
    }

    /// The next batch; nothing when the pool has closed, or there has been none for too long.
    fn next(&mut self, py: Python<'_>) -> PyResult<Option<Leased>> {
        // With work waiting there is no reason to let go of the interpreter.
        let at_once = self.bench.lease(&mut self.batch, &Patience::none(), &|| false);
        if let Ok(batch) = at_once {
            return Ok(batch);
        }
        let (bench, batch) = (self.bench, &mut self.batch);
        let deadline = self.idle.map(Deadline::after);
        py.detach(|| {
            let raised = Mutex::new(None);
            let interrupted = || {
                let error = Python::attach(|py| py.check_signals()).err();
                let stop = error.is_some();
                if let (true, Ok(mut raised)) = (stop, raised.lock()) {
                    *raised = error;
                }
                stop
            };
            loop {
                match bench.lease(batch, &Patience::until(deadline), &interrupted) {
                    Ok(leased) => return Ok(leased),
                    Err(GaveUp::TimedOut) if deadline.is_some() => return Ok(None),
                    Err(GaveUp::TimedOut | GaveUp::Interrupted) => {
                        if let Some(error) = raised.lock().ok().and_then(|mut r| r.take()) {
                            return Err(error);
                        }
                    }
                }
            }
        })
    }

    /// Runs a batch; returns for how many tasks it counts.
    fn run(&mut self, py: Python<'_>, batch: Leased) -> PyResult<u64> {
        let began = Deadline::now().as_nanos();
        let span = batch.span;
        let (mode, together) = Mode::from_flags(batch.tag[1]);
        let is_single = span.count == 1;
        let is_condemnable = batch.tag[1] & CONDEMNABLE != 0;
        if is_condemnable {
            if self.bench.is_cancelled(span.job) {
                return self.skip(span);
            }
            self.bench.begin_at(began);
        }
        if is_single {
            // What kills a worker when it is read is the task's doing as well.
            self.bench.begin();
        }
        let function = self.function(py, batch.tag[0]);
        let bytes = std::mem::take(&mut self.batch);
        let body = bytes.get(Leased::BODY..).unwrap_or(&[]);
        let tasks = if batch.tag[1] & STASHED == 0 {
            object(py, body, batch.parcel)
        } else {
            self.stashed(py, body, batch.parcel)
        };
        self.batch = bytes;
        match (function, tasks) {
            (Ok(function), Ok(tasks)) => {
                let (function, tasks) = (function.bind(py), tasks.bind(py));
                match mode {
                    Mode::Each | Mode::Star | Mode::StarKeywords => {
                        let list = tasks.cast::<PyList>()?;
                        if together {
                            self.run_together(py, span, function, list, mode)?;
                        } else {
                            self.run_singly(py, span, function, list, mode)?;
                        }
                    }
                    Mode::Apply | Mode::ApplyKeywords => {
                        let value = if mode == Mode::Apply {
                            call_star(function, tasks)
                        } else {
                            call_keywords(function, tasks)
                        };
                        if is_condemnable {
                            // From here on it is too late to end it.
                            self.bench.finish_in_time();
                            self.publish_own(py, span, value)?;
                        } else {
                            self.publish_one(py, span, 0, value)?;
                            self.bench.finish();
                        }
                    }
                }
            }
            (Ok(_), Err(_)) if span.count > 1 && !together => {
                // One of them is the culprit; the others shall not suffer.
                let label = ResultLabel {
                    job: span.job,
                    first: span.first,
                    kind: Kind::Unreadable,
                    count: span.count,
                };
                let nothing = phalanx::message::Outgoing::Inline(&[]);
                self.bench
                    .publish(span.count, &label.pack(), nothing, &mut self.scratch)
                    .map_err(out_of_memory)?;
            }
            (Err(error), _) | (_, Err(error)) => self.fail_all(py, span, together, &error)?,
        }
        let took = Deadline::now().as_nanos() - began;
        self.bench.done(took, u64::from(span.count));
        Ok(if together { 1 } else { u64::from(span.count) })
    }

    /// Passes over a task that nobody wants any more.
    fn skip(&mut self, span: Span) -> PyResult<u64> {
        let Span { job, first, count } = span;
        let label = ResultLabel { job, first, kind: Kind::Skipped, count };
        let nothing = phalanx::message::Outgoing::Inline(&[]);
        self.bench
            .publish(count, &label.pack(), nothing, &mut self.scratch)
            .map_err(out_of_memory)?;
        self.bench.done(0, 0);
        Ok(0)
    }

    /// The tasks of a batch whose buffers are shared with others.
    fn stashed(&self, py: Python<'_>, body: &[u8], parcel: Option<Arrived>) -> PyResult<Py<PyAny>> {
        let Some(parcel) = parcel else {
            return decode_stashed(py, self.family, body);
        };
        let mut frame = Vec::new();
        parcel.read_frame(&mut frame).map_err(damaged)?;
        decode_stashed(py, self.family, &frame)
    }

    fn function(&mut self, py: Python<'_>, offset: u64) -> PyResult<Py<PyAny>> {
        let mut known = None;
        let mut lookup = Ok(());
        let functions = &mut self.functions;
        self.scratch.clear();
        let found = self.bench.function(offset, &mut self.scratch, |id| {
            match functions.get(py, id) {
                Ok(function) => known = function,
                Err(error) => lookup = Err(error),
            }
            known.is_none()
        });
        lookup?;
        match (found, known) {
            (Some(_), Some(function)) => Ok(function),
            (Some(_), None) => self.functions.resolve(py, &self.scratch),
            (None, _) => {
                Err(PyValueError::new_err("the task's function is gone from shared memory"))
            }
        }
    }

    fn run_singly(
        &mut self,
        py: Python<'_>,
        span: Span,
        function: &Bound<'_, PyAny>,
        tasks: &Bound<'_, PyList>,
        mode: Mode,
    ) -> PyResult<()> {
        for (index, task) in tasks.iter().enumerate() {
            if span.count > 1 {
                self.bench.begin();
            }
            let value = call_task(mode, function, &task);
            self.publish_one(py, span, index as u64, value)?;
            self.bench.finish();
        }
        Ok(())
    }

    fn run_together(
        &mut self,
        py: Python<'_>,
        span: Span,
        function: &Bound<'_, PyAny>,
        tasks: &Bound<'_, PyList>,
        mode: Mode,
    ) -> PyResult<()> {
        for index in 0..tasks.len() {
            if span.count > 1 {
                self.bench.begin();
            }
            let task = tasks.get_item(index)?;
            let value = call_task(mode, function, &task);
            self.bench.finish();
            match value {
                // In the place of its task, whose memory is used again while it is warm.
                Ok(value) => tasks.set_item(index, value)?,
                Err(error) => return self.fail_all(py, span, true, &error),
            }
        }
        let values = tasks;
        let label =
            ResultLabel { job: span.job, first: span.first, kind: Kind::Values, count: span.count };
        match self.publish_value(py, span.count, label, values) {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = unsendable(py, &error, values);
                self.fail_all(py, span, true, &error)
            }
        }
    }

    fn publish_one(
        &mut self,
        py: Python<'_>,
        span: Span,
        index: u64,
        value: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let first = span.first + index;
        let settles = index as u32 + 1;
        let label = ResultLabel { job: span.job, first, kind: Kind::Value, count: 1 };
        let error = match value {
            Ok(value) => match self.publish_value(py, settles, label, &value) {
                Ok(()) => return Ok(()),
                Err(error) => unsendable(py, &error, &value),
            },
            Err(error) => error,
        };
        self.publish_error(py, settles, ResultLabel { kind: Kind::Error, ..label }, &error)
    }

    /// Publishes the outcome of an executor's call; a value that cannot be sent is the call's error.
    fn publish_own(
        &mut self,
        py: Python<'_>,
        span: Span,
        value: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let label = ResultLabel { job: span.job, first: span.first, kind: Kind::Value, count: 1 };
        let sent = value.and_then(|value| self.publish_value(py, 1, label, &value));
        let Err(error) = sent else { return Ok(()) };
        self.publish_error(py, 1, ResultLabel { kind: Kind::Error, ..label }, &error)
    }

    fn publish_value(
        &mut self,
        py: Python<'_>,
        settles: u32,
        label: ResultLabel,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.frame.clear();
        let payloads = encode(py, value, &mut self.frame)?;
        let body = outgoing(py, self.family, &self.frame, &payloads)?;
        self.bench.publish(settles, &label.pack(), body, &mut self.scratch).map_err(out_of_memory)
    }

    fn publish_error(
        &mut self,
        py: Python<'_>,
        settles: u32,
        label: ResultLabel,
        error: &PyErr,
    ) -> PyResult<()> {
        self.frame.clear();
        // `into_value` ties the traceback to the exception.
        let value = error.clone_ref(py).into_value(py);
        encode_exception(py, value.bind(py).as_any(), &mut self.frame);
        let body = outgoing(py, self.family, &self.frame, &Vec::new())?;
        self.bench.publish(settles, &label.pack(), body, &mut self.scratch).map_err(out_of_memory)
    }

    fn fail_all(
        &mut self,
        py: Python<'_>,
        span: Span,
        together: bool,
        error: &PyErr,
    ) -> PyResult<()> {
        let Span { job, first, count } = span;
        if together {
            let label = ResultLabel { job, first, kind: Kind::BatchError, count };
            return self.publish_error(py, count, label, error);
        }
        for index in 0..count {
            let first = first + u64::from(index);
            let label = ResultLabel { job, first, kind: Kind::Error, count: 1 };
            self.publish_error(py, index + 1, label, error)?;
        }
        Ok(())
    }
}

/// Calls the function with a task of a batch of that mode.
pub(crate) fn call_task<'py>(
    mode: Mode,
    function: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match mode {
        Mode::Each => function.call1((task,)),
        Mode::Star | Mode::Apply => call_star(function, task),
        Mode::ApplyKeywords | Mode::StarKeywords => call_keywords(function, task),
    }
}

fn call_star<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match args.cast::<PyTuple>() {
        Ok(args) => function.call1(args),
        Err(_) => {
            let args: Vec<Bound<'py, PyAny>> = args.try_iter()?.collect::<PyResult<_>>()?;
            function.call1(PyTuple::new(function.py(), args)?)
        }
    }
}

fn call_keywords<'py>(
    function: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (args, kwds): (Bound<'py, PyTuple>, Bound<'py, PyDict>) = task.extract()?;
    function.call(args, Some(&kwds))
}

/// The error of a value that cannot be sent back.
fn unsendable(py: Python<'_>, error: &PyErr, value: &Bound<'_, PyAny>) -> PyErr {
    let make = || -> PyResult<Bound<'_, PyAny>> {
        let class = py.import("phalanx.errors")?.getattr("MaybeEncodingError")?;
        class.call1((error.value(py), value))
    };
    make().map_or_else(|e| e, PyErr::from_value)
}
