//! A worker's side of a pool: take a batch, run it task by task, publish what comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use phalanx_shm::arena::AllocError;
use phalanx_shm::failpoint;
use phalanx_shm::family::Family;
use phalanx_shm::leases::{LeaseBoard, Seat, Span, Staged};
use phalanx_shm::object::{Bytes, NotHeld, Shared};
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::{Peers, SlotId};
use phalanx_shm::ring::Ring;

use super::labelled::put;
use crate::message::{Arrived, Incoming, Outgoing};

/// What a batch says of itself, in front of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) span: Span,
    pub(super) tag: [u64; 2],
}

const LABEL: usize = 40;

impl Label {
    pub(super) fn pack(self) -> [u8; LABEL] {
        let words =
            [self.span.job, self.span.first, u64::from(self.span.count), self.tag[0], self.tag[1]];
        let mut bytes = [0; LABEL];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..LABEL)?;
        let mut words = [0; 5];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(from.try_into().ok()?);
        }
        let [job, first, count, a, b] = words;
        let count = u32::try_from(count).ok()?;
        Some(Self { span: Span { job, first, count }, tag: [a, b] })
    }
}

/// A worker's place in a pool: where it takes tasks from and where its results go.
#[derive(Clone, Debug)]
pub struct Bench {
    board: Shared<LeaseBoard>,
    tasks: Shared<Ring>,
    mailbox: Shared<Ring>,
    seat: usize,
    /// The place of the process that leases batches here, once one has; 0 before.
    worker: Arc<AtomicU16>,
}

/// A batch that this worker has leased.
#[derive(Debug)]
pub struct Leased {
    /// Which tasks it holds.
    pub span: Span,
    /// What the owner attached.
    pub tag: [u64; 2],
    /// The encoded tasks if they came with a chunk of their own; otherwise they are in the caller's
    /// buffer, from [`Leased::BODY`] on.
    pub parcel: Option<Arrived>,
}

impl Leased {
    /// Where the encoded tasks begin in the buffer of a batch without payload.
    pub const BODY: usize = LABEL;
}

impl Bench {
    pub(super) fn new(
        board: Shared<LeaseBoard>,
        tasks: Shared<Ring>,
        mailbox: Shared<Ring>,
        seat: usize,
    ) -> Self {
        Self { board, tasks, mailbox, seat, worker: Arc::default() }
    }

    /// What names the bench to a process that is spawned.
    #[must_use]
    pub fn address(&self) -> [u64; 4] {
        [self.board.offset(), self.tasks.offset(), self.mailbox.offset(), self.seat as u64]
    }

    /// The bench behind an address, in the process it was sent to.
    ///
    /// # Errors
    /// When the process was not given holds on the pool's parts.
    pub fn at(family: &'static Family, address: [u64; 4]) -> Result<Self, NotHeld> {
        let [board, tasks, mailbox, seat] = address;
        Ok(Self {
            board: Shared::from_offset(family, board)?,
            tasks: Shared::from_offset(family, tasks)?,
            mailbox: Shared::from_offset(family, mailbox)?,
            seat: seat as usize,
            worker: Arc::default(),
        })
    }

    /// Gives a child that is being spawned its holds.
    pub fn hold_for(&self, place: SlotId) {
        self.board.hold_for(place);
        self.tasks.hold_for(place);
        self.mailbox.hold_for(place);
    }

    pub(super) fn family(&self) -> &'static Family {
        self.tasks.family()
    }

    fn seat(&self) -> &Seat {
        self.board.seat(self.seat)
    }

    /// A task may fork, and its child may come back from the task as its parent does: two would then
    /// work at one seat and answer everything twice. The parent does; the child ends.
    fn be_the_worker(&self) {
        let me = self.family().me().raw();
        let worker = self.worker.load(Ordering::Relaxed);
        if worker == 0 {
            self.worker.store(me, Ordering::Relaxed);
        } else if worker != me {
            phalanx_os::fork::exit_now(0);
        }
    }

    /// The number of the worker's seat.
    #[must_use]
    pub fn number(&self) -> usize {
        self.seat
    }

    /// Takes the next batch under a lease. `None` when the pool is closing and nothing is left.
    ///
    /// # Errors
    /// [`GaveUp`] when the caller's patience ends first.
    pub fn lease(
        &self,
        buffer: &mut Vec<u8>,
        patience: &Patience<'_>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Leased>, GaveUp> {
        self.be_the_worker();
        buffer.clear();
        let closing = || self.board.is_closing();
        let patience =
            Patience::until(patience.deadline()).interruptible(interrupted).until_stopped(&closing);
        let taken = self.tasks.take_noting(self.family(), buffer, &patience, &mut |noted| {
            if let Some(label) = Label::unpack(noted.bytes) {
                self.board.sign(self.seat, noted.ordinal, label.span);
            }
        });
        match taken {
            Ok(taken) => {
                failpoint!("pool.lease.taken");
                let label = Label::unpack(buffer)
                    .unwrap_or(Label { span: Span { job: 0, first: 0, count: 0 }, tag: [0; 2] });
                let parcel = Incoming::new(self.family(), taken).into_parcel();
                Ok(Some(Leased { span: label.span, tag: label.tag, parcel }))
            }
            Err(GaveUp::Interrupted)
                if self.board.is_closing() && self.tasks.is_empty(self.family()) =>
            {
                Ok(None)
            }
            Err(why) => Err(why),
        }
    }

    /// The next task of the batch begins.
    #[inline]
    pub fn begin(&self) {
        self.seat().begin();
        failpoint!("pool.task.begun");
    }

    /// The task that had begun has run, and its result is published if results travel singly.
    #[inline]
    pub fn finish(&self) {
        self.seat().finish();
        failpoint!("pool.task.finished");
    }

    /// Says when the task that is about to begin does so, for its time limit.
    #[inline]
    pub fn begin_at(&self, now: u64) {
        self.seat().begin_at(now);
    }

    /// Like [`Bench::finish`], for tasks that have a time limit. Does not return in a process whose task
    /// was too late: it waits for its end.
    pub fn finish_in_time(&self) {
        while !self.seat().finish_in_time() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        failpoint!("pool.task.finished");
    }

    /// Bytes of the seat's desk.
    pub(super) fn desk(&self) -> usize {
        self.board.desk()
    }

    /// Puts a result on the desk as a record, from byte `at` on: from now on it is not lost with this
    /// process, and with it the tasks from `from` on, up to but not including `until`, have results
    /// there. Returns where the next one begins.
    pub(super) fn stage(&self, from: u32, until: u32, at: usize, result: &[u8]) -> usize {
        self.board.lay(self.seat, at, result);
        let end = at + 8 + result.len();
        self.seat().stage(Staged { from, until, bytes: end as u32 });
        failpoint!("pool.desk.staged");
        end
    }

    /// Appends what lies on the desk, so many bytes, to `out`.
    pub(super) fn read_desk(&self, len: usize, out: &mut Vec<u8>) {
        self.board.read_desk(self.seat, len, out);
    }

    /// Whether nobody wants the results of the job.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self, job: u64) -> bool {
        self.board.is_cancelled(job)
    }

    /// The whole batch is done.
    pub fn done(&self, busy_ns: u64, tasks: u64) {
        failpoint!("pool.batch.done");
        self.seat().clear(busy_ns, tasks);
        failpoint!("pool.batch.cleared");
    }

    /// Publishes something that answers no task: a label for the owner, and the encoded rest.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn announce(
        &self,
        label: &[u8],
        body: Outgoing<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), AllocError> {
        put(&self.mailbox, label, body, scratch)?;
        self.board.flag(self.seat);
        Ok(())
    }

    /// Publishes a result: a label for the owner, and the encoded result. With it the first
    /// `settles` tasks of the batch are answered, however this process ends.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn publish(
        &self,
        settles: u32,
        label: &[u8],
        body: Outgoing<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), AllocError> {
        self.be_the_worker();
        failpoint!("pool.task.ran");
        let seat = self.seat();
        seat.promise(settles, self.mailbox.put_count(self.family()));
        failpoint!("pool.result.promised");
        put(&self.mailbox, label, body, scratch).inspect_err(|_| seat.take_back())?;
        failpoint!("pool.result.published");
        seat.settle(settles);
        failpoint!("pool.result.settled");
        self.board.flag(self.seat);
        failpoint!("pool.result.flagged");
        Ok(())
    }

    /// Reads a function that the owner keeps in shared memory (see
    /// [`Crew::keep`](super::Crew::keep)): its id, and its bytes if `wanted` says so of the id.
    #[must_use]
    pub fn function(
        &self,
        offset: u64,
        out: &mut Vec<u8>,
        wanted: impl FnOnce(u64) -> bool,
    ) -> Option<u64> {
        let (id, at, len) = Bytes::peek(self.family(), offset)?;
        if wanted(id) {
            self.family().arena().read_bytes(at, len, out);
        }
        Some(id)
    }

    /// Announces that this worker leaves of its own accord, so that it is replaced at once.
    pub fn leave(&self) {
        self.seat().leave();
        self.board.flag(self.seat);
    }

    /// Whether the pool is closing.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.board.is_closing()
    }
}
