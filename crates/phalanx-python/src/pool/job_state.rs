//! What is known of a job's tasks: which are on their way, and what has come back.

use std::collections::VecDeque;
use std::sync::Arc;

use phalanx::stash::Stash;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::answer::{Answer, Piece};
use super::calls::Call;

/// What is known of a job; the lock is held for moments only, and never while Python code runs.
#[derive(Default)]
pub(super) struct State {
    /// Tasks sent and not answered, oldest first: kept to be sent again if their worker dies
    /// before it begins them.
    pub(super) sent: VecDeque<Batch>,
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

pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) count: u64,
    /// A list in which the tasks lie, and where.
    pub(super) tasks: Py<PyList>,
    pub(super) offset: usize,
    /// How many of them have not been answered.
    pub(super) left: u64,
    /// What they call, if the job does not say.
    pub(super) call: Option<Arc<Call>>,
    /// Large arguments of theirs in shared memory.
    pub(super) stashes: Vec<Arc<Stash>>,
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
        // Answers come roughly in the order of the batches, so the front is where to look.
        let Some(at) = self.sent.iter().position(|batch| batch.holds(first)) else { return };
        let batch = &mut self.sent[at];
        batch.left = batch.left.saturating_sub(count);
        if batch.left == 0
            && let Some(batch) = self.sent.remove(at)
        {
            graveyard.push(batch.tasks);
        }
    }

    /// Where a task lies.
    pub(super) fn place_of(&self, py: Python<'_>, task: u64) -> Option<Place> {
        let batch = self.sent.iter().find(|batch| batch.holds(task))?;
        let at = batch.offset + (task - batch.first) as usize;
        Some(Place { tasks: batch.tasks.clone_ref(py), at, call: batch.call.clone() })
    }

    /// Keeps what a batch that holds this task refers to.
    pub(super) fn keep_stashes(&mut self, task: u64, stashes: Vec<Arc<Stash>>) {
        if let Some(batch) = self.sent.iter_mut().rev().find(|batch| batch.holds(task)) {
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

impl Batch {
    pub(super) fn holds(&self, task: u64) -> bool {
        (self.first..self.first + self.count).contains(&task)
    }
}
