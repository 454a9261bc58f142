//! The state of an executor: which calls wait, which are on their way, and whether there will be more.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};

use phalanx_shm::sync::Deadline;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use super::super::death::was_terminated;
use super::super::feed::Feed;
use super::super::future::FutureBase;
use super::super::input::Pace;
use super::super::job::Job;
use super::super::owner::{Owner, locked};
use super::limits::Doomed;
use super::line::Line;
use super::work::Work;

/// So long a while of work is kept ready for the workers: while a busy interpreter keeps the thread that
/// sends more from its work, they shall not run dry.
const AHEAD_NS: u64 = 10_000_000;
/// The most calls that lie ready for the workers.
const AHEAD_MOST: u64 = 4096;
/// After so many tasks the cost of one is estimated anew.
const ESTIMATE_AFTER: u64 = 16;
/// A map whose results somebody has fetched in so many nanoseconds is looked after by that thread.
const ATTENDED_NS: u64 = 10_000_000;

/// What the user has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// More calls may come.
    #[default]
    Open,
    /// What was sent is to be done, and no more comes.
    Closing,
    /// There are no workers any more.
    Over,
}

/// What there is for an executor's thread to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    Nothing,
    /// Only maps, and the threads that fetch their results look after them.
    Attended,
    Busy,
}

/// What an executor knows.
pub(in super::super) struct Engine {
    pub(in super::super) owner: Arc<Owner>,
    pub(super) line: Mutex<Line>,
    /// Workers are started as calls come.
    is_on_demand: bool,
    /// The workers are those of a pool, which has calls of its own and ends by itself.
    pub(super) is_of_pool: bool,
    /// A worker has been started, or should have been.
    has_hired: AtomicBool,
    /// Threads that are about to add calls, or move some up: those may be in no list at present.
    pub(super) moving: AtomicUsize,
    pub(super) stage: Mutex<Stage>,
    pub(super) bell: Condvar,
    /// The executor's thread sleeps on the bell.
    pub(super) is_asleep: AtomicBool,
    cost: Mutex<Cost>,
    pub(super) feeds: Mutex<Vec<Weak<Feed>>>,
    /// Streams of calls of an executor whose rest is to be run even if nobody fetches results.
    pub(super) kept: Mutex<Vec<Arc<Feed>>>,
    /// When a result of a map was last fetched.
    fetched_at: AtomicU64,
    /// Calls that have a time limit, on their way or waiting.
    pub(super) timed: AtomicUsize,
    /// Workers that have been asked to end.
    pub(super) doomed: Mutex<Vec<Doomed>>,
}

/// What a task costs, as far as is known.
#[derive(Default)]
struct Cost {
    busy_ns: u64,
    tasks: u64,
    each: Option<u64>,
}

impl Engine {
    /// The calls of a pool that have terms of their own.
    pub(in super::super) fn of_pool(owner: Arc<Owner>) -> Self {
        owner.is_held_open.store(true, Ordering::SeqCst);
        Self { is_of_pool: true, has_hired: AtomicBool::new(true), ..Self::new(owner, false) }
    }

    pub(super) fn new(owner: Arc<Owner>, is_on_demand: bool) -> Self {
        Self {
            owner,
            line: Mutex::default(),
            is_on_demand,
            is_of_pool: false,
            has_hired: AtomicBool::new(false),
            moving: AtomicUsize::new(0),
            stage: Mutex::default(),
            bell: Condvar::new(),
            is_asleep: AtomicBool::new(false),
            cost: Mutex::default(),
            feeds: Mutex::default(),
            kept: Mutex::default(),
            fetched_at: AtomicU64::new(0),
            timed: AtomicUsize::new(0),
            doomed: Mutex::default(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        *locked(&self.stage)
    }

    /// An error unless this process made the executor.
    pub(in super::super) fn check_mine(&self) -> PyResult<()> {
        if self.owner.is_mine() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "the executor belongs to the parent process: make an executor in the child",
        ))
    }

    /// Whether the executor takes calls; if not, the error that says why.
    pub(super) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        self.check_mine()?;
        self.owner.check_broken(py)?;
        if self.stage() != Stage::Open {
            return Err(PyRuntimeError::new_err("cannot schedule new futures after shutdown"));
        }
        Ok(())
    }

    /// Starts the workers that so many more calls need.
    pub(super) fn hire(&self, py: Python<'_>, calls: usize) -> PyResult<()> {
        let staff = &self.owner.staff;
        let wanted = staff.wanted();
        if staff.count() >= wanted {
            return Ok(());
        }
        let in_progress = locked(&self.owner.jobs).len() + locked(&self.line).len();
        let wanted = if self.is_on_demand { wanted.min(in_progress + calls) } else { wanted };
        while let Some(seat) = staff.take_seat(wanted) {
            self.has_hired.store(true, Ordering::Release);
            if let Err(error) = self.owner.hire(py, seat) {
                // With some workers the executor goes on.
                let is_out_of_workers = staff.count() == 0;
                if is_out_of_workers {
                    self.owner.give_up(py, &error);
                }
                // What a signal handler raised, Ctrl-C for one, is the caller's in any case.
                let is_trouble = error.is_instance_of::<PyException>(py);
                return if is_trouble && !is_out_of_workers { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    }

    /// Whether any worker has been started.
    pub(super) fn has_hired(&self) -> bool {
        self.has_hired.load(Ordering::Acquire)
    }

    /// Starts workers that calls in progress need, where workers come with the work: those that were
    /// there when the calls came may have left since.
    pub(super) fn keep_staffed(&self, py: Python<'_>) -> PyResult<()> {
        let staff = &self.owner.staff;
        if !staff.is_elastic() || staff.count() >= staff.wanted() {
            return Ok(());
        }
        if locked(&self.owner.jobs).is_empty() && locked(&self.line).len() == 0 {
            return Ok(());
        }
        self.hire(py, 0)
    }

    /// From now on there are to be so many workers. Those that are too many leave when what was sent
    /// before is done.
    pub(super) fn resize(&self, wanted: usize) -> PyResult<()> {
        self.owner.dismiss(self.owner.staff.resize(wanted))?;
        self.wake();
        Ok(())
    }

    /// Whether calls that were promised before can still be taken on; if not, the error that says why.
    pub(in super::super) fn check_takes_more(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_of_pool {
            return self.check_open(py);
        }
        self.check_mine()?;
        self.owner.check_broken(py)?;
        if self.is_terminated() || self.stage() == Stage::Over {
            Err(was_terminated())
        } else {
            Ok(())
        }
    }

    /// Streams of calls that are to be read to their end when the pool closes.
    pub(in super::super) fn remember(&self, feed: &Arc<Feed>) {
        let mut feeds = locked(&self.feeds);
        feeds.retain(|feed| feed.strong_count() > 0);
        feeds.push(Arc::downgrade(feed));
    }

    /// The same for an executor: whether anybody fetches results or not.
    pub(in super::super) fn keep(&self, feed: &Arc<Feed>) {
        let mut kept = locked(&self.kept);
        kept.retain(|feed| !feed.has_ended());
        kept.push(Arc::clone(feed));
    }

    /// Says that this thread is about to add calls: until the token is dropped the executor does not
    /// come to its end. To be taken before looking whether it is open.
    pub(in super::super) fn moving(&self) -> Moving<'_> {
        self.moving.fetch_add(1, Ordering::SeqCst);
        Moving(&self.moving)
    }

    /// Takes a call on.
    pub(in super::super) fn submit(&self, py: Python<'_>, work: Work) {
        if work.terms.timeout.is_some() {
            self.timed.fetch_add(1, Ordering::Relaxed);
        }
        let work = Arc::new(work);
        let is_next = locked(&self.line).len() == 0 && self.owner.crew.queued() < self.window();
        if is_next {
            work.begin_unseen();
            self.send(py, work);
        } else {
            locked(&self.line).join(work);
            self.top_up(py);
        }
        self.wake();
    }

    /// Wakes the executor's thread if it has nothing to do so far.
    pub(super) fn wake(&self) {
        if self.is_asleep.load(Ordering::SeqCst) {
            let _stage = locked(&self.stage);
            self.bell.notify_all();
        }
    }

    /// How many calls may lie ready for the workers.
    fn window(&self) -> usize {
        let (busy_ns, tasks) = self.owner.crew.work_done();
        let mut cost = locked(&self.cost);
        if tasks >= cost.tasks + ESTIMATE_AFTER {
            cost.each = Some(((busy_ns - cost.busy_ns) / (tasks - cost.tasks)).max(1));
            (cost.busy_ns, cost.tasks) = (busy_ns, tasks);
        }
        let seats = self.owner.staff.wanted() as u64;
        let ahead = cost.each.map_or(0, |each| (AHEAD_NS * seats / each).min(AHEAD_MOST));
        (seats + 1 + ahead) as usize
    }

    /// Sends calls until enough of them lie ready for the workers.
    pub(super) fn top_up(&self, py: Python<'_>) {
        let _moving = self.moving();
        let window = self.window();
        while self.owner.crew.queued() < window {
            let Some(work) = locked(&self.line).next() else { return };
            if work.begin(py) {
                self.send(py, work);
            } else {
                self.forget(&work);
            }
        }
    }

    fn send(&self, py: Python<'_>, work: Arc<Work>) {
        let function = work.function.bind(py);
        match self.owner.open_work(py, function, work.mode, Arc::clone(&work)) {
            Ok(job) => self.owner.send_work(py, &job, &work),
            Err(error) => {
                self.forget(&work);
                work.complete(py, Err(error));
            }
        }
    }

    /// Stops the call of a future that waits, if there is one.
    pub(super) fn stop_waiting(&self, future: &Bound<'_, FutureBase>) -> bool {
        let work = locked(&self.line).find(|work| work.is_of(future));
        work.inspect(|work| work.stop()).is_some()
    }

    pub(super) fn forget(&self, work: &Work) {
        if work.terms.timeout.is_some() {
            self.timed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Completes the calls that have been answered, or lets them be tried again.
    pub(super) fn complete_answered(&self, py: Python<'_>) {
        loop {
            let next = locked(&self.owner.answered).pop_front();
            let Some(job) = next else { return };
            self.complete(py, &job);
            self.owner.works.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn complete(&self, py: Python<'_>, job: &Job) {
        let Some(work) = &job.work else { return };
        let piece = job.state().pieces.pop_front();
        let Some(piece) = piece else { return };
        let outcome = piece.answer.decode(py);
        let is_running = locked(&self.owner.broken).is_none() && !self.is_terminated();
        if outcome.is_err() && is_running && work.tries_again() {
            locked(&self.line).join(Arc::clone(work));
            return;
        }
        self.forget(work);
        work.complete(py, outcome);
    }

    /// Sends more of the maps that nobody fetches results of.
    pub(super) fn feed_unattended(&self, py: Python<'_>) {
        if self.is_of_pool || self.is_attended() {
            return;
        }
        let streams: Vec<_> = locked(&self.owner.streams).clone();
        for stream in streams {
            if stream.drives_itself() {
                stream.feed(py, &self.owner, Pace::Closing);
            }
        }
    }

    /// A result of a map is being fetched.
    pub(super) fn attend(&self) {
        self.fetched_at.store(Deadline::now().as_nanos(), Ordering::Relaxed);
    }

    fn is_attended(&self) -> bool {
        let last = self.fetched_at.load(Ordering::Relaxed);
        Deadline::now().as_nanos() < last.saturating_add(ATTENDED_NS)
    }

    /// What there is to do.
    pub(super) fn outlook(&self) -> Outlook {
        // First, because what moves goes from one list to the other.
        let moves = self.moving.load(Ordering::SeqCst) > 0;
        let waits = locked(&self.line).len() > 0;
        let calls = self.owner.works.load(Ordering::SeqCst) > 0;
        if moves
            || waits
            || calls
            || locked(&self.owner.broken).is_some()
            || !locked(&self.doomed).is_empty()
        {
            return Outlook::Busy;
        }
        if self.is_of_pool {
            return Outlook::Nothing;
        }
        let has_maps = locked(&self.owner.streams).iter().any(|stream| stream.drives_itself());
        match (has_maps, self.is_attended()) {
            (true, false) => Outlook::Busy,
            (true, true) => Outlook::Attended,
            _ => Outlook::Nothing,
        }
    }
}

/// A thread that moves calls.
pub(in super::super) struct Moving<'a>(&'a AtomicUsize);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The error of a call that was cancelled.
pub(in super::super) fn cancelled(py: Python<'_>) -> PyErr {
    let make = || py.import("concurrent.futures")?.getattr("CancelledError")?.call0();
    make().map_or_else(|error| error, PyErr::from_value)
}
