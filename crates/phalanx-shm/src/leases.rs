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
//! pool that owns it, except that a void lease is struck out by who finds it.

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
    pad: [AtomicU64; 6],
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
    pad: [AtomicU32; 15],
}

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

/// A worker's word that a record of its mailbox settles the first tasks of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Tasks from the batch's first on that are settled once the record has been put.
    pub settles: u32,
    /// The record's ordinal in the mailbox, modulo 2^32.
    pub ordinal: u32,
}

impl LeaseBoard {
    /// A board with so many seats (at most [`MAX_SEATS`]).
    ///
    /// # Errors
    /// When there is no memory.
    pub fn create(
        family: &'static Family,
        seats: usize,
    ) -> Result<Shared<Self>, crate::arena::AllocError> {
        let seats = seats.min(MAX_SEATS);
        Shared::with_tail(family, seats * std::mem::size_of::<Seat>(), |board: &Self| {
            board.seats.store(seats as u32, Ordering::Relaxed);
        })
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
    pub fn seat(&self, number: usize) -> &Seat {
        assert!(number < self.seats.load(Ordering::Relaxed) as usize, "no seat {number}");
        let at = self.tail_offset() + (number * std::mem::size_of::<Seat>()) as u64;
        self.family().arena().at(at)
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
            begun: (progress >> 32) as u32,
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
