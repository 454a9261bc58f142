//! What an owner remembers of the tasks it has sent: their bytes until they are answered, and the
//! answers until they are fetched.
//!
//! Answers are kept in the pieces in which they arrived, so that a million tiny ones are a few hundred
//! entries.

use std::collections::{BTreeMap, HashMap};

use phalanx_shm::leases::Span;

use super::callee::Callee;
use super::error::PoolError;
use super::serve::{pop_record, push_record};
use crate::message::Arrived;
use crate::wire::apart::Lent;

/// What became of a task.
#[derive(Debug)]
pub(super) enum Answer {
    /// The encoded result, or the chunk that it is in, or both.
    Value(Vec<u8>, Option<Arrived>),
    /// There is none.
    Failed(PoolError),
}

/// Answers of tasks that follow one another.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) first: u64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// The answer of one task.
    One(Answer),
    /// The encoded results of so many tasks: records one after another.
    Values(u32, Vec<u8>),
}

impl Piece {
    pub(super) fn one(task: u64, answer: Answer) -> Self {
        Self { first: task, content: Content::One(answer) }
    }

    pub(super) fn values(first: u64, count: u32, records: Vec<u8>) -> Self {
        Self { first, content: Content::Values(count, records) }
    }

    pub(super) fn count(&self) -> u32 {
        match self.content {
            Content::One(_) => 1,
            Content::Values(count, _) => count,
        }
    }

    /// The same answers, each for itself.
    fn split(self) -> Vec<Self> {
        let Content::Values(count, records) = self.content else { return vec![self] };
        let mut rest = &records[..];
        let one = |at| {
            let value = pop_record(&mut rest).map(<[u8]>::to_vec);
            let answer = value
                .map_or(Answer::Failed(PoolError::Damaged { task: self.first + at }), |value| {
                    Answer::Value(value, None)
                });
            Self::one(self.first + at, answer)
        };
        (0..u64::from(count)).map(one).collect()
    }
}

/// A batch that was sent, kept to be sent again should its worker die.
struct Sent {
    body: Vec<u8>,
    /// Bytes that the tasks' arguments lie in besides: kept for whoever runs them.
    _lent: Vec<Lent>,
    answered: Vec<bool>,
    left: u32,
}

/// One call: any number of tasks with the same purpose.
struct Job {
    callee: Callee,
    sent: BTreeMap<u64, Sent>,
    pieces: BTreeMap<u64, Piece>,
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
    /// Bytes of the bodies that are kept.
    bytes: usize,
}

impl Ledger {
    /// Opens a call of a function and returns its number.
    pub(super) fn open(&mut self, callee: Callee) -> u64 {
        self.opened += 1;
        let job = Job {
            callee,
            sent: BTreeMap::new(),
            pieces: BTreeMap::new(),
            submitted: 0,
            answered: 0,
            abandoned: false,
        };
        self.jobs.insert(self.opened, job);
        self.opened
    }

    /// The function that a call is of.
    pub(super) fn callee(&self, job: u64) -> Option<Callee> {
        self.jobs.get(&job).map(|job| job.callee)
    }

    /// Nobody will ask for the call's answers any more; its tasks are still to be run.
    pub(super) fn abandon(&mut self, job: u64) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        known.pieces.clear();
        known.abandoned = true;
        if known.answered == known.submitted {
            self.jobs.remove(&job);
        }
    }

    /// Forgets a call with all its tasks. Returns whether any had no answer.
    pub(super) fn forget(&mut self, job: u64) -> bool {
        let Some(known) = self.jobs.remove(&job) else { return false };
        self.bytes -= known.sent.values().map(|sent| sent.body.len()).sum::<usize>();
        let unanswered = known.submitted - known.answered;
        self.unanswered -= unanswered;
        unanswered > 0
    }

    /// Tasks of all calls that have no answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Encoded bytes of all batches that have not been answered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tasks of a call that have no answer.
    pub(super) fn unanswered_of(&self, job: u64) -> u64 {
        self.jobs.get(&job).map_or(0, |job| job.submitted - job.answered)
    }

    /// Batches of a call that have no complete answer.
    pub(super) fn batches_of(&self, job: u64) -> usize {
        self.jobs.get(&job).map_or(0, |job| job.sent.len())
    }

    /// Notes a batch that is about to be sent.
    pub(super) fn note(
        &mut self,
        job: u64,
        count: u32,
        body: Vec<u8>,
        lent: Vec<Lent>,
    ) -> Option<Span> {
        let known = self.jobs.get_mut(&job)?;
        let first = known.submitted;
        known.submitted += u64::from(count);
        self.unanswered += u64::from(count);
        self.bytes += body.len();
        let sent = Sent { body, _lent: lent, answered: vec![false; count as usize], left: count };
        known.sent.insert(first, sent);
        Some(Span { job, first, count })
    }

    /// Whether a task of a call has been answered, or is none of it.
    pub(super) fn is_answered(&self, job: u64, task: u64) -> bool {
        let batch = self.jobs.get(&job).and_then(|job| job.sent.range(..=task).next_back());
        let place = |(first, sent): (&u64, &Sent)| {
            sent.answered.get(usize::try_from(task - first).unwrap_or(usize::MAX)).copied()
        };
        batch.and_then(place).unwrap_or(true)
    }

    /// The encoded batch that was noted last with this span.
    pub(super) fn body(&self, span: Span) -> &[u8] {
        let sent = self.jobs.get(&span.job).and_then(|job| job.sent.get(&span.first));
        sent.map_or(&[], |sent| &sent.body)
    }

    /// Forgets a batch that could not be sent: it was the last that was noted for its call.
    pub(super) fn take_back(&mut self, span: Span) {
        if let Some(job) = self.jobs.get_mut(&span.job)
            && let Some(sent) = job.sent.remove(&span.first)
        {
            job.submitted -= u64::from(span.count);
            self.unanswered -= u64::from(span.count);
            self.bytes -= sent.body.len();
        }
    }

    /// The encoded tasks of a part of a batch, to be sent again.
    pub(super) fn part(&self, span: Span) -> Option<Vec<u8>> {
        let (first, sent) = self.jobs.get(&span.job)?.sent.range(..=span.first).next_back()?;
        let mut rest = &sent.body[..];
        for _ in *first..span.first {
            pop_record(&mut rest)?;
        }
        let mut part = Vec::new();
        for _ in 0..span.count {
            let task = pop_record(&mut rest)?;
            push_record(&mut part, |body| body.extend_from_slice(task));
        }
        Some(part)
    }

    /// Takes in answers. A task that was answered already stays as it is.
    pub(super) fn settle(&mut self, job: u64, piece: Piece) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let (task, count) = (piece.first, piece.count());
        let Some((first, sent)) = known.sent.range_mut(..=task).next_back() else { return };
        let (first, at) = (*first, usize::try_from(task - *first).unwrap_or(usize::MAX));
        let end = at.saturating_add(count as usize);
        let Some(places) = sent.answered.get_mut(at..end) else { return };
        if places.contains(&true) {
            if count > 1 {
                piece.split().into_iter().for_each(|piece| self.settle(job, piece));
            }
            return;
        }
        places.fill(true);
        sent.left -= count;
        if sent.left == 0
            && let Some(sent) = known.sent.remove(&first)
        {
            self.bytes -= sent.body.len();
        }
        known.answered += u64::from(count);
        self.unanswered -= u64::from(count);
        if !known.abandoned {
            known.pieces.insert(task, piece);
        } else if known.answered == known.submitted {
            self.jobs.remove(&job);
        }
    }

    /// Answers everything of a call that has no answer with an error.
    pub(super) fn fail_job(&mut self, id: u64, error: &PoolError) {
        let Some(job) = self.jobs.get(&id) else { return };
        let open = job.sent.iter().flat_map(|(first, sent)| {
            let missing = sent.answered.iter().enumerate().filter(|(_, answered)| !**answered);
            missing.map(move |(at, _)| *first + at as u64)
        });
        for task in open.collect::<Vec<_>>() {
            self.settle(id, Piece::one(task, Answer::Failed(error.clone())));
        }
    }

    /// Answers everything that has no answer with an error.
    pub(super) fn fail_all(&mut self, error: &PoolError) {
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.fail_job(job, error);
        }
    }

    /// The answers of a call from a task on, if they are there and were not fetched.
    pub(super) fn fetch(&mut self, job: u64, task: u64) -> Option<Piece> {
        self.jobs.get_mut(&job)?.pieces.remove(&task)
    }

    /// Any answers of a call that are there.
    pub(super) fn fetch_any(&mut self, job: u64) -> Option<Piece> {
        Some(self.jobs.get_mut(&job)?.pieces.pop_first()?.1)
    }

    /// Whether answers of a call are there from a task on.
    pub(super) fn has(&self, job: u64, task: u64) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.pieces.contains_key(&task))
    }
}

#[cfg(test)]
mod tests {
    use super::super::callee::Target;
    use super::*;

    const CALLEE: Callee = Callee { name: "f", target: Target::Task(1) };

    fn body(tasks: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        for task in tasks {
            push_record(&mut body, |out| out.extend_from_slice(task));
        }
        body
    }

    fn value(task: u64, byte: u8) -> Piece {
        Piece::one(task, Answer::Value(vec![byte], None))
    }

    fn bytes_of(piece: Option<Piece>) -> Vec<u8> {
        match piece.map(|piece| piece.content) {
            Some(Content::One(Answer::Value(bytes, None))) => bytes,
            Some(Content::Values(_, bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_task_is_answered_once() {
        let mut ledger = Ledger::default();
        let job = ledger.open(CALLEE);
        let span =
            ledger.note(job, 3, body(&[b"a", b"bb", b"ccc"]), Vec::new()).expect("it is open");
        ledger.note(job, 1, body(&[b"d"]), Vec::new());
        assert_eq!((span.first, ledger.unanswered()), (0, 4));
        ledger.settle(job, value(1, 1));
        ledger.settle(job, value(1, 2));
        ledger.settle(job, value(9, 9));
        assert_eq!(ledger.unanswered_of(job), 3);
        assert_eq!(bytes_of(ledger.fetch(job, 1)), [1]);
        assert!(ledger.fetch(job, 1).is_none());
        ledger.fail_all(&PoolError::Terminated);
        assert_eq!((ledger.unanswered(), ledger.bytes()), (0, 0));
        let tasks: Vec<u64> =
            std::iter::from_fn(|| ledger.fetch_any(job).map(|piece| piece.first)).collect();
        assert_eq!(tasks, [0, 2, 3]);
    }

    #[test]
    fn answers_stay_together_unless_one_of_them_is_late() {
        let mut ledger = Ledger::default();
        let job = ledger.open(CALLEE);
        ledger.note(job, 3, body(&[b"a", b"b", b"c"]), Vec::new());
        ledger.settle(job, Piece::values(0, 3, body(&[b"x", b"y", b"z"])));
        assert!(ledger.has(job, 0) && !ledger.has(job, 1));
        assert_eq!(bytes_of(ledger.fetch(job, 0)), body(&[b"x", b"y", b"z"]));
        ledger.note(job, 3, body(&[b"d", b"e", b"f"]), Vec::new());
        ledger.settle(job, value(4, 7));
        ledger.settle(job, Piece::values(3, 3, body(&[b"x", b"y", b"z"])));
        assert_eq!(bytes_of(ledger.fetch(job, 3)), b"x");
        assert_eq!(bytes_of(ledger.fetch(job, 4)), [7]);
        assert_eq!(bytes_of(ledger.fetch(job, 5)), b"z");
        assert_eq!(ledger.unanswered(), 0);
        // More than were sent.
        ledger.note(job, 1, body(&[b"g"]), Vec::new());
        ledger.settle(job, Piece::values(6, 2, body(&[b"x", b"y"])));
        assert_eq!(ledger.unanswered(), 1);
    }

    #[test]
    fn parts_of_a_batch_can_be_sent_again_until_it_is_answered() {
        let mut ledger = Ledger::default();
        let job = ledger.open(CALLEE);
        ledger.note(job, 3, body(&[b"a", b"bb", b"ccc"]), Vec::new());
        let part = Span { job, first: 1, count: 2 };
        assert_eq!(ledger.part(part), Some(body(&[b"bb", b"ccc"])));
        assert_eq!(ledger.batches_of(job), 1);
        for task in 0..3 {
            ledger.settle(job, value(task, 0));
        }
        assert_eq!((ledger.part(part), ledger.batches_of(job)), (None, 0));
    }

    #[test]
    fn what_could_not_be_sent_is_forgotten() {
        let mut ledger = Ledger::default();
        let job = ledger.open(CALLEE);
        let span = ledger.note(job, 2, body(&[b"a", b"b"]), Vec::new()).expect("it is open");
        assert!(ledger.bytes() > 0);
        ledger.take_back(span);
        assert_eq!((ledger.unanswered(), ledger.bytes()), (0, 0));
        assert_eq!(ledger.note(job, 1, body(&[b"c"]), Vec::new()).map(|span| span.first), Some(0));
    }

    #[test]
    fn an_abandoned_call_is_forgotten_with_its_last_answer() {
        let mut ledger = Ledger::default();
        let job = ledger.open(CALLEE);
        ledger.note(job, 2, body(&[b"a", b"b"]), Vec::new());
        ledger.settle(job, value(0, 0));
        ledger.abandon(job);
        assert_eq!((ledger.jobs.len(), ledger.unanswered()), (1, 1));
        ledger.settle(job, value(1, 0));
        assert_eq!((ledger.jobs.len(), ledger.unanswered()), (0, 0));
    }

    #[test]
    fn a_forgotten_call_takes_no_answers() {
        let mut ledger = Ledger::default();
        let job = ledger.open(CALLEE);
        ledger.note(job, 2, body(&[b"a", b"b"]), Vec::new());
        assert!(ledger.forget(job) && !ledger.forget(job));
        ledger.settle(job, value(0, 0));
        assert_eq!((ledger.unanswered(), ledger.bytes()), (0, 0));
        assert_eq!(ledger.note(job, 1, Vec::new(), Vec::new()), None);
    }
}
