//! The batches of a job that are on their way: kept to be sent again if their worker dies before it begins
//! them, and to say which tasks an error is about.
//!
//! They lie in the order of their tasks, in which they are sent. Answers come roughly in that order too, so that
//! the front is where most are found; any other is found by halves. One that is answered before those ahead of it
//! stays as an empty place until they are, or until most places are empty: to take it out at once
//! would move half of the others, each time.

use std::collections::VecDeque;
use std::sync::Arc;

use phalanx::stash::Stash;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::calls::Call;

/// So many empty places are not worth looking at all places.
const FEW: usize = 64;

#[derive(Default)]
pub(super) struct Sent {
    batches: VecDeque<Batch>,
    empty: usize,
}

pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) count: u64,
    /// A list in which the tasks lie; none of an empty place.
    pub(super) tasks: Option<Py<PyList>>,
    /// Where they lie in it.
    pub(super) offset: usize,
    /// How many of them have not been answered.
    pub(super) left: u64,
    /// What they call, if the job does not say.
    pub(super) call: Option<Arc<Call>>,
    /// Large arguments of theirs in shared memory.
    pub(super) stashes: Vec<Arc<Stash>>,
}

impl Sent {
    /// Adds a batch, whose tasks come after all others.
    pub(super) fn push(&mut self, batch: Batch) {
        debug_assert!(self.batches.back().is_none_or(|last| last.first < batch.first));
        self.batches.push_back(batch);
    }

    /// How many have not been answered.
    pub(super) fn len(&self) -> usize {
        self.batches.len() - self.empty
    }

    /// The batch that holds a task which has not been answered.
    pub(super) fn find(&self, task: u64) -> Option<&Batch> {
        self.position(task).map(|at| &self.batches[at])
    }

    pub(super) fn find_mut(&mut self, task: u64) -> Option<&mut Batch> {
        self.position(task).map(|at| &mut self.batches[at])
    }

    /// Notes that tasks, of one batch, have been answered. Returns the list of a batch that is done.
    pub(super) fn answered(&mut self, first: u64, count: u64) -> Option<Py<PyList>> {
        let batch = self.find_mut(first)?;
        batch.left = batch.left.saturating_sub(count);
        if batch.left > 0 {
            return None;
        }
        batch.call = None;
        batch.stashes = Vec::new();
        let tasks = batch.tasks.take();
        self.empty += 1;
        while self.batches.front().is_some_and(Batch::is_empty) {
            self.batches.pop_front();
            self.empty -= 1;
        }
        if self.empty > FEW && self.empty > self.len() {
            self.batches.retain(|batch| !batch.is_empty());
            self.empty = 0;
        }
        tasks
    }

    fn position(&self, task: u64) -> Option<usize> {
        let is_here = |at: &usize| self.batches.get(*at).is_some_and(|batch| batch.holds(task));
        Some(0).filter(is_here).or_else(|| {
            let after = self.batches.partition_point(|batch| batch.first <= task);
            after.checked_sub(1).filter(is_here)
        })
    }
}

impl Batch {
    fn holds(&self, task: u64) -> bool {
        !self.is_empty() && (self.first..self.first + self.count).contains(&task)
    }

    fn is_empty(&self) -> bool {
        self.tasks.is_none()
    }
}
