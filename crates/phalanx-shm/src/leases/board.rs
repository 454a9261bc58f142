//! The board of a pool in shared memory: the seats, their desks, and the words that all share.

use super::MAX_SEATS;
use super::flags::Flags;
use super::seat::{Lease, Seat, Span};
use super::signing::Signing;
use crate::arena::Arena;
use crate::event_count::EventCount;
use crate::failpoint;
use crate::family::Family;
use crate::object::{ObjectKind, Shared, SharedObject};
use crate::peers::SlotId;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::view::ShmSafe;

/// Words of cancelled jobs.
const CANCELLED: usize = 1024;

/// What a pool and its workers share besides the rings; the seats lie behind it.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct LeaseBoard {
    seats: AtomicU32,
    closing: AtomicU32,
    ready: EventCount,
    signing: Signing,
    /// Bytes of each seat's desk; without desks there are no words of cancelled jobs either.
    desk: AtomicU32,
    unused: AtomicU32,
    pad: [AtomicU64; 5],
    flags: Flags,
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
        self.flags.raise(seat);
        self.ready.notify_one();
    }

    /// Whether any seat is flagged.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.flags.any()
    }

    /// The flagged seats, whose flags are taken down.
    pub fn take_flags(&self) -> impl Iterator<Item = usize> + '_ {
        self.flags.take()
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
        let seats = self.seats.load(Ordering::Relaxed) as usize;
        // In range, whatever stands in a word: a panic here would leave the ring locked.
        let seat = |number| (number < seats).then(|| self.seat(number));
        self.signing.sign(seat, number, ordinal, span);
    }
}
