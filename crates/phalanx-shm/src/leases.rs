//! Leases: which worker of a pool is running which task, written where everybody can read it.
//!
//! A pool has a board with one seat for each worker. A worker that takes a batch of tasks from the
//! pool's ring writes the lease into its seat *before* the record counts as taken (see
//! [`crate::ring::Ring::take_noting`]), and while it runs the batch it counts in one word how many
//! tasks it has begun and how many it has finished. So when it dies, whoever reads its seat knows:
//!
//! | the seat says | the ring says | meaning |
//! |---|---|---|
//! | no lease | - | it was idle: nothing is lost |
//! | a lease | record not taken | it died taking it: the batch is still in the ring |
//! | a lease, begun = finished | taken | it died between tasks: all unfinished ones are run again |
//! | a lease, begun > finished | taken | task number `finished` died with it; those behind it are run again |
//!
//! Two moments need care.
//!
//! *Taking.* A worker that dies between signing and taking leaves a lease on a record that the next
//! worker takes, after which the ring says "taken" for both. So who signs looks first at the seat that
//! signed before (its number is on the board; one signs under the ring's lock): if that lease names
//! the very record that is being taken, its holder is dead and did not get it, and the lease is void.
//!
//! *Publishing.* Putting a result into the mailbox and counting it are two steps. So before it puts,
//! the worker *promises*: "once my mailbox has had record number n, the first k tasks are settled".
//! Whether that record was put is written in the mailbox for ever, so nobody has to guess whether a
//! result is still to come.
//!
//! The words of a seat are written by its worker alone, until its death has been proven; then by the
//! pool that owns it, with two exceptions: a void lease is struck out by who finds it, and the owner may
//! *condemn* a task that runs too long.
//!
//! *Desks.* Publishing costs some hundred nanoseconds, far more than a tiny task. So short results can
//! be collected and published together, and still none is lost with its worker: each is first written
//! to the seat's desk, a run of bytes behind the seats, and then counted by one word that says which
//! tasks' results lie there and how many bytes they are. The owner of a worker that died takes them
//! from the desk. Once they are published the word names tasks that are settled, and counts for nothing.
//!
//! *Condemning.* A worker whose task has taken too long is killed, but it may have begun the next task
//! by then, which is innocent. So the owner first sets a bit in the count of begun and finished tasks, by
//! an exchange that fails if the worker has moved on; and a worker whose tasks have a limit counts a task
//! as finished by an exchange that fails if the bit is set. Then it waits for its end.
//!
//! *Cancelling.* The number of a job whose results nobody wants is written into one of the board's words
//! of cancelled jobs, chosen by the number. Workers look there before each task, and tasks may look while
//! they run. A later job at the same word makes the former be forgotten: its tasks are run for nothing.

use crate::arena::Arena;
use crate::event_count::EventCount;
use crate::failpoint;
use crate::family::Family;
use crate::object::{ObjectKind, Shared, SharedObject};
use crate::peers::SlotId;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::view::ShmSafe;

/// The largest number of workers in one pool.
pub const MAX_SEATS: usize = 1024;

/// What a pool and its workers share besides the rings; the seats lie behind it.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct LeaseBoard {
    seats: AtomicU32,
    closing: AtomicU32,
    ready: EventCount,
    /// 1 + the seat that was the last to sign a lease, whether it got its record or not; 0 at first.
    signing: AtomicU32,
    /// Bytes of each seat's desk; without desks there are no words of cancelled jobs either.
    desk: AtomicU32,
    unused: AtomicU32,
    pad: [AtomicU64; 5],
    dirty: [AtomicU64; MAX_SEATS / 64],
}

// SAFETY: atomics only.
#[allow(unsafe_code)]
unsafe impl ShmSafe for LeaseBoard {}

// SAFETY: the kind is this type's alone; zero is a board without seats.
#[allow(unsafe_code)]
unsafe impl SharedObject for LeaseBoard {
    const KIND: ObjectKind = ObjectKind::Pool;

    /// Leases stay: the pool reads them. A wake-up may have died with the process.
    fn on_death(&self, _dead: SlotId, _family: &Family) {
        self.ready.notify_all();
    }

    fn describe(&self, arena: &Arena) -> String {
        let seats = self.seats.load(Ordering::Relaxed) as usize;
        let behind = arena.offset_of(self) + std::mem::size_of::<Self>() as u64;
        let mut words = format!("{seats} seats");
        if self.is_closing() {
            words.push_str(", closing");
        }
        for (number, seat) in arena.slice_at::<Seat>(behind, seats).iter().enumerate() {
            let Some(lease) = seat.lease() else { continue };
            let Lease { span: Span { job, first, count }, begun, finished, .. } = lease;
            words.push_str(&format!(
                "; seat {number} has tasks {first} to {} of job {job}, begun {begun}, done {finished}",
                first + u64::from(count.saturating_sub(1)),
            ));
        }
        words
    }
}

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

/// In the count of begun and finished tasks: the one that runs is condemned.
const CONDEMNED: u64 = 1 << 63;

/// Words of cancelled jobs.
const CANCELLED: usize = 1024;

/// A worker's word that a record of its mailbox settles the first tasks of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Tasks from the batch's first on that are settled once the record has been put.
    pub settles: u32,
    /// The record's ordinal in the mailbox, modulo 2^32.
    pub ordinal: u32,
}

impl LeaseBoard {
    /// A board with so many seats (at most [`MAX_SEATS`]), each with a desk of so many bytes.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn create(
        family: &'static Family,
        seats: usize,
        desk: usize,
    ) -> Result<Shared<Self>, crate::arena::AllocError> {
        let seats = seats.min(MAX_SEATS);
        let desk = desk.next_multiple_of(64);
        let extras = if desk == 0 { 0 } else { CANCELLED * 8 + seats * desk };
        let tail = seats * std::mem::size_of::<Seat>() + extras;
        Shared::with_tail(family, tail, |board: &Self| {
            board.seats.store(seats as u32, Ordering::Relaxed);
            board.desk.store(desk as u32, Ordering::Relaxed);
        })
    }

    /// Bytes of each seat's desk.
    #[must_use]
    pub fn desk(&self) -> usize {
        self.desk.load(Ordering::Relaxed) as usize
    }

    /// Results or other news arrive: slept on by the pool, notified by workers.
    #[must_use]
    pub fn ready(&self) -> &EventCount {
        &self.ready
    }

    /// From now on workers leave when there is nothing more to do.
    pub fn close(&self) {
        self.closing.store(1, Ordering::SeqCst);
    }

    /// Whether the pool takes no more tasks.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst) != 0
    }

    /// Says that the mailbox of a seat has something new. Call after publishing.
    #[inline]
    pub fn flag(&self, seat: usize) {
        let (word, bit) = (&self.dirty[seat / 64 % self.dirty.len()], 1 << (seat % 64));
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
        self.ready.notify_one();
    }

    /// Whether any seat is flagged.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.dirty.iter().any(|word| word.load(Ordering::SeqCst) != 0)
    }

    /// The flagged seats, whose flags are taken down.
    pub fn take_flags(&self) -> impl Iterator<Item = usize> + '_ {
        self.dirty.iter().enumerate().flat_map(|(i, word)| {
            let mut bits =
                if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::SeqCst) };
            std::iter::from_fn(move || {
                (bits != 0).then(|| {
                    let bit = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

impl Shared<LeaseBoard> {
    /// A seat by its number.
    ///
    /// # Panics
    /// When the board has no such seat.
    #[must_use]
    #[inline]
    pub fn seat(&self, number: usize) -> &Seat {
        assert!(number < self.seats.load(Ordering::Relaxed) as usize, "no seat {number}");
        let at = self.tail_offset() + (number * std::mem::size_of::<Seat>()) as u64;
        self.family().arena().at(at)
    }

    fn behind_the_seats(&self) -> u64 {
        let seats = self.seats.load(Ordering::Relaxed) as usize;
        self.tail_offset() + (seats * std::mem::size_of::<Seat>()) as u64
    }

    /// The word where a job's cancellation is noted.
    ///
    /// # Panics
    /// When the board has no desks.
    fn cancelled_word(&self, job: u64) -> &AtomicU64 {
        assert!(self.desk() > 0, "a board without desks has no words of cancelled jobs");
        let at = self.behind_the_seats() + (job as usize % CANCELLED * 8) as u64;
        self.family().arena().at(at)
    }

    /// Nobody wants the results of the job any more.
    ///
    /// # Panics
    /// When the board has no desks.
    pub fn cancel(&self, job: u64) {
        self.cancelled_word(job).store(job, Ordering::Release);
    }

    /// Whether the job was cancelled and that was not forgotten; on a board without desks none is.
    #[must_use]
    #[inline]
    pub fn is_cancelled(&self, job: u64) -> bool {
        self.desk() > 0 && self.cancelled_word(job).load(Ordering::Relaxed) == job
    }

    fn desk_offset(&self, number: usize, at: usize, len: usize) -> u64 {
        let desk = self.desk();
        assert!(at.checked_add(len).is_some_and(|end| end <= desk), "no room on the desk");
        let seats = self.seats.load(Ordering::Relaxed) as usize;
        assert!(number < seats, "no seat {number}");
        self.behind_the_seats() + (CANCELLED * 8 + number * desk + at) as u64
    }

    /// Lays a record on the desk of seat `number`, from byte `at` on: the length of `bytes` as a
    /// little-endian word, then `bytes`. It counts once [`Seat::stage`] says so. For the seat's worker.
    ///
    /// # Panics
    /// When the desk has no room for it.
    #[inline]
    pub fn lay(&self, number: usize, at: usize, bytes: &[u8]) {
        let offset = self.desk_offset(number, at, 8 + bytes.len());
        self.family().arena().write_record(offset, (bytes.len() as u64).to_le(), bytes);
        failpoint!("pool.desk.written");
    }

    /// Appends the first `len` bytes on the desk of seat `number` to `out`: for its worker, or once that
    /// has ended.
    ///
    /// # Panics
    /// When the desk has not so many.
    pub fn read_desk(&self, number: usize, len: usize, out: &mut Vec<u8>) {
        self.family().arena().read_bytes(self.desk_offset(number, 0, len), len, out);
    }

    /// Writes a lease on the record that the worker of seat `number` is about to take. To be called
    /// under the lock of the ring of tasks.
    pub fn sign(&self, number: usize, ordinal: u32, span: Span) {
        let before = self.signing.load(Ordering::Relaxed) as usize;
        let seats = self.seats.load(Ordering::Relaxed) as usize;
        // In range, whatever stands there: a panic here would leave the ring locked.
        if (1..=seats).contains(&before) && before - 1 != number {
            self.seat(before - 1).strike(ordinal);
        }
        failpoint!("pool.lease.struck");
        self.signing.store(number as u32 + 1, Ordering::Release);
        failpoint!("pool.lease.signing");
        self.seat(number).sign(ordinal, span);
        failpoint!("pool.lease.signed");
    }
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

    fn sign(&self, ordinal: u32, span: Span) {
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
    fn strike(&self, ordinal: u32) {
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
