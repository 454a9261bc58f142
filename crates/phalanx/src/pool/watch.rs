//! Tasks that take too long, and tasks that are tried again.

use std::collections::HashMap;
use std::time::Duration;

use phalanx_shm::sync::Deadline;

use super::Crew;
use crate::process::Child;

/// Tries of tasks that have failed before, by call and task.
#[derive(Default)]
pub(super) struct Tries(HashMap<(u64, u64), Tried>);

#[derive(Clone, Copy, Default)]
struct Tried {
    times: u32,
    /// Workers that it has cost.
    workers: u32,
}

/// A task that costs so many workers is not tried again.
const WORKERS: u32 = 2;

impl Tries {
    /// Whether a task that has failed just now is to be tried again, of so many retries in all.
    pub(super) fn again(&mut self, job: u64, task: u64, cost_worker: bool, retries: u32) -> bool {
        if retries == 0 {
            return false;
        }
        let tried = self.0.entry((job, task)).or_default();
        tried.times += 1;
        tried.workers += u32::from(cost_worker);
        let again = tried.times <= retries && tried.workers < WORKERS;
        if !again {
            self.0.remove(&(job, task));
        }
        again
    }

    /// The task needs no more tries.
    pub(super) fn over(&mut self, job: u64, tasks: std::ops::Range<u64>) {
        if !self.0.is_empty() {
            self.0.retain(|(of, task), _| *of != job || !tasks.contains(task));
        }
    }

    /// The call is over.
    pub(super) fn forget(&mut self, job: u64) {
        self.0.retain(|(of, _), _| *of != job);
    }
}

/// Kills the workers whose task has taken longer than the limit; returns their seats.
pub(super) fn end_the_late(crew: &Crew, children: &[Option<Child>], limit: Duration) -> Vec<usize> {
    let now = Deadline::now().as_nanos();
    let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let mut late = Vec::new();
    for (seat, child) in children.iter().enumerate() {
        let Some(child) = child else { continue };
        // First when, then which: read the other way a task could be taken for one that began earlier.
        let began = crew.began_at(seat);
        let Some(lease) = crew.lease(seat) else { continue };
        let is_late = began != 0 && now.saturating_sub(began) > limit;
        if is_late && crew.began_at(seat) == began && crew.condemn(seat, &lease) {
            // One that has ended meanwhile needs no signal.
            let _ = child.kill();
            late.push(seat);
        }
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_tried_as_often_as_was_said() {
        let mut tries = Tries::default();
        assert!(!tries.again(1, 0, false, 0));
        assert!(tries.again(1, 0, false, 2) && tries.again(1, 0, false, 2));
        assert!(!tries.again(1, 0, false, 2));
        assert!(tries.again(1, 5, true, 9) && !tries.again(1, 5, true, 9));
        assert!(tries.again(2, 5, false, 1));
        tries.over(2, 0..9);
        assert!(tries.again(2, 5, false, 1));
        tries.forget(2);
        assert!(tries.0.is_empty());
    }
}
