//! The input of a stream of results, read only a little ahead of what has been fetched.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use phalanx::pool::allowance::Allowance;
use phalanx::pool::pacer;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::answer::{Answer, Piece};
use super::job::Job;
use super::owner::{Owner, locked};
use crate::reading::{self, Reader, Watch};

/// So many results of a stream that goes on by itself may lie unfetched, if nobody knows whether it ends.
const MOST_UNFETCHED: u64 = 1_000_000;

/// What holds a stream's reading back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Results that nobody has fetched: the reader of the results sets the pace.
    Fetching,
    /// Somebody waits for the next result, which is not there: tasks without an answer count, so that
    /// one long task at the head of the line leaves no other worker without work.
    Waiting,
    /// Tasks without an answer, however many results lie unfetched: the pool is about to close.
    Closing,
}

/// A stream's input and how it is cut.
pub(super) struct Stream {
    pub(super) job: Arc<Job>,
    pub(super) input: Mutex<Option<Py<PyAny>>>,
    /// Somebody is reading the input; a second one must not wait, it may hold the interpreter.
    pub(super) is_feeding: AtomicBool,
    pub(super) chunksize: Option<usize>,
    pub(super) window: Option<usize>,
    pub(super) drive: Drive,
    /// The input does not say how long it is.
    pub(super) may_be_endless: bool,
    /// Watches over the rest of such an input while the pool closes.
    pub(super) watch: Mutex<Option<Watch>>,
    /// What is left is run whatever comes of the results: there will be no more calls.
    pub(super) is_closing: AtomicBool,
    /// The items say what they call.
    pub(super) of_calls: bool,
    /// Any number of results may lie waiting for an earlier one.
    pub(super) keeps_all: bool,
    /// What the pool's tasks had cost before, and how many there were.
    pub(super) before: (u64, u64),
}

/// What a stream reads.
pub(super) struct Input {
    pub(super) iterator: Py<PyAny>,
    pub(super) may_be_endless: bool,
}

impl Input {
    pub(super) fn of(iterable: &Bound<'_, PyAny>) -> PyResult<Self> {
        let may_be_endless = !reading::has_length(iterable)?;
        Ok(Self { iterator: iterable.try_iter()?.unbind().into_any(), may_be_endless })
    }
}

/// What makes a stream go on.
pub(super) enum Drive {
    /// That results are fetched.
    Fetching,
    /// Nothing has to: only tasks without an answer hold it back, and the results may pile up.
    Itself,
    /// Nothing has to as long as there are not too many results and there is memory for them.
    ItselfWithin(Mutex<Allowance>),
}

impl Drive {
    pub(super) fn within_limits() -> Self {
        Self::ItselfWithin(Mutex::new(reading::spare()))
    }
}

impl Stream {
    /// Whether it goes on although nobody fetches results.
    pub(super) fn drives_itself(&self) -> bool {
        match &self.drive {
            Drive::Fetching => false,
            Drive::Itself => true,
            Drive::ItselfWithin(allowance) => {
                let unfetched = {
                    let state = self.job.state();
                    // The end of a stream that was broken off is fetched beyond what was sent.
                    state.submitted.saturating_sub(state.fetched)
                };
                self.is_closing.load(Ordering::Relaxed)
                    || (unfetched < MOST_UNFETCHED && !locked(allowance).is_used_up())
            }
        }
    }

    /// The pace that it is read at when `pace` is asked for.
    pub(super) fn pace(&self, pace: Pace) -> Pace {
        if self.drives_itself() { Pace::Closing } else { pace }
    }

    /// Reads no more input: `error` is the last result.
    pub(super) fn cut(&self, py: Python<'_>, owner: &Owner, error: &PyErr) {
        let input = locked(&self.input).take();
        drop(input);
        let known = {
            let mut streams = locked(&owner.streams);
            streams.extract_if(.., |stream| std::ptr::eq(&**stream, self)).next()
        };
        drop(known);
        let first = {
            let mut state = self.job.state();
            if state.total.is_some() {
                return;
            }
            let first = state.submitted;
            state.submitted += 1;
            state.total = Some(state.submitted);
            first
        };
        let answer = Answer::Raised(error.clone_ref(py));
        owner.settle(&self.job, Piece { first, count: 1, answer });
    }

    /// Shows how far it came, if somebody wants to see it.
    pub(super) fn end_progress(&self, py: Python<'_>) {
        self.job.end_progress(py);
    }

    /// Nobody will fetch any more of its results: what was not sent need not be run.
    pub(super) fn abandon(&self, py: Python<'_>, owner: &Owner, error: &PyErr) {
        self.cut(py, owner, error);
        let known = locked(&owner.jobs).remove(&self.job.id);
        drop(known);
    }

    /// Reads input and sends tasks until enough are on their way, by the measure of `pace`.
    pub(super) fn feed(&self, py: Python<'_>, owner: &Owner, pace: Pace) {
        let pace = self.pace(pace);
        if self.is_feeding.swap(true, Ordering::Acquire) {
            return;
        }
        let input = locked(&self.input).as_ref().map(|input| input.clone_ref(py));
        if let Some(input) = input {
            let goes_on = self.read(py, owner, input.bind(py), pace);
            if !goes_on {
                let ended = locked(&self.input).take();
                drop(ended);
                let done = {
                    let mut streams = locked(&owner.streams);
                    streams.extract_if(.., |s| std::ptr::eq(&**s, self)).next()
                };
                drop(done);
                owner.close_if_done();
            }
        }
        self.is_feeding.store(false, Ordering::Release);
    }

    /// An error if results pile up of an input that does not end.
    fn check_length(&self, py: Python<'_>, piles_up: bool, submitted: u64) -> PyResult<()> {
        if !piles_up || !self.may_be_endless {
            return Ok(());
        }
        let name = match self.drive {
            _ if self.of_calls => "a stream of calls",
            Drive::Fetching => "imap",
            Drive::Itself | Drive::ItselfWithin(_) => "Executor.map",
        };
        let reader = Reader::Closed(name);
        locked(&self.watch).get_or_insert_with(Watch::new).check(py, submitted, reader)
    }

    /// Returns whether there may be more input.
    fn read(&self, py: Python<'_>, owner: &Owner, input: &Bound<'_, PyAny>, pace: Pace) -> bool {
        let (busy, tasks) = owner.crew.work_done();
        let (busy, tasks) =
            (busy.saturating_sub(self.before.0), tasks.saturating_sub(self.before.1));
        let size = self.chunksize.unwrap_or_else(|| pacer::stream_batch(busy, tasks));
        let window = match self.window {
            // What is ahead of calls is counted in batches.
            Some(window) if self.of_calls => window.saturating_mul(size),
            Some(window) => window,
            None => pacer::stream_window(size, owner.staff.wanted()),
        } as u64;
        let chunksize = self.chunksize.unwrap_or(1);
        let most_held =
            self.window.unwrap_or_else(|| pacer::stream_held(chunksize, owner.staff.wanted()))
                as u64;
        loop {
            let (submitted, ahead, held) = {
                let state = self.job.state();
                if state.total.is_some() {
                    return false;
                }
                let held = state.submitted - state.fetched;
                let unanswered = state.submitted - state.answered;
                (state.submitted, if pace == Pace::Fetching { held } else { unanswered }, held)
            };
            let is_full = pace == Pace::Waiting && held >= most_held && !self.keeps_all;
            if ahead >= window || is_full {
                return true;
            }
            let wanted = size.min((window - ahead) as usize);
            // Whoever fetches as they come may keep as much of them as there is memory for.
            let piles_up = pace == Pace::Closing && held >= window;
            let (mut batch, end) = match self.check_length(py, piles_up, submitted) {
                Ok(()) => take(input, wanted),
                Err(error) => (Vec::new(), End::Raised(error)),
            };
            if self.chunksize.is_some() && matches!(end, End::Raised(_)) {
                // A batch is read as a whole or not at all, as in the standard library.
                batch.clear();
            }
            if self.job.state().total.is_some() {
                // It was cut meanwhile.
                return false;
            }
            if self.of_calls {
                owner.send_calls(py, &self.job, &batch);
            } else if !batch.is_empty()
                && let Ok(batch) = PyList::new(py, batch)
            {
                self.job.state().submitted += batch.len() as u64;
                owner.send(py, &self.job, submitted, &batch, 0..batch.len(), true);
            }
            match end {
                End::Full => {}
                End::Exhausted => {
                    let mut state = self.job.state();
                    state.total = Some(state.submitted);
                    drop(state);
                    owner.finish_if_answered(&self.job);
                    return false;
                }
                End::Raised(error) => {
                    let first = {
                        let mut state = self.job.state();
                        let first = state.submitted;
                        state.submitted += 1;
                        state.total = Some(state.submitted);
                        first
                    };
                    let answer = Answer::Raised(error);
                    owner.settle(&self.job, Piece { first, count: 1, answer });
                    return false;
                }
            }
        }
    }
}

enum End {
    Full,
    Exhausted,
    Raised(PyErr),
}

/// Up to `wanted` items of the input, and why there are not more.
fn take<'py>(input: &Bound<'py, PyAny>, wanted: usize) -> (Vec<Bound<'py, PyAny>>, End) {
    let mut batch = Vec::with_capacity(wanted);
    let Ok(mut iterator) = input.try_iter() else { return (batch, End::Exhausted) };
    while batch.len() < wanted {
        match iterator.next() {
            Some(Ok(item)) => batch.push(item),
            Some(Err(error)) => return (batch, End::Raised(error)),
            None => return (batch, End::Exhausted),
        }
    }
    (batch, End::Full)
}
