//! What is known of a job's tasks: which are on their way, and what has come back.

use std::collections::VecDeque;
use std::sync::Arc;

use phalanx::stash::Stash;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::answer::{Answer, Piece};
use super::calls::Call;
use super::sent::Sent;

/// What is known of a job; the lock is held for moments only, and never while Python code runs.
#[derive(Default)]
pub(super) struct State {
    /// Tasks sent and not answered.
    pub(super) sent: Sent,
    /// Answers not fetched yet.
    pub(super) pieces: VecDeque<Piece>,
    /// Tasks answered so far.
    pub(super) answered: u64,
    /// Of these, errors: tasks, or batches that failed as a whole.
    pub(super) failed: u64,
    /// Tasks in all, once known.
    pub(super) total: Option<u64>,
    /// The first error, of a job that fails as a whole.
    pub(super) failure: Option<Piece>,
    /// Its results are fetched one after another.
    pub(super) is_stream: bool,
    /// For streams: what comes after the results that are there, and is the end.
    pub(super) last: Option<Answer>,
    /// For streams: results fetched by the user.
    pub(super) fetched: u64,
    /// For streams: tasks sent.
    pub(super) submitted: u64,
    /// For `map`: batches that are still to be sent, in order.
    pub(super) unsent: VecDeque<(usize, usize)>,
    /// For streams: how many tasks were ahead when the input was last read.
    pub(super) window_hint: u64,
}

/// Python objects that a lock's holder must not drop, because that may run Python code.
pub(super) type Graveyard = Vec<Py<PyList>>;

impl State {
    /// What ends a stream that was broken off, in the place of its next result.
    pub(super) fn take_last(&mut self) -> Option<Piece> {
        let answer = self.last.take()?;
        self.total = Some(self.fetched + 1);
        Some(Piece { first: self.fetched, count: 1, answer })
    }

    pub(super) fn forget_sent(&mut self, first: u64, count: u64, graveyard: &mut Graveyard) {
        graveyard.extend(self.sent.answered(first, count));
    }

    /// Where a task lies.
    pub(super) fn place_of(&self, py: Python<'_>, task: u64) -> Option<Place> {
        let batch = self.sent.find(task)?;
        let at = batch.offset + (task - batch.first) as usize;
        let tasks = batch.tasks.as_ref()?.clone_ref(py);
        Some(Place { tasks, at, call: batch.call.clone() })
    }

    /// Keeps what a batch that holds this task refers to.
    pub(super) fn keep_stashes(&mut self, task: u64, stashes: Vec<Arc<Stash>>) {
        if let Some(batch) = self.sent.find_mut(task) {
            batch.stashes.extend(stashes);
        }
    }
}

/// Where a task lies that was sent.
pub(super) struct Place {
    pub(super) tasks: Py<PyList>,
    pub(super) at: usize,
    /// What it calls, if its job does not say.
    pub(super) call: Option<Arc<Call>>,
}
