//! The loop of a worker process.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use phalanx::message::Arrived;
use phalanx::pool::{Bench, Leased, Span};
use phalanx_shm::family::Family;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::sync::Deadline;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::calling::call_task;
use super::output::write_lines;
use super::owner::family;
use super::publishing::unsendable;
use super::random::Streams;
use super::shared::decode_stashed;
use super::wire::{CANCELLABLE, CONDEMNABLE, Kind, LEAVE, Mode, ResultLabel, SEED_AT, STASHED};
use crate::codec::FunctionCache;
use crate::message::{damaged, object};

/// A worker at work.
pub(super) struct Worker<'a> {
    pub(super) bench: &'a Bench,
    pub(super) family: &'static Family,
    functions: FunctionCache,
    /// How long it stays without work.
    idle: Option<Duration>,
    /// The batch as it was taken.
    batch: Vec<u8>,
    /// A result being encoded.
    pub(super) frame: Vec<u8>,
    pub(super) scratch: Vec<u8>,
    /// The tasks of the batch are passed over once their job is cancelled.
    is_cancellable: bool,
    /// The job whose tasks are running, for those who ask whether it was cancelled.
    job: Rc<Cell<u64>>,
    /// Random numbers for the tasks of the call that was last served, if it has a seed.
    streams: Option<Rc<Streams>>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(bench: &'a Bench, idle: Option<Duration>) -> PyResult<Self> {
        Ok(Self {
            bench,
            family: family()?,
            functions: FunctionCache::default(),
            idle,
            batch: Vec::new(),
            frame: Vec::new(),
            scratch: Vec::new(),
            is_cancellable: false,
            job: Rc::default(),
            streams: None,
        })
    }

    /// Which job's tasks are running.
    pub(super) fn running_job(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.job)
    }

    /// Works until the pool closes or has nothing to do for too long, or for so many tasks.
    pub(super) fn work(&mut self, py: Python<'_>, most: u64) -> PyResult<()> {
        let mut left = most;
        while left > 0 {
            let Some(batch) = self.next(py)? else { break };
            if batch.tag[1] & LEAVE != 0 {
                self.skip(batch.span, 0)?;
                self.bench.done(0, 0);
                break;
            }
            left = left.saturating_sub(self.run(py, batch)?);
        }
        Ok(())
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
        self.is_cancellable = batch.tag[1] & (CONDEMNABLE | CANCELLABLE) != 0;
        if self.is_cancellable && self.bench.is_cancelled(span.job) {
            self.skip(span, 0)?;
            self.bench.done(0, 0);
            return Ok(0);
        }
        if is_condemnable {
            self.bench.begin_at(began);
        }
        self.job.set(span.job);
        let seed_at = batch.tag[1] >> SEED_AT;
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
        let streams = if seed_at == 0 { Ok(None) } else { self.streams(py, seed_at).map(Some) };
        let (streams, function) = match streams {
            Ok(streams) => (streams, function),
            Err(error) => (None, Err(error)),
        };
        let streams = streams.as_deref();
        match (function, tasks) {
            (Ok(function), Ok(tasks)) => {
                let (function, tasks) = (function.bind(py), tasks.bind(py));
                match mode {
                    Mode::Each | Mode::Star | Mode::StarKeywords => {
                        let list = tasks.cast::<PyList>()?;
                        if together {
                            self.run_together(py, span, function, list, mode, streams)?;
                        } else {
                            self.run_singly(py, span, function, list, mode, streams)?;
                        }
                    }
                    Mode::Apply | Mode::ApplyKeywords => {
                        let value = begin(py, streams, span.first)
                            .and_then(|()| call_task(mode, function, tasks));
                        write_lines(py)?;
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
                self.call_unreadable(span)?;
            }
            (Err(error), _) | (_, Err(error)) => self.fail_all(py, span, together, &error)?,
        }
        if seed_at != 0 {
            Streams::end();
        }
        let took = Deadline::now().as_nanos() - began;
        self.bench.done(took, u64::from(span.count));
        Ok(if together { 1 } else { u64::from(span.count) })
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

    /// The random numbers of the call whose seed lies there.
    fn streams(&mut self, py: Python<'_>, offset: u64) -> PyResult<Rc<Streams>> {
        self.scratch.clear();
        let _ = self.bench.function(offset, &mut self.scratch, |_| true);
        if let Some(streams) = self.streams.as_ref().filter(|known| known.are_of(&self.scratch)) {
            return Ok(Rc::clone(streams));
        }
        let streams = Rc::new(Streams::of(py, &self.scratch)?);
        self.streams = Some(Rc::clone(&streams));
        Ok(streams)
    }

    fn run_singly(
        &mut self,
        py: Python<'_>,
        span: Span,
        function: &Bound<'_, PyAny>,
        tasks: &Bound<'_, PyList>,
        mode: Mode,
        streams: Option<&Streams>,
    ) -> PyResult<()> {
        for (index, task) in tasks.iter().enumerate() {
            if self.is_cancellable && self.bench.is_cancelled(span.job) {
                return self.skip(span, index as u32);
            }
            if span.count > 1 {
                self.bench.begin();
            }
            let value = begin(py, streams, span.first + index as u64)
                .and_then(|()| call_task(mode, function, &task));
            write_lines(py)?;
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
        streams: Option<&Streams>,
    ) -> PyResult<()> {
        for index in 0..tasks.len() {
            if span.count > 1 {
                self.bench.begin();
            }
            let task = tasks.get_item(index)?;
            let value = begin(py, streams, span.first + index as u64)
                .and_then(|()| call_task(mode, function, &task));
            self.bench.finish();
            match value {
                // In the place of its task, whose memory is used again while it is warm.
                Ok(value) => tasks.set_item(index, value)?,
                Err(error) => {
                    write_lines(py)?;
                    return self.fail_all(py, span, true, &error);
                }
            }
        }
        write_lines(py)?;
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
}

/// Sets the random numbers of a task, if its call has a seed.
#[inline]
fn begin(py: Python<'_>, streams: Option<&Streams>, task: u64) -> PyResult<()> {
    streams.map_or(Ok(()), |streams| streams.begin(py, task))
}
