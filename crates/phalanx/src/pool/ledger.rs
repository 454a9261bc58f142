//! What an owner remembers of the tasks it has sent: their bytes until they are answered, and the
//! answers until they are fetched.

use std::collections::{BTreeMap, HashMap};

use phalanx_shm::leases::Span;

use super::error::PoolError;
use super::serve::{pop_task, push_task};
use crate::message::Arrived;

/// What became of a task.
pub(super) enum Answer {
    /// The encoded result, or the chunk that it is in.
    Value(Vec<u8>, Option<Arrived>),
    /// There is none.
    Failed(PoolError),
}

/// A batch that was sent, kept to be sent again should its worker die.
struct Sent {
    body: Vec<u8>,
    answered: Vec<bool>,
    left: u32,
}

/// One call: any number of tasks with the same purpose.
#[derive(Default)]
struct Job {
    sent: BTreeMap<u64, Sent>,
    answers: BTreeMap<u64, Answer>,
    submitted: u64,
    answered: u64,
    /// Nobody will fetch the answers.
    abandoned: bool,
}

/// All calls that are not over.
#[derive(Default)]
pub(super) struct Ledger {
    jobs: HashMap<u64, Job>,
    opened: u64,
    unanswered: u64,
}

impl Ledger {
    /// Opens a call and returns its number.
    pub(super) fn open(&mut self) -> u64 {
        self.opened += 1;
        self.jobs.insert(self.opened, Job::default());
        self.opened
    }

    /// Nobody will ask for the call's answers any more; its tasks are still to be run.
    pub(super) fn abandon(&mut self, job: u64) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        known.answers.clear();
        known.abandoned = true;
        if known.answered == known.submitted {
            self.jobs.remove(&job);
        }
    }

    /// Tasks of all calls that have no answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Tasks of a call that have no answer.
    pub(super) fn unanswered_of(&self, job: u64) -> u64 {
        self.jobs.get(&job).map_or(0, |job| job.submitted - job.answered)
    }

    /// Notes a batch that is about to be sent.
    pub(super) fn note(&mut self, job: u64, count: u32, body: Vec<u8>) -> Span {
        let known = self.jobs.entry(job).or_default();
        let first = known.submitted;
        known.submitted += u64::from(count);
        self.unanswered += u64::from(count);
        let sent = Sent { body, answered: vec![false; count as usize], left: count };
        known.sent.insert(first, sent);
        Span { job, first, count }
    }

    /// The encoded batch that was noted last with this span.
    pub(super) fn body(&self, span: Span) -> &[u8] {
        let sent = self.jobs.get(&span.job).and_then(|job| job.sent.get(&span.first));
        sent.map_or(&[], |sent| &sent.body)
    }

    /// Forgets a batch that could not be sent: it was the last that was noted for its call.
    pub(super) fn take_back(&mut self, span: Span) {
        if let Some(job) = self.jobs.get_mut(&span.job)
            && job.sent.remove(&span.first).is_some()
        {
            job.submitted -= u64::from(span.count);
            self.unanswered -= u64::from(span.count);
        }
    }

    /// The encoded tasks of a part of a batch, to be sent again.
    pub(super) fn part(&self, span: Span) -> Option<Vec<u8>> {
        let (first, sent) = self.jobs.get(&span.job)?.sent.range(..=span.first).next_back()?;
        let mut rest = &sent.body[..];
        for _ in *first..span.first {
            pop_task(&mut rest)?;
        }
        let mut part = Vec::new();
        for _ in 0..span.count {
            let task = pop_task(&mut rest)?;
            push_task(&mut part, |body| body.extend_from_slice(task));
        }
        Some(part)
    }

    /// Takes in the answer to a task. One that was answered already stays as it is.
    pub(super) fn settle(&mut self, job: u64, task: u64, answer: Answer) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let Some((first, sent)) = known.sent.range_mut(..=task).next_back() else { return };
        let first = *first;
        let place = usize::try_from(task - first).ok().and_then(|at| sent.answered.get_mut(at));
        let Some(place) = place.filter(|answered| !**answered) else { return };
        *place = true;
        sent.left -= 1;
        if sent.left == 0 {
            known.sent.remove(&first);
        }
        known.answered += 1;
        self.unanswered -= 1;
        if !known.abandoned {
            known.answers.insert(task, answer);
        } else if known.answered == known.submitted {
            self.jobs.remove(&job);
        }
    }

    /// Answers everything that has no answer with an error.
    pub(super) fn fail_all(&mut self, error: &PoolError) {
        let mut open = Vec::new();
        for (id, job) in &self.jobs {
            for (first, sent) in &job.sent {
                let missing = sent.answered.iter().enumerate().filter(|(_, answered)| !**answered);
                open.extend(missing.map(|(at, _)| (*id, first + at as u64)));
            }
        }
        for (job, task) in open {
            self.settle(job, task, Answer::Failed(error.clone()));
        }
    }

    /// The answer to a task of a call, if it is there and was not fetched.
    pub(super) fn fetch(&mut self, job: u64, task: u64) -> Option<Answer> {
        self.jobs.get_mut(&job)?.answers.remove(&task)
    }

    /// Any answer of a call that is there, and to which task.
    pub(super) fn fetch_any(&mut self, job: u64) -> Option<(u64, Answer)> {
        self.jobs.get_mut(&job)?.answers.pop_first()
    }

    /// Whether the answer to a task is there.
    pub(super) fn has(&self, job: u64, task: u64) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.answers.contains_key(&task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(tasks: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        for task in tasks {
            push_task(&mut body, |out| out.extend_from_slice(task));
        }
        body
    }

    fn value(byte: u8) -> Answer {
        Answer::Value(vec![byte], None)
    }

    #[test]
    fn each_task_is_answered_once() {
        let mut ledger = Ledger::default();
        let job = ledger.open();
        let span = ledger.note(job, 3, body(&[b"a", b"bb", b"ccc"]));
        ledger.note(job, 1, body(&[b"d"]));
        assert_eq!((span.first, ledger.unanswered()), (0, 4));
        ledger.settle(job, 1, value(1));
        ledger.settle(job, 1, value(2));
        ledger.settle(job, 9, value(9));
        assert_eq!(ledger.unanswered_of(job), 3);
        assert!(matches!(ledger.fetch(job, 1), Some(Answer::Value(v, None)) if v == [1]));
        assert!(ledger.fetch(job, 1).is_none());
        ledger.fail_all(&PoolError::Terminated);
        assert_eq!(ledger.unanswered(), 0);
        let tasks: Vec<u64> =
            std::iter::from_fn(|| ledger.fetch_any(job).map(|(task, _)| task)).collect();
        assert_eq!(tasks, [0, 2, 3]);
    }

    #[test]
    fn parts_of_a_batch_can_be_sent_again_until_it_is_answered() {
        let mut ledger = Ledger::default();
        let job = ledger.open();
        ledger.note(job, 3, body(&[b"a", b"bb", b"ccc"]));
        let part = Span { job, first: 1, count: 2 };
        assert_eq!(ledger.part(part), Some(body(&[b"bb", b"ccc"])));
        for task in 0..3 {
            ledger.settle(job, task, value(0));
        }
        assert_eq!(ledger.part(part), None);
    }

    #[test]
    fn what_could_not_be_sent_is_forgotten() {
        let mut ledger = Ledger::default();
        let job = ledger.open();
        let span = ledger.note(job, 2, body(&[b"a", b"b"]));
        ledger.take_back(span);
        assert_eq!((ledger.unanswered(), ledger.note(job, 1, body(&[b"c"])).first), (0, 0));
    }

    #[test]
    fn an_abandoned_call_is_forgotten_with_its_last_answer() {
        let mut ledger = Ledger::default();
        let job = ledger.open();
        ledger.note(job, 2, body(&[b"a", b"b"]));
        ledger.settle(job, 0, value(0));
        ledger.abandon(job);
        assert_eq!((ledger.jobs.len(), ledger.unanswered()), (1, 1));
        ledger.settle(job, 1, value(0));
        assert_eq!((ledger.jobs.len(), ledger.unanswered()), (0, 0));
    }
}
