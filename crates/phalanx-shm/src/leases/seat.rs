//! One worker's place on the board: the words that say what it has leased, and how far it is.
//!
//! One process writes them, the worker; when its death has been proven the owner reads them and empties
//! the seat. Two writes come from elsewhere, and both are exchanges that fail if the worker has moved
//! on: a void lease is struck out, a task that takes too long is condemned.
//!
//! | the worker dies | what remains | what the owner makes of it |
//! |---|---|---|
//! | while it signs, before the last store | no lease | nothing was taken |
//! | signed, record not taken | a lease that does not count | the batch is in the ring still |
//! | after `begin`, before `finish` | begun > finished | that task is lost, those behind it run again |
//! | between a promise and `settle` | the promise | the mailbox tells whether it was kept |
//! | before `clear` | a lease, all settled | it cost nothing |

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::view::ShmSafe;

/// One worker's place on the board.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Seat {
    /// Ordinal of the leased record << 1 | 1; 0 when there is no lease.
    lease: AtomicU64,
    job: AtomicU64,
    first: AtomicU64,
    count: AtomicU32,
    /// Set by a worker that is about to leave of its own accord.
    leaving: AtomicU32,
    /// begun << 32 | finished, of the leased batch.
    progress: AtomicU64,
    busy_ns: AtomicU64,
    tasks: AtomicU64,
    /// Settled tasks << 32 | ordinal of the record in the mailbox that will have settled them.
    promise: AtomicU64,
    /// Tasks from the batch's first on whose answers are in the mailbox.
    settled: AtomicU32,
    /// The first task whose result lies on the desk.
    staged_from: AtomicU32,
    /// End of the tasks whose results lie on the desk << 32 | bytes there.
    staged: AtomicU64,
    /// When the task that runs was begun, if the worker says so; monotonic nanoseconds.
    began_at: AtomicU64,
    pad: [AtomicU32; 10],
}

#[cfg(not(loom))]
const _: () = assert!(std::mem::size_of::<Seat>() == 128);

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for Seat {}

/// What a batch is: tasks `first..first + count` of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The job's number.
    pub job: u64,
    /// The first task's index in its job.
    pub first: u64,
    /// How many tasks.
    pub count: u32,
}

/// A lease as read from a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Ordinal of the record in the ring of tasks.
    pub ordinal: u32,
    /// What was leased.
    pub span: Span,
    /// Tasks of the batch that the worker had begun.
    pub begun: u32,
    /// Tasks of the batch that it had finished; their results are published if they travel singly.
    pub finished: u32,
    /// Tasks from the batch's first on whose answers it had counted as published.
    pub settled: u32,
    /// What it was about to settle by publishing once more, if anything.
    pub promise: Option<Promise>,
}

/// Results that lie on a desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The first task of the batch whose result lies there.
    pub from: u32,
    /// The task behind the last.
    pub until: u32,
    /// How many bytes they are.
    pub bytes: u32,
}

/// What a worker's death costs of the batch that it had leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Tasks that it had finished, but whose results are gone with it.
    pub unpublished: Option<Span>,
    /// Tasks that it had begun and not finished: one, or none.
    pub lost: Option<Span>,
    /// Tasks that it had not begun.
    pub again: Option<Span>,
}

/// In the count of begun and finished tasks: the one that runs is condemned.
const CONDEMNED: u64 = 1 << 63;

/// A worker's word that a record of its mailbox settles the first tasks of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Tasks from the batch's first on that are settled once the record has been put.
    pub settles: u32,
    /// The record's ordinal in the mailbox, modulo 2^32.
    pub ordinal: u32,
}
impl Seat {
    /// Empties the seat for a new worker.
    pub fn vacate(&self) {
        self.lease.store(0, Ordering::Relaxed);
        self.leaving.store(0, Ordering::Relaxed);
        self.promise.store(0, Ordering::Relaxed);
        self.settled.store(0, Ordering::Relaxed);
        self.staged.store(0, Ordering::Relaxed);
        self.began_at.store(0, Ordering::Relaxed);
        self.progress.store(0, Ordering::Release);
    }

    /// Writes a lease, in place of whatever stood there.
    pub(super) fn sign(&self, ordinal: u32, span: Span) {
        self.lease.store(0, Ordering::Release);
        self.job.store(span.job, Ordering::Relaxed);
        self.first.store(span.first, Ordering::Relaxed);
        self.count.store(span.count, Ordering::Relaxed);
        self.progress.store(0, Ordering::Relaxed);
        self.promise.store(0, Ordering::Relaxed);
        self.settled.store(0, Ordering::Relaxed);
        self.staged.store(0, Ordering::Relaxed);
        self.lease.store(signed(ordinal), Ordering::Release);
    }

    /// Strikes out a lease on a record that its dead holder did not get.
    pub(super) fn strike(&self, ordinal: u32) {
        // Nothing but that very lease: the seat may have been given to a new worker meanwhile.
        let _ =
            self.lease.compare_exchange(signed(ordinal), 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The worker is about to run its next task.
    #[inline]
    pub fn begin(&self) {
        let now = self.progress.load(Ordering::Relaxed);
        self.progress.store(now + (1 << 32), Ordering::Release);
    }

    /// Says when the task that is about to begin does so, for its time limit.
    #[inline]
    pub fn begin_at(&self, now: u64) {
        self.began_at.store(now, Ordering::Relaxed);
    }

    /// When the task that runs was begun; 0 if the worker has not said so.
    #[must_use]
    pub fn began_at(&self) -> u64 {
        self.began_at.load(Ordering::Relaxed)
    }

    /// The results of tasks `from..until` of the batch lie on the desk as so many bytes.
    #[inline]
    pub fn stage(&self, Staged { from, until, bytes }: Staged) {
        self.staged_from.store(from, Ordering::Relaxed);
        self.staged.store(u64::from(until) << 32 | u64::from(bytes), Ordering::Release);
    }

    /// What lies on the desk, of a worker that has ended.
    #[must_use]
    pub fn staged(&self) -> Staged {
        let staged = self.staged.load(Ordering::Acquire);
        let from = self.staged_from.load(Ordering::Relaxed);
        Staged { from, until: (staged >> 32) as u32, bytes: staged as u32 }
    }

    /// For a worker whose tasks have a time limit: the task that had begun has run. False if it is
    /// condemned: then its result must not be published. The worker is about to be killed, or, if that
    /// was a mistake, absolved: it asks again.
    #[must_use]
    pub fn finish_in_time(&self) -> bool {
        let now = self.progress.load(Ordering::Relaxed);
        let next = now.wrapping_add(1);
        now & CONDEMNED == 0
            && self
                .progress
                .compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Condemns the task that runs under a lease as it was read. False if the worker has moved on.
    ///
    /// Only for workers that use [`Seat::finish_in_time`].
    #[must_use]
    pub fn condemn(&self, lease: &Lease) -> bool {
        let seen = u64::from(lease.begun) << 32 | u64::from(lease.finished);
        if lease.begun <= lease.finished
            || self
                .progress
                .compare_exchange(seen, seen | CONDEMNED, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        // It cannot move on now. But the counts may be those of another batch that looks the same.
        let is_that_one = self.lease.load(Ordering::Acquire) == signed(lease.ordinal);
        if !is_that_one {
            self.progress.fetch_and(!CONDEMNED, Ordering::AcqRel);
        }
        is_that_one
    }

    /// The worker is about to put the record with that ordinal into its mailbox, which settles the
    /// first `settles` tasks of its batch.
    #[inline]
    pub fn promise(&self, settles: u32, ordinal: u32) {
        self.promise.store(u64::from(settles) << 32 | u64::from(ordinal), Ordering::Release);
    }

    /// The worker could not do what it promised.
    pub fn take_back(&self) {
        self.promise.store(0, Ordering::Release);
    }

    /// The worker has done what it promised.
    #[inline]
    pub fn settle(&self, settles: u32) {
        self.settled.store(settles, Ordering::Release);
    }

    /// The worker has run the task that it had begun.
    #[inline]
    pub fn finish(&self) {
        let now = self.progress.load(Ordering::Relaxed);
        self.progress.store(now + 1, Ordering::Release);
    }

    /// The worker has done the whole batch, which took it so long.
    pub fn clear(&self, busy_ns: u64, tasks: u64) {
        self.lease.store(0, Ordering::Release);
        self.busy_ns.store(self.busy_ns.load(Ordering::Relaxed) + busy_ns, Ordering::Relaxed);
        self.tasks.store(self.tasks.load(Ordering::Relaxed) + tasks, Ordering::Release);
    }

    /// The worker will leave of its own accord.
    pub fn leave(&self) {
        self.leaving.store(1, Ordering::Release);
    }

    /// Whether the worker said that it leaves.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire) != 0
    }

    /// Nanoseconds spent in tasks and their number, since the seat exists.
    #[must_use]
    pub fn work_done(&self) -> (u64, u64) {
        (self.busy_ns.load(Ordering::Relaxed), self.tasks.load(Ordering::Acquire))
    }

    /// The lease, if there is one.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        let lease = self.lease.load(Ordering::Acquire);
        if lease & 1 == 0 {
            return None;
        }
        let progress = self.progress.load(Ordering::Acquire);
        let promise = self.promise.load(Ordering::Acquire);
        Some(Lease {
            ordinal: (lease >> 1) as u32,
            span: Span {
                job: self.job.load(Ordering::Relaxed),
                first: self.first.load(Ordering::Relaxed),
                count: self.count.load(Ordering::Relaxed),
            },
            begun: ((progress & !CONDEMNED) >> 32) as u32,
            finished: progress as u32,
            settled: self.settled.load(Ordering::Acquire),
            promise: (promise != 0)
                .then_some(Promise { settles: (promise >> 32) as u32, ordinal: promise as u32 }),
        })
    }

    /// The lease of a worker that has died, unless it died before it got the record: `is_taken` tells of
    /// an ordinal whether the ring says so.
    #[must_use]
    pub fn lease_that_counts(&self, is_taken: impl FnOnce(u32) -> bool) -> Option<Lease> {
        let lease = self.lease()?;
        if !is_taken(lease.ordinal) {
            return None;
        }
        // Whoever took the record instead struck out this lease before it did.
        self.lease().filter(|again| again.ordinal == lease.ordinal)
    }
}

impl Lease {
    /// How many tasks of the batch are settled: `was_put` tells of an ordinal whether the worker's
    /// mailbox has ever had that record.
    #[must_use]
    pub fn settled_by(&self, was_put: impl FnOnce(u32) -> bool) -> u32 {
        match self.promise {
            Some(promise) if was_put(promise.ordinal) => promise.settles,
            _ => self.settled,
        }
    }

    /// What the worker's death costs, if so many tasks of the batch are settled. Each task is settled or
    /// in one of the three parts.
    #[must_use]
    pub fn cost(&self, settled: u32) -> Cost {
        let part = |from: u32, to: u32| {
            (from < to).then(|| Span {
                job: self.span.job,
                first: self.span.first + u64::from(from),
                count: to - from,
            })
        };
        Cost {
            unpublished: part(settled, self.finished),
            lost: part(self.finished.max(settled), self.begun),
            again: part(self.begun.max(settled), self.span.count),
        }
    }
}

/// The word of a lease on a record.
const fn signed(ordinal: u32) -> u64 {
    (ordinal as u64) << 1 | 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn seat_at(ordinal: u32, begun: u32, finished: u32) -> Seat {
        let seat = Seat::default();
        seat.sign(ordinal, Span { job: 1, first: 0, count: 9 });
        for _ in 0..begun {
            seat.begin();
        }
        for _ in 0..finished {
            seat.finish();
        }
        seat
    }

    #[test]
    fn a_condemned_task_does_not_finish() {
        let seat = seat_at(7, 3, 2);
        let lease = seat.lease().expect("it is signed");
        assert!(seat.condemn(&lease) && !seat.condemn(&lease));
        assert!(!seat.finish_in_time());
        let condemned = seat.lease().expect("it is signed");
        assert_eq!((condemned.begun, condemned.finished), (3, 2));
    }

    #[test]
    fn a_task_that_has_finished_is_not_condemned() {
        let seat = seat_at(7, 3, 2);
        let lease = seat.lease().expect("it is signed");
        assert!(seat.finish_in_time());
        assert!(!seat.condemn(&lease));
        seat.begin();
        assert!(!seat.condemn(&lease) && seat.finish_in_time());
        // Another batch, with the same counts.
        let lease = seat_at(7, 1, 0).lease().expect("it is signed");
        let seat = seat_at(8, 1, 0);
        assert!(!seat.condemn(&lease) && seat.finish_in_time());
        assert!(!seat.condemn(&seat_at(8, 0, 0).lease().expect("it is signed")));
    }

    #[test]
    fn what_lies_on_the_desk_is_forgotten_with_the_lease() {
        let seat = seat_at(7, 3, 3);
        let staged = Staged { from: 1, until: 3, bytes: 40 };
        seat.stage(staged);
        assert_eq!(seat.staged(), staged);
        seat.sign(8, Span { job: 1, first: 9, count: 9 });
        assert_eq!((seat.staged().until, seat.staged().bytes), (0, 0));
    }
}
