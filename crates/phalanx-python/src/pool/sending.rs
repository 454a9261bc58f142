//! Calls on their way to the workers.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use phalanx::message::Outgoing;
use phalanx::pool::Span;
use phalanx_shm::object::{Bytes, Shared};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::answer::{Answer, Piece};
use super::calls::Call;
use super::death::was_terminated;
use super::executor::Work;
use super::job::{Callbacks, Job};
use super::owner::{Owner, locked};
use super::random::Seeds;
use super::sent::Batch;
use super::wire::{LEAVE, Mode, STASHED};
use crate::codec::{Main, OutOfBand, encode, encode_part, sharing, ship};
use crate::message::{out_of_memory, outgoing, with_scratch};

/// Functions kept in shared memory although no call in progress uses them.
const FUNCTIONS_KEPT: usize = 64;
/// Batches of a `map` that are on their way at a time, for each worker.
const BATCHES_AHEAD: usize = 3;

impl Owner {
    pub(super) fn function(
        &self,
        py: Python<'_>,
        callable: &Bound<'_, PyAny>,
        main: Option<Main>,
    ) -> PyResult<Arc<Shared<Bytes>>> {
        let shipped = ship(py, callable, main)?;
        let mut functions = locked(&self.functions);
        if let Some(kept) = functions.get(&shipped.id) {
            return Ok(Arc::clone(kept));
        }
        if functions.len() >= FUNCTIONS_KEPT {
            functions.retain(|_, kept| Arc::strong_count(kept) > 1);
        }
        let kept = Arc::new(self.crew.keep(shipped.id, &shipped.bytes).map_err(out_of_memory)?);
        functions.insert(shipped.id, Arc::clone(&kept));
        Ok(kept)
    }

    /// Opens a job. What cannot be sent of its function is an error of the call.
    pub(super) fn open(
        &self,
        py: Python<'_>,
        callable: &Bound<'_, PyAny>,
        mode: Mode,
        together: bool,
        callbacks: Callbacks,
        total: Option<u64>,
    ) -> PyResult<Arc<Job>> {
        self.open_seeded(py, callable, mode, together, callbacks, total, None)
    }

    /// Opens a job whose random numbers come from seeds of its own, if there are any.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn open_seeded(
        &self,
        py: Python<'_>,
        callable: &Bound<'_, PyAny>,
        mode: Mode,
        together: bool,
        callbacks: Callbacks,
        total: Option<u64>,
        seeds: Option<&Py<Seeds>>,
    ) -> PyResult<Arc<Job>> {
        self.check_running(py)?;
        let function = self.function(py, callable, None)?;
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        let mut job = Job::new(id, mode, together, name_of(callable), Some(function), callbacks);
        job.seed = self.seed_of_call(seeds)?;
        Ok(self.enter(job, total))
    }

    /// Opens a job that is an attempt at an executor's call.
    pub(super) fn open_work(
        &self,
        py: Python<'_>,
        callable: &Bound<'_, PyAny>,
        mode: Mode,
        work: Arc<Work>,
    ) -> PyResult<Arc<Job>> {
        self.check_broken(py)?;
        if self.terminated.load(Ordering::SeqCst) {
            return Err(was_terminated());
        }
        let function = self.function(py, callable, work.main)?;
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        // Its name is found when somebody asks.
        let callbacks = Callbacks::default();
        let mut job = Job::new(id, mode, false, String::new(), Some(function), callbacks);
        job.seed.clone_from(&work.seed);
        Ok(self.enter(job.of(work), Some(1)))
    }

    pub(super) fn enter(&self, job: Job, total: Option<u64>) -> Arc<Job> {
        if job.work.is_some() {
            self.works.fetch_add(1, Ordering::SeqCst);
        } else if job.is_reported() {
            *locked(&self.with_callbacks) += 1;
            self.callback_bell.notify_all();
        }
        job.state().total = total;
        let job = Arc::new(job);
        locked(&self.jobs).insert(job.id, Arc::clone(&job));
        if total == Some(0) {
            self.close_job(&job);
        }
        job
    }

    /// Sends an attempt at an executor's call.
    pub(super) fn send_work(&self, py: Python<'_>, job: &Arc<Job>, work: &Work) {
        let span = Span { job: job.id, first: 0, count: 1 };
        let sent = with_scratch(|frame| {
            let task = work.task.bind(py);
            let mut buffers = sharing(work.sharing.is_some(), || encode(py, task, frame))?;
            let mut flags = job.flags(job.mode);
            if let Some(table) = &work.sharing
                && table.concerns(&buffers)
            {
                work.keep(table.store(py, self.family, frame, std::mem::take(&mut buffers))?);
                flags |= STASHED;
            }
            let function = job.function.as_ref().map_or(0, |function| function.offset());
            self.submit(py, [function, flags], span, frame, &buffers)
        });
        if let Err(error) = sent {
            let answer = Answer::Raised(error);
            self.settle(job, Piece { first: 0, count: 1, answer });
        }
    }

    /// Asks so many workers to leave, when they have done what was sent before.
    pub(super) fn dismiss(&self, count: usize) -> PyResult<()> {
        for _ in 0..count {
            let span = Span { job: 0, first: 0, count: 1 };
            let nothing = Outgoing::Inline(&[]);
            with_scratch(|scratch| self.crew.submit(span, [0, LEAVE], nothing, scratch))
                .map_err(out_of_memory)?;
        }
        Ok(())
    }

    fn submit(
        &self,
        py: Python<'_>,
        tag: [u64; 2],
        span: Span,
        frame: &[u8],
        buffers: &OutOfBand,
    ) -> PyResult<()> {
        let body = outgoing(py, self.family, frame, buffers)?;
        with_scratch(|scratch| self.crew.submit(span, tag, body, scratch)).map_err(out_of_memory)
    }

    /// Sends the tasks that lie in a part of a list. Those that cannot be encoded are answered with
    /// the reason.
    pub(super) fn send(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        first: u64,
        tasks: &Bound<'_, PyList>,
        part: Range<usize>,
        is_new: bool,
    ) {
        self.send_calling(py, job, None, first, tasks, part, is_new);
    }

    /// The same for tasks that call something of their own.
    #[expect(clippy::too_many_arguments, reason = "a job, what of it, and how")]
    pub(super) fn send_calling(
        &self,
        py: Python<'_>,
        job: &Arc<Job>,
        call: Option<&Arc<Call>>,
        first: u64,
        tasks: &Bound<'_, PyList>,
        part: Range<usize>,
        is_new: bool,
    ) {
        let count = part.len() as u64;
        if is_new {
            let (tasks, offset) = (tasks.clone().unbind(), part.start);
            let batch = Batch {
                first,
                count,
                tasks: Some(tasks),
                offset,
                left: count,
                call: call.cloned(),
                stashes: Vec::new(),
            };
            job.state().sent.push(batch);
        }
        let span = Span { job: job.id, first, count: count as u32 };
        let Err(error) = self.try_send(py, job, call, span, tasks, part.clone()) else { return };
        if count == 1 || job.together {
            let answer = Answer::Raised(error);
            self.settle(job, Piece { first, count, answer });
            return;
        }
        for (index, place) in part.enumerate() {
            self.send_calling(py, job, call, first + index as u64, tasks, place..place + 1, false);
        }
    }

    fn try_send(
        &self,
        py: Python<'_>,
        job: &Job,
        call: Option<&Arc<Call>>,
        span: Span,
        tasks: &Bound<'_, PyList>,
        part: Range<usize>,
    ) -> PyResult<()> {
        if part.end > tasks.len() {
            return Err(PyRuntimeError::new_err(
                "the list became shorter while it was being mapped",
            ));
        }
        let mode = call.map_or(job.mode, |call| call.mode);
        let Some(function) = call.map(|call| &call.function).or(job.function.as_ref()) else {
            return Err(PyRuntimeError::new_err("the tasks do not say what they call"));
        };
        with_scratch(|frame| {
            let is_shared = job.together && locked(&job.shared).concerns(tasks, part.clone());
            let mut buffers = sharing(job.sharing.is_some(), || match mode {
                Mode::Each | Mode::Star | Mode::StarKeywords => encode_part(py, tasks, part, frame),
                Mode::Apply | Mode::ApplyKeywords => {
                    encode(py, &tasks.get_item(part.start)?, frame)
                }
            })?;
            let mut flags = job.flags(mode);
            if let Some(sharing) = &job.sharing
                && sharing.concerns(&buffers)
            {
                let stashes =
                    sharing.store(py, self.family, frame, std::mem::take(&mut buffers))?;
                job.state().keep_stashes(span.first, stashes);
                flags |= STASHED;
            }
            if is_shared && !buffers.is_empty() {
                locked(&job.shared).store(py, self.family, frame, &buffers)?;
                flags |= STASHED;
                buffers.clear();
            }
            self.submit(py, [function.offset(), flags], span, frame, &buffers)
        })
    }

    /// Sends more of a `map` whose batches are sent as workers need them.
    pub(super) fn send_more(&self, py: Python<'_>, job: &Arc<Job>, tasks: &Bound<'_, PyList>) {
        loop {
            let next = {
                let mut state = job.state();
                if state.sent.len() >= self.seats * BATCHES_AHEAD {
                    return;
                }
                state.unsent.pop_front()
            };
            let Some((first, count)) = next else { return };
            self.send(py, job, first as u64, tasks, first..first + count, true);
        }
    }
}

pub(crate) fn name_of(callable: &Bound<'_, PyAny>) -> String {
    let name = callable.getattr("__qualname__").or_else(|_| callable.repr().map(Bound::into_any));
    name.and_then(|name| name.extract()).unwrap_or_else(|_| "a function".to_owned())
}
