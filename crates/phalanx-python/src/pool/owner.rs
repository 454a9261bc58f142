//! The owner's side of a pool: sending calls, collecting answers, keeping the workers' seats taken.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx::pool::Crew;
use phalanx::sync::RawLock;
use phalanx_shm::family::Family;
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::sync::Deadline;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::answer::{Answer, Piece};
use super::bench::WorkerBench;
use super::executor::Manners;
use super::inbox::Inbox;
use super::input::Pace;
use super::job::Job;
use super::job_state::Graveyard;
use super::logs::Records;
use super::random::{SeedOfCall, Seeds, SeedsOfTasks};
use super::staff::Staff;
use crate::error::twin;
use crate::message::out_of_memory;
use crate::once::intern;
use crate::types::shared::create_error;

/// Enough of a desk that calls can be cancelled; nothing is laid there.
pub(super) const DESK: usize = 64;
/// At most this often does a call that does not wait look after the workers, in nanoseconds.
const LOOK_EVERY: u64 = 10_000_000;

/// What a pool's owner knows.
pub(super) struct Owner {
    pub(super) crew: Crew,
    pub(super) family: &'static Family,
    /// `start(bench)` starts a worker process and returns it.
    start: Py<PyAny>,
    pub(super) seats: usize,
    pub(super) processes: Mutex<Vec<Option<Py<PyAny>>>>,
    /// Workers that have left their seats of their own accord and are about to end.
    pub(super) leavers: Mutex<Vec<Py<PyAny>>>,
    /// Seats whose worker is to be replaced, which has not succeeded so far.
    pub(super) vacant: Mutex<Vec<bool>>,
    pub(super) jobs: Mutex<HashMap<u64, Arc<Job>>>,
    pub(super) next_job: AtomicU64,
    pub(super) functions: Mutex<HashMap<u64, Arc<Shared<Bytes>>>>,
    /// Streams whose input is not used up.
    pub(super) streams: Mutex<Vec<Arc<super::input::Stream>>>,
    /// Jobs that are done and whose callbacks have not been called.
    pub(super) callbacks: Mutex<VecDeque<Arc<Job>>>,
    /// Jobs in progress that have callbacks, and the bell for the thread that calls them: it takes
    /// no part in collecting while there are none.
    pub(super) with_callbacks: Mutex<usize>,
    pub(super) callback_bell: Condvar,
    /// The pool itself counts among these jobs until it is closed.
    pub(super) is_watched: AtomicBool,
    /// Calls on terms of their own that are in progress, and those that have been answered.
    pub(super) works: AtomicUsize,
    pub(super) answered: Mutex<VecDeque<Arc<Job>>>,
    /// More will be sent although the pool is closed: calls wait for their turn.
    pub(super) is_held_open: AtomicBool,
    pub(super) closed: AtomicBool,
    pub(super) terminated: AtomicBool,
    /// Why no worker can be started, if so: an exception that every call gets.
    pub(super) broken: Mutex<Option<Py<PyAny>>>,
    /// Seats whose worker has said that it is ready.
    pub(super) ready: Mutex<Vec<bool>>,
    pub(super) early_deaths: AtomicUsize,
    looked_at: AtomicU64,
    place: SlotId,
    /// How it deals with the death of workers.
    pub(super) manners: Manners,
    pub(super) staff: Staff,
    /// What workers have logged, on its way to the handlers.
    pub(super) records: Records,
    /// Held while lines are written, by this pool's workers.
    output: Arc<RawLock>,
    /// What random numbers come from, if that was asked for.
    pub(super) seeds: Option<Py<Seeds>>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This process's family.
pub(super) fn family() -> PyResult<&'static Family> {
    Family::get().map_err(crate::error::os_error)
}

impl Owner {
    /// An owner whose seats are all empty.
    pub(super) fn new(seats: usize, start: Py<PyAny>, breaks: bool) -> PyResult<Self> {
        Self::with(Staff::fixed(seats), seats, start, DESK, Manners::of_pool(breaks))
    }

    /// The same with a desk of so many bytes at each seat (see [`Crew::with_desks`]).
    pub(super) fn with(
        staff: Staff,
        seats: usize,
        start: Py<PyAny>,
        desk: usize,
        manners: Manners,
    ) -> PyResult<Self> {
        let family = family()?;
        if seats > phalanx::pool::MAX_SEATS {
            let most = phalanx::pool::MAX_SEATS;
            return Err(PyValueError::new_err(format!(
                "cannot make a pool of {seats} workers: the most is {most}"
            )));
        }
        Ok(Self {
            crew: Crew::with_desks(family, seats, desk).map_err(out_of_memory)?,
            family,
            start,
            seats,
            processes: Mutex::new((0..seats).map(|_| None).collect()),
            leavers: Mutex::default(),
            vacant: Mutex::new(vec![false; seats]),
            jobs: Mutex::default(),
            next_job: AtomicU64::new(1),
            functions: Mutex::default(),
            streams: Mutex::default(),
            callbacks: Mutex::default(),
            with_callbacks: Mutex::new(0),
            callback_bell: Condvar::new(),
            is_watched: AtomicBool::new(false),
            works: AtomicUsize::new(0),
            answered: Mutex::default(),
            is_held_open: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            terminated: AtomicBool::new(false),
            broken: Mutex::new(None),
            ready: Mutex::new(vec![false; seats]),
            early_deaths: AtomicUsize::new(0),
            looked_at: AtomicU64::new(0),
            place: family.me(),
            manners,
            staff,
            records: Records::default(),
            output: Arc::new(RawLock::new().map_err(create_error)?),
            seeds: None,
        })
    }

    /// The same with random numbers of its own for each task, from the seed of `seeds`.
    pub(super) fn seeded(self, seeds: Option<Py<Seeds>>) -> Self {
        Self { seeds, ..self }
    }

    /// What the random numbers of the next call come from: its own seeds, or the pool's.
    pub(super) fn seed_of_call(&self, own: Option<&Py<Seeds>>) -> PyResult<Option<SeedOfCall>> {
        own.or(self.seeds.as_ref()).map(|seeds| seeds.get().next_call(&self.crew)).transpose()
    }

    /// What the random numbers of the tasks of the next call come from, which are sent one by one.
    pub(super) fn seeds_of_tasks(&self, py: Python<'_>) -> SeedsOfTasks {
        SeedsOfTasks::of_next_call(py, self.seeds.as_ref())
    }

    /// Whether this process made the pool.
    pub(super) fn is_mine(&self) -> bool {
        self.place == self.family.me()
    }

    pub(super) fn check_running(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_mine() {
            return Err(PyRuntimeError::new_err(
                "the pool belongs to the parent process: make a pool of one's own in the child",
            ));
        }
        self.check_broken(py)?;
        if self.closed.load(Ordering::Relaxed) {
            return Err(PyValueError::new_err("Pool not running"));
        }
        Ok(())
    }

    pub(super) fn check_broken(&self, py: Python<'_>) -> PyResult<()> {
        let error = locked(&self.broken).as_ref().map(|error| error.clone_ref(py));
        error.map_or(Ok(()), |error| Err(twin(error.bind(py))))
    }

    /// Puts a worker on a seat.
    pub(super) fn hire(&self, py: Python<'_>, seat: usize) -> PyResult<()> {
        self.staff.take(seat);
        let start = || {
            // Forked workers share what is loaded before; each would load it for itself.
            py.import(intern!(py, "gc"))?;
            let bench = self.crew.bench(seat).map_err(out_of_memory)?;
            locked(&self.ready)[seat] = false;
            self.start.call1(py, (WorkerBench::new(bench, Arc::clone(&self.output)),))
        };
        let process = start().inspect_err(|_| self.staff.free(seat))?;
        let old = locked(&self.processes)[seat].replace(process);
        drop(old);
        Ok(())
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

    pub(super) fn close_job(&self, job: &Arc<Job>) {
        let known = locked(&self.jobs).remove(&job.id);
        if known.is_some() && job.is_reported() {
            let list = if job.work.is_some() { &self.answered } else { &self.callbacks };
            locked(list).push_back(Arc::clone(job));
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
                return self.records.settle(py).map(|()| true);
            }
            // What the look found may be what was waited for.
            if self.look_after_workers(py)? && done(py) {
                return self.records.settle(py).map(|()| true);
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
    pub(super) fn wait_for_callbacks(&self) -> bool {
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
            stream.feed(py, self, Pace::Closing);
        }
        self.close_if_done();
    }

    pub(super) fn close_if_done(&self) {
        if self.is_closing() && locked(&self.streams).is_empty() {
            self.crew.close();
        }
    }

    /// Whether nothing more will be sent but what streams still read.
    pub(super) fn is_closing(&self) -> bool {
        self.closed.load(Ordering::SeqCst) && !self.is_held_open.load(Ordering::SeqCst)
    }

    /// Fails everything in progress with an error that every call gets from now on.
    pub(super) fn give_up(&self, py: Python<'_>, error: &PyErr) {
        let error = self.manners.broken(py, error);
        let value = error.clone_ref(py).into_value(py).into_any();
        locked(&self.broken).get_or_insert(value);
        self.fail_everything(py, &error);
    }

    pub(super) fn fail_everything(&self, py: Python<'_>, error: &PyErr) {
        let jobs: Vec<_> = locked(&self.jobs).values().cloned().collect();
        locked(&self.streams).clear();
        for job in jobs {
            if job.end_stream(|| Answer::Raised(twin(error.value(py)))) {
                let known = locked(&self.jobs).remove(&job.id);
                drop(known);
                self.crew.pass_on();
                continue;
            }
            let (first, count) = {
                let mut state = job.state();
                let total = state.total.unwrap_or(state.submitted).max(state.answered + 1);
                state.total = Some(total);
                (state.answered, total - state.answered)
            };
            let answer = Answer::Raised(twin(error.value(py)));
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
