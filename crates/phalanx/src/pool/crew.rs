//! The owner's side of a pool: what is sent, what comes back, who has died.

use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::leases::{Cost, Lease, LeaseBoard, Span, Staged};
use phalanx_shm::object::{Bytes, Shared};
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::ring::Ring;
use phalanx_shm::spin::Spin;
use phalanx_shm::sync::{Deadline, Ordering};

use super::injector::Injector;
use super::worker::{Bench, Label};
use crate::message::{Arrived, Incoming, Outgoing};

static SPIN: Spin = Spin::new();

/// Batches on their way to workers that lie in shared memory at a time.
const QUEUED_MOST: u32 = 32_768;

/// How often a waiting owner looks whether all its workers are still alive.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(25);

/// The shared parts of a pool, as its owner holds them.
pub struct Crew {
    board: Shared<LeaseBoard>,
    tasks: Injector,
    mailboxes: Mutex<Vec<Option<Shared<Ring>>>>,
    /// Raised whenever a thread of the owner has taken in news that others may wait for.
    rounds: AtomicU32,
}

/// Something a worker has published.
#[derive(Debug)]
pub struct News<'a> {
    /// The seat of the worker.
    pub seat: usize,
    /// What it says; for payloads, only the label.
    pub bytes: &'a [u8],
    /// The rest of it, if it came with a chunk of its own.
    pub parcel: Option<Arrived>,
}

/// What the death of a worker cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The task that was running when it died.
    pub lost: Option<Span>,
    /// Tasks of its batch that have to be sent again: their results are not published, and they
    /// were not begun.
    pub again: Option<Span>,
    /// Tasks of its batch that had run, but whose results were to travel together with others and
    /// are lost.
    pub unpublished: Option<Span>,
    /// Results that it had collected and not published: of which tasks, and their bytes.
    pub staged: Option<(Span, Vec<u8>)>,
    /// Whether it had begun any task of its batch; otherwise reading the batch may have killed it.
    pub begun: bool,
    /// Whether it had announced that it would leave.
    pub left: bool,
}

impl Crew {
    /// A crew of so many seats, all empty.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(family: &'static Family, seats: usize) -> Result<Self, AllocError> {
        Self::with_desks(family, seats, 0)
    }

    /// The same with desks of so many bytes, where workers can collect results before they publish
    /// them together, and with jobs that can be cancelled. Without desks there is neither.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn with_desks(
        family: &'static Family,
        seats: usize,
        desk: usize,
    ) -> Result<Self, AllocError> {
        let board = LeaseBoard::create(family, seats, desk)?;
        let tasks = Injector::new(family, board.clone(), QUEUED_MOST)?;
        let mailboxes = Mutex::new((0..seats).map(|_| None).collect());
        Ok(Self { board, tasks, mailboxes, rounds: AtomicU32::new(0) })
    }

    fn mailboxes(&self) -> MutexGuard<'_, Vec<Option<Shared<Ring>>>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn family(&self) -> &'static Family {
        self.tasks.ring().family()
    }

    /// How many seats there are.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.mailboxes().len()
    }

    /// Prepares a seat for a new worker: what it needs to sit down and work.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn bench(&self, seat: usize) -> Result<Bench, AllocError> {
        let mailbox = Shared::<Ring>::new(self.family(), |_| {})?;
        mailbox.prepare(self.family(), 0)?;
        self.board.seat(seat).vacate();
        self.mailboxes()[seat] = Some(mailbox.clone());
        Ok(Bench::new(self.board.clone(), self.tasks.ring().clone(), mailbox, seat))
    }

    /// Sends a batch, without waiting for room: which tasks it holds, two words for the layer above, and the encoded tasks.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn submit(
        &self,
        span: Span,
        tag: [u64; 2],
        body: Outgoing<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), AllocError> {
        self.tasks.send(&Label { span, tag }.pack(), body, scratch)
    }

    /// Puts a function where workers can read it: its id and its bytes. It stays there until the
    /// handle is dropped, which must not happen while tasks that name it are on their way.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn keep(&self, id: u64, bytes: &[u8]) -> Result<Shared<Bytes>, AllocError> {
        let kept = Shared::with_tail(self.family(), bytes.len(), |object: &Bytes| {
            object.tag.store(id, Ordering::Relaxed);
        })?;
        kept.fill(bytes);
        Ok(kept)
    }

    /// Batches that no worker has taken yet.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.tasks.len()
    }

    /// Hands over everything that workers have published since the last call. Returns how many.
    pub fn collect(&self, scratch: &mut Vec<u8>, sink: &mut dyn FnMut(News<'_>)) -> usize {
        if !self.board.has_news() {
            return 0;
        }
        let boxes = self.mailboxes();
        let flagged: Vec<usize> = self.board.take_flags().collect();
        let mut count = 0;
        for seat in flagged {
            if let Some(Some(mailbox)) = boxes.get(seat) {
                count += empty(mailbox, seat, scratch, sink);
            }
        }
        count
    }

    /// Whether anything has been published that was not collected yet.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.board.has_news()
    }

    /// How often news has been passed on so far. To be read before looking whether what one waits
    /// for is there, and given to [`Crew::wait`].
    #[must_use]
    pub fn round(&self) -> u32 {
        self.rounds.load(Ordering::SeqCst)
    }

    /// Sleeps until there is news, or somebody has passed news on since `round`; for a short while
    /// at most, so that the caller can look after its workers in between.
    ///
    /// # Errors
    /// [`GaveUp`] when the caller's patience ends.
    pub fn wait(&self, round: u32, patience: &Patience<'_>) -> Result<(), GaveUp> {
        let news = || (self.board.has_news() || self.round() != round).then_some(());
        if SPIN.until(news).is_some() {
            return Ok(());
        }
        let ticket = self.board.ready().register();
        if news().is_none() {
            let look = Deadline::after(LOOK_EVERY);
            let end = patience.deadline().map_or(look, |d| d.min(look));
            let _ = self.board.ready().sleep(ticket, Some(end));
        }
        if news().is_some() { Ok(()) } else { patience.check() }
    }

    /// Wakes other threads of the owner that wait for news, because this one has taken theirs in.
    pub fn pass_on(&self) {
        self.rounds.fetch_add(1, Ordering::SeqCst);
        self.board.ready().notify_all();
    }

    /// Nanoseconds that tasks have taken, and how many tasks that were.
    #[must_use]
    pub fn work_done(&self) -> (u64, u64) {
        (0..self.seats()).fold((0, 0), |(ns, n), seat| {
            let (more_ns, more) = self.board.seat(seat).work_done();
            (ns + more_ns, n + more)
        })
    }

    /// The lease that a seat holds at present, for live views and errors.
    #[must_use]
    pub fn lease(&self, seat: usize) -> Option<Lease> {
        self.board.seat(seat).lease()
    }

    /// When the task of a seat was begun, if its worker tells; monotonic nanoseconds.
    #[must_use]
    pub fn began_at(&self, seat: usize) -> u64 {
        self.board.seat(seat).began_at()
    }

    /// Condemns the task that a seat's worker runs under the lease: it will not be answered, and the
    /// worker does nothing more. False if it has moved on.
    #[must_use]
    pub fn condemn(&self, seat: usize, lease: &Lease) -> bool {
        self.board.seat(seat).condemn(lease)
    }

    /// Nobody wants the results of a job any more: workers skip its tasks, as far as they can.
    ///
    /// # Panics
    /// When the crew has no desks.
    pub fn cancel(&self, job: u64) {
        self.board.cancel(job);
    }

    /// Whether the worker of a seat has announced that it leaves.
    #[must_use]
    pub fn is_leaving(&self, seat: usize) -> bool {
        self.board.seat(seat).is_leaving()
    }

    /// The worker of `seat` has ended and has been swept: hands over what it still published, and
    /// tells what its death cost. The seat is empty afterwards.
    pub fn bury(
        &self,
        seat: usize,
        scratch: &mut Vec<u8>,
        sink: &mut dyn FnMut(News<'_>),
    ) -> Ended {
        let mailbox = self.mailboxes()[seat].take();
        if let Some(mailbox) = &mailbox {
            empty(mailbox, seat, scratch, sink);
        }
        let chair = self.board.seat(seat);
        let left = chair.is_leaving();
        let lease =
            chair.lease_that_counts(|ordinal| self.tasks.ring().is_taken(self.family(), ordinal));
        let settled = lease.map_or(0, |lease| {
            lease.settled_by(|ordinal| mailbox.as_ref().is_some_and(|m| was_put(m, ordinal)))
        });
        let (settled, staged) = match &lease {
            Some(lease) => self.clear_desk(seat, lease, settled),
            None => (settled, None),
        };
        chair.vacate();
        let Some(lease) = lease else {
            let (lost, again, unpublished) = (None, None, None);
            return Ended { lost, again, unpublished, staged, begun: false, left };
        };
        let Cost { unpublished, lost, again } = lease.cost(settled);
        Ended { lost, again, unpublished, staged, begun: lease.begun > 0, left }
    }

    /// The results on a desk that count, and how many tasks of the batch are settled with them.
    fn clear_desk(
        &self,
        seat: usize,
        lease: &Lease,
        settled: u32,
    ) -> (u32, Option<(Span, Vec<u8>)>) {
        let Staged { from, until, bytes } = self.board.seat(seat).staged();
        let (until, bytes) = (until.min(lease.span.count), bytes as usize);
        // Those that begin earlier were published since.
        if from != settled || until <= settled || bytes > self.board.desk() {
            return (settled, None);
        }
        let mut results = Vec::new();
        self.board.read_desk(seat, bytes, &mut results);
        let first = lease.span.first + u64::from(from);
        let span = Span { job: lease.span.job, first, count: until - from };
        (until, Some((span, results)))
    }

    /// Lets workers go when they have done everything that was sent.
    pub fn close(&self) {
        self.tasks.close();
    }

    /// Throws away the batches that no worker has taken yet.
    pub fn discard_queued(&self) {
        self.tasks.discard();
    }
}

fn empty(
    mailbox: &Shared<Ring>,
    seat: usize,
    scratch: &mut Vec<u8>,
    sink: &mut dyn FnMut(News<'_>),
) -> usize {
    let mut count = 0;
    loop {
        scratch.clear();
        let Ok(taken) = mailbox.take(mailbox.family(), scratch, &Patience::none()) else {
            return count;
        };
        let parcel = Incoming::new(mailbox.family(), taken).into_parcel();
        sink(News { seat, bytes: scratch, parcel });
        count += 1;
    }
}

/// Whether a mailbox has ever had the record with that ordinal.
fn was_put(mailbox: &Shared<Ring>, ordinal: u32) -> bool {
    // Records of one batch are less than 2^31 apart.
    (mailbox.put_count(mailbox.family()).wrapping_sub(ordinal) as i32) > 0
}
