//! The calls that wait for their turn.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::work::Work;

/// A line in which the most urgent call is first, and among equals the oldest.
#[derive(Default)]
pub(super) struct Line {
    waiting: BinaryHeap<Place>,
    ordinal: u64,
}

struct Place {
    rank: (i32, Reverse<u64>),
    work: Arc<Work>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl Line {
    /// Puts a call behind all that are as urgent.
    pub(super) fn join(&mut self, work: Arc<Work>) {
        self.ordinal += 1;
        self.waiting.push(Place { rank: (work.terms.priority, Reverse(self.ordinal)), work });
    }

    /// The call whose turn it is.
    pub(super) fn next(&mut self) -> Option<Arc<Work>> {
        self.waiting.pop().map(|place| place.work)
    }

    /// How many calls wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The call that it is true for.
    pub(super) fn find(&self, is_it: impl Fn(&Work) -> bool) -> Option<Arc<Work>> {
        let found = self.waiting.iter().find(|place| is_it(&place.work));
        found.map(|place| Arc::clone(&place.work))
    }

    /// Sends all away. They must be dropped when no lock is held.
    pub(super) fn clear(&mut self) -> Vec<Arc<Work>> {
        let mut all = Vec::with_capacity(self.waiting.len());
        while let Some(work) = self.next() {
            all.push(work);
        }
        all
    }
}
