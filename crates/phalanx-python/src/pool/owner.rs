//! The owner's side of a pool: sending calls, collecting answers, keeping the workers' seats taken.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx::message::Arrived;
use phalanx::pool::{Crew, News, Span, pacer};
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::sync::Deadline;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::job::{Answer, Batch, Callbacks, Graveyard, Job, Piece};
use super::results::{ApplyResult, MapResult};
use super::stream::IMapIterator;
use super::wire::{Kind, Mode, ResultLabel};
use super::worker::WorkerBench;
use crate::codec::{encode, encode_part, ship};
use crate::message::{out_of_memory, outgoing, with_scratch};

/// Functions kept in shared memory although no call in progress uses them.
const FUNCTIONS_KEPT: usize = 64;
/// At most this often does a call that does not wait look after the workers, in nanoseconds.
const LOOK_EVERY: u64 = 10_000_000;

/// Batches of a `map` that are on their way at a time, for each worker.
const BATCHES_AHEAD: usize = 3;

/// What a pool's owner knows.
pub(super) struct Owner {
    pub(super) crew: Crew,
    family: &'static Family,
    /// `start(bench)` starts a worker process and returns it.
    start: Py<PyAny>,
    pub(super) seats: usize,
    pub(super) processes: Mutex<Vec<Option<Py<PyAny>>>>,
    /// Workers that have left their seats of their own accord and are about to end.
    pub(super) leavers: Mutex<Vec<Py<PyAny>>>,
    jobs: Mutex<HashMap<u64, Arc<Job>>>,
    next_job: AtomicU64,
    functions: Mutex<HashMap<u64, Arc<Shared<Bytes>>>>,
    /// Streams whose input is not used up.
    pub(super) streams: Mutex<Vec<Arc<super::stream::Stream>>>,
    /// Jobs that are done and whose callbacks have not been called.
    callbacks: Mutex<VecDeque<Arc<Job>>>,
    /// Jobs in progress that have callbacks, and the bell for the thread that calls them: it takes
    /// no part in collecting while there are none.
    pub(super) with_callbacks: Mutex<usize>,
    callback_bell: Condvar,
    pub(super) closed: AtomicBool,
    pub(super) terminated: AtomicBool,
    /// Why no worker can be started, if so: an exception that every call gets.
    pub(super) broken: Mutex<Option<Py<PyAny>>>,
    /// Seats whose worker has said that it is ready.
    pub(super) ready: Mutex<Vec<bool>>,
    pub(super) early_deaths: AtomicUsize,
    looked_at: AtomicU64,
    place: SlotId,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This process's family.
pub(super) fn family() -> PyResult<&'static Family> {
    Family::get().map_err(|e| PyOSError::new_err(format!("cannot set up shared memory: {e}")))
}

/// A pool of worker processes, as its owner holds it.
#[pyclass(frozen, weakref, module = "phalanx._core")]
pub(crate) struct PoolCore(Arc<Owner>);

impl Owner {
    pub(super) fn check_running(&self, py: Python<'_>) -> PyResult<()> {
        if self.place != self.family.me() {
            return Err(PyRuntimeError::new_err(
                "the pool belongs to the parent process: make a pool of one's own in the child",
            ));
        }
        if self.closed.load(Ordering::Relaxed) {
            return Err(PyValueError::new_err("Pool not running"));
        }
        self.check_broken(py)
    }

    pub(super) fn check_broken(&self, py: Python<'_>) -> PyResult<()> {
        match &*locked(&self.broken) {
            Some(error) => Err(PyErr::from_value(error.clone_ref(py).into_bound(py))),
            None => Ok(()),
        }
    }

    /// Puts a worker on a seat.
    pub(super) fn hire(&self, py: Python<'_>, seat: usize) -> PyResult<()> {
        let bench = self.crew.bench(seat).map_err(out_of_memory)?;
        locked(&self.ready)[seat] = false;
        let process = self.start.call1(py, (WorkerBench::new(bench),))?;
        let old = locked(&self.processes)[seat].replace(process);
        drop(old);
        Ok(())
    }

    fn function(
        &self,
        py: Python<'_>,
        callable: &Bound<'_, PyAny>,
    ) -> PyResult<Arc<Shared<Bytes>>> {
        let shipped = ship(py, callable, None)?;
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
        self.check_running(py)?;
        let function = self.function(py, callable)?;
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        if !callbacks.is_empty() {
            *locked(&self.with_callbacks) += 1;
            self.callback_bell.notify_all();
        }
        let job = Job::new(id, mode, together, name_of(callable), function, callbacks);
        job.state().total = total;
        let job = Arc::new(job);
        locked(&self.jobs).insert(id, Arc::clone(&job));
        if total == Some(0) {
            self.close_job(&job);
        }
        Ok(job)
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
        let count = part.len() as u64;
        if is_new {
            let (tasks, offset) = (tasks.clone().unbind(), part.start);
            job.state().sent.push_back(Batch { first, count, tasks, offset, left: count });
        }
        let span = Span { job: job.id, first, count: count as u32 };
        let Err(error) = self.try_send(py, job, span, tasks, part.clone()) else { return };
        if count == 1 || job.together {
            let answer = Answer::Raised(error);
            self.settle(job, Piece { first, count, answer });
            return;
        }
        for (index, place) in part.enumerate() {
            self.send(py, job, first + index as u64, tasks, place..place + 1, false);
        }
    }

    fn try_send(
        &self,
        py: Python<'_>,
        job: &Job,
        span: Span,
        tasks: &Bound<'_, PyList>,
        part: Range<usize>,
    ) -> PyResult<()> {
        if part.end > tasks.len() {
            return Err(PyRuntimeError::new_err(
                "the list became shorter while it was being mapped",
            ));
        }
        with_scratch(|frame| {
            let buffers = match job.mode {
                Mode::Each | Mode::Star => encode_part(py, tasks, part, frame)?,
                Mode::Apply | Mode::ApplyKeywords => {
                    encode(py, &tasks.get_item(part.start)?, frame)?
                }
            };
            let body = outgoing(py, self.family, frame, &buffers)?;
            let tag = [job.function.offset(), job.mode.flags(job.together)];
            with_scratch(|scratch| self.crew.submit(span, tag, body, scratch))
                .map_err(out_of_memory)
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

    /// Takes in an answer that arose here.
    pub(super) fn settle(&self, job: &Arc<Job>, piece: Piece) {
        let mut graveyard = Graveyard::new();
        if job.settle(piece, &mut graveyard) {
            self.close_job(job);
        }
        drop(graveyard);
        self.crew.pass_on();
    }

    fn close_job(&self, job: &Arc<Job>) {
        let known = locked(&self.jobs).remove(&job.id);
        if known.is_some() && !job.callbacks.is_empty() {
            locked(&self.callbacks).push_back(Arc::clone(job));
            self.crew.pass_on();
        }
    }

    /// A job whose number of tasks has become known may be done already.
    pub(super) fn finish_if_answered(&self, job: &Arc<Job>) {
        let is_answered = {
            let state = job.state();
            state.total == Some(state.answered)
        };
        if is_answered {
            self.close_job(job);
        }
    }

    pub(super) fn job(&self, id: u64) -> Option<Arc<Job>> {
        locked(&self.jobs).get(&id).cloned()
    }

    /// Takes in everything that has arrived. Returns whether anything had.
    pub(super) fn collect(&self, py: Python<'_>) -> bool {
        if !self.crew.has_news() {
            return false;
        }
        let mut inbox = Inbox::default();
        let mut scratch = Vec::new();
        let count = self.crew.collect(&mut scratch, &mut |news| inbox.take(self, news));
        inbox.finish(self, py);
        if count > 0 {
            // Others may be waiting for what has just arrived.
            self.crew.pass_on();
        }
        count > 0
    }

    /// Waits until `done`, taking in what arrives, for at most `timeout`. Returns whether it is.
    pub(super) fn wait_until(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        mut done: impl FnMut(Python<'_>) -> bool,
    ) -> PyResult<bool> {
        let deadline = timeout.map(Deadline::after);
        loop {
            self.collect(py);
            let round = self.crew.round();
            if done(py) {
                return Ok(true);
            }
            // What the look found may be what was waited for.
            if self.look_after_workers(py)? && done(py) {
                return Ok(true);
            }
            if deadline.is_some_and(Deadline::has_passed) {
                return Ok(false);
            }
            let raised = Mutex::new(None);
            let ended = py.detach(|| {
                let ask = || {
                    let error = Python::attach(|py| py.check_signals()).err();
                    let stop = error.is_some();
                    if let Some(error) = error {
                        *locked(&raised) = Some(error);
                    }
                    stop
                };
                self.crew.wait(round, &Patience::until(deadline).interruptible(&ask))
            });
            if let Some(error) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
                return Err(error);
            }
            if ended == Err(GaveUp::TimedOut) {
                self.collect(py);
                return Ok(done(py));
            }
        }
    }

    /// Looks after the workers unless somebody has lately. Returns whether it did.
    pub(super) fn look_after_workers(&self, py: Python<'_>) -> PyResult<bool> {
        let now = Deadline::now().as_nanos();
        let last = self.looked_at.load(Ordering::Relaxed);
        if now < last + LOOK_EVERY && !self.anybody_leaving() {
            return Ok(false);
        }
        self.looked_at.store(now, Ordering::Relaxed);
        super::death::bury_the_dead(self, py).map(|()| true)
    }

    fn anybody_leaving(&self) -> bool {
        (0..self.seats).any(|seat| self.crew.is_leaving(seat))
    }

    /// Sleeps until there are jobs with callbacks; false when there never will be.
    fn wait_for_callbacks(&self) -> bool {
        let mut waiting = locked(&self.with_callbacks);
        loop {
            if self.terminated.load(Ordering::Relaxed) {
                return false;
            }
            if *waiting > 0 {
                return true;
            }
            if self.closed.load(Ordering::Relaxed) {
                return false;
            }
            waiting = self.callback_bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn wake_callbacks(&self) {
        let _waiting = locked(&self.with_callbacks);
        self.callback_bell.notify_all();
    }

    /// Feeds the streams, whatever has been fetched of them, and lets the workers go when nothing
    /// more will be sent.
    pub(super) fn finish_sending(&self, py: Python<'_>) {
        let streams: Vec<_> = locked(&self.streams).clone();
        for stream in streams {
            stream.feed(py, self, true);
        }
        self.close_if_done();
    }

    pub(super) fn close_if_done(&self) {
        if self.closed.load(Ordering::SeqCst) && locked(&self.streams).is_empty() {
            self.crew.close();
        }
    }

    /// Fails everything in progress with an error that every call gets from now on.
    pub(super) fn give_up(&self, py: Python<'_>, error: &PyErr) {
        let value = error.clone_ref(py).into_value(py).into_any();
        locked(&self.broken).get_or_insert(value);
        self.fail_everything(py, error);
    }

    pub(super) fn fail_everything(&self, py: Python<'_>, error: &PyErr) {
        let jobs: Vec<_> = locked(&self.jobs).values().cloned().collect();
        locked(&self.streams).clear();
        for job in jobs {
            let (first, count) = {
                let mut state = job.state();
                let submitted = state.total.unwrap_or(state.submitted);
                // A stream that goes on gets the error in the place of its next result.
                let total = submitted.max(state.answered + 1);
                state.total = Some(total);
                (state.answered, total - state.answered)
            };
            let answer = Answer::Raised(error.clone_ref(py));
            self.settle(&job, Piece { first, count, answer });
        }
    }

    /// The worker of a seat is gone: takes in what it still said.
    pub(super) fn bury(&self, py: Python<'_>, seat: usize) -> (phalanx::pool::Ended, Inbox) {
        let mut inbox = Inbox::default();
        let mut scratch = Vec::new();
        let ended = self.crew.bury(seat, &mut scratch, &mut |news| inbox.take(self, news));
        inbox.finish(self, py);
        (ended, inbox)
    }
}

/// What arrives in one go, and has to be dealt with when no lock is held.
#[derive(Default)]
pub(super) struct Inbox {
    graveyard: Graveyard,
    finished: Vec<Arc<Job>>,
    unreadable: Vec<(u64, u64, u64)>,
    pub(super) refused: Option<(Vec<u8>, Option<Arrived>)>,
}

impl Inbox {
    fn take(&mut self, owner: &Owner, news: News<'_>) {
        let Some(label) = ResultLabel::unpack(news.bytes) else { return };
        let body = &news.bytes[ResultLabel::LEN..];
        match label.kind {
            Kind::Ready => {
                locked(&owner.ready)[news.seat] = true;
                owner.early_deaths.store(0, Ordering::Relaxed);
            }
            Kind::Refused => self.refused = Some((body.to_vec(), news.parcel)),
            Kind::Unreadable => {
                self.unreadable.push((label.job, label.first, u64::from(label.count)));
            }
            _ => {
                if let Some(job) = owner.job(label.job)
                    && job.answer(label, body, news.parcel, &mut self.graveyard)
                {
                    self.finished.push(job);
                }
            }
        }
    }

    fn finish(&mut self, owner: &Owner, py: Python<'_>) {
        self.graveyard.clear();
        for job in self.finished.drain(..) {
            owner.close_job(&job);
        }
        for (job, first, count) in std::mem::take(&mut self.unreadable) {
            if let Some(job) = owner.job(job) {
                for task in first..first + count {
                    super::death::send_again(owner, py, &job, task, 1);
                }
            }
        }
        if let Some((frame, parcel)) = self.refused.take() {
            let error = Answer::Error(frame, parcel).decode(py);
            if let Err(error) = error {
                owner.give_up(py, &error);
            }
        }
    }
}

fn name_of(callable: &Bound<'_, PyAny>) -> String {
    let name = callable.getattr("__qualname__").or_else(|_| callable.repr().map(Bound::into_any));
    name.and_then(|name| name.extract()).unwrap_or_else(|_| "a function".to_owned())
}

impl PoolCore {
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
        let job = self.0.open(py, function, mode, true, callbacks, Some(total as u64))?;
        job.state().unsent = match chunksize {
            Some(size) => pacer::even(total, size).collect(),
            None => pacer::guided(total, self.0.seats).collect(),
        };
        Ok(job)
    }
}

#[pymethods]
impl PoolCore {
    /// A pool with `seats` workers, each started by `start(bench)`.
    #[new]
    fn new(py: Python<'_>, seats: usize, start: Py<PyAny>) -> PyResult<Self> {
        let family = family()?;
        let seats = seats.min(phalanx::pool::MAX_SEATS);
        let owner = Owner {
            crew: Crew::new(family, seats).map_err(out_of_memory)?,
            family,
            start,
            seats,
            processes: Mutex::new((0..seats).map(|_| None).collect()),
            leavers: Mutex::default(),
            jobs: Mutex::default(),
            next_job: AtomicU64::new(1),
            functions: Mutex::default(),
            streams: Mutex::default(),
            callbacks: Mutex::default(),
            with_callbacks: Mutex::new(0),
            callback_bell: Condvar::new(),
            closed: AtomicBool::new(false),
            terminated: AtomicBool::new(false),
            broken: Mutex::new(None),
            ready: Mutex::new(vec![false; seats]),
            early_deaths: AtomicUsize::new(0),
            looked_at: AtomicU64::new(0),
            place: family.me(),
        };
        let core = Self(Arc::new(owner));
        for seat in 0..seats {
            core.0.hire(py, seat)?;
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
        let job = self.0.open(py, function, mode, false, callbacks, Some(1))?;
        self.0.send(py, &job, 0, &PyList::new(py, [task])?, 0..1, true);
        Ok(ApplyResult::new(Arc::clone(&self.0), job))
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
            self.0.send(py, &job, first as u64, items, first..first + count, true);
        }
        Ok(MapResult::new(Arc::clone(&self.0), job))
    }

    /// The same, waiting for the results: batches are sent as workers need them, and results
    /// decoded as they come, so that neither piles up.
    #[pyo3(signature = (function, items, star, chunksize=None))]
    fn map_and_wait(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        items: &Bound<'_, PyList>,
        star: bool,
        chunksize: Option<usize>,
    ) -> PyResult<Py<PyAny>> {
        let owner = &self.0;
        let job = self.open_map(py, function, items, star, chunksize, Callbacks::default())?;
        let mut decoded = Ok(());
        owner.wait_until(py, None, |py| {
            owner.send_more(py, &job, items);
            if decoded.is_ok() {
                decoded = job.decode_early(py);
            }
            job.is_done()
        })?;
        decoded?;
        job.outcome(py)
    }

    /// Sends a call for each item of an iterable, as results are fetched.
    #[pyo3(signature = (function, iterable, chunksize=None, ordered=true, window=None))]
    fn imap(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        iterable: &Bound<'_, PyAny>,
        chunksize: Option<usize>,
        ordered: bool,
        window: Option<usize>,
    ) -> PyResult<IMapIterator> {
        let job = self.0.open(py, function, Mode::Each, false, Callbacks::default(), None)?;
        let iterator = iterable.try_iter()?.unbind().into_any();
        IMapIterator::start(py, Arc::clone(&self.0), job, iterator, chunksize, ordered, window)
    }

    /// No more calls.
    fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.close_if_done();
        self.0.wake_callbacks();
        self.0.crew.pass_on();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Waits until everything that was sent is done and the workers have left.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        let owner = &self.0;
        owner.wait_until(py, None, |py| {
            if owner.terminated.load(Ordering::Relaxed) {
                return true;
            }
            owner.finish_sending(py);
            locked(&owner.processes).iter().all(Option::is_none)
                && *locked(&owner.with_callbacks) == 0
        })?;
        super::death::join_all(owner, py)
    }

    /// Ends the workers at once; what was in progress fails.
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        super::death::terminate(&self.0, py)
    }

    /// The worker processes.
    fn processes(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        locked(&self.0.processes).iter().flatten().map(|p| p.clone_ref(py)).collect()
    }

    /// Takes in what has arrived and looks after the workers, without waiting.
    fn look(&self, py: Python<'_>) -> PyResult<()> {
        self.0.collect(py);
        self.0.look_after_workers(py).map(drop)
    }

    /// Calls callbacks as jobs end, until the pool is closed and none are left: the body of the
    /// pool's thread for callbacks.
    fn serve_callbacks(&self, py: Python<'_>) -> PyResult<()> {
        let owner = &self.0;
        while py.detach(|| owner.wait_for_callbacks()) {
            let mut next = None;
            owner.wait_until(py, None, |_| {
                next = locked(&owner.callbacks).pop_front();
                next.is_some() || owner.terminated.load(Ordering::Relaxed)
            })?;
            let Some(job) = next else { return Ok(()) };
            super::results::call_back(py, &job);
            *locked(&owner.with_callbacks) -= 1;
            owner.crew.pass_on();
        }
        Ok(())
    }
}
