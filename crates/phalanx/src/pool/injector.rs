//! Where batches wait for a worker: a ring with a limit, and behind it a line in the owner's own memory.
//!
//! Workers take batches from the ring. What more is sent than the ring holds stands in line, encoded, and a
//! thread that exists only while there is a line moves it up as the workers make room. So sending
//! never waits, and the ring holds a bounded number of batches however many are sent.
//!
//! The order is that of sending: while there is a line, or its thread holds a batch, new ones go to
//! its end. The line is private: if the owner dies, the pool goes with it. The ring's own repair
//! rules cover a worker that dies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phalanx_shm::arena::AllocError;
use phalanx_shm::family::Family;
use phalanx_shm::leases::LeaseBoard;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;
use phalanx_shm::ring::{PutError, Ring};

use super::labelled::Labelled;
use crate::message::{Incoming, Outgoing, Parcel};

/// How long the line waits for memory before it asks again.
const NO_MEMORY: Duration = Duration::from_millis(10);

/// The owner's end of the way to the workers.
pub(super) struct Injector {
    ring: Shared<Ring>,
    board: Shared<LeaseBoard>,
    line: Arc<Mutex<Line>>,
}

/// Batches for which the ring has no room yet.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// A thread moves them up; it may hold one that is neither here nor in the ring.
    is_moving: bool,
    /// The pool closes once the line is empty.
    closes: bool,
    /// What is in line is not wanted any more.
    is_discarded: bool,
}

enum Waiting {
    Frame(Vec<u8>),
    Parcel(Vec<u8>, Option<Parcel>),
}

impl From<Labelled<'_>> for Waiting {
    fn from(batch: Labelled<'_>) -> Self {
        match batch {
            Labelled::Frame(bytes) => Self::Frame(bytes.to_vec()),
            Labelled::Parcel(label, parcel) => Self::Parcel(label.to_vec(), Some(parcel)),
            Labelled::Handed(_) => unreachable!("batches have frames of their own"),
        }
    }
}

fn locked(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Injector {
    /// A way with room for `limit` batches in shared memory.
    pub(super) fn new(
        family: &'static Family,
        board: Shared<LeaseBoard>,
        limit: u32,
    ) -> Result<Self, AllocError> {
        let ring = Shared::<Ring>::new(family, |_| {})?;
        ring.prepare(family, limit)?;
        Ok(Self { ring, board, line: Arc::default() })
    }

    /// The ring that workers take from.
    pub(super) fn ring(&self) -> &Shared<Ring> {
        &self.ring
    }

    /// Batches that no worker has taken.
    pub(super) fn len(&self) -> usize {
        let line = locked(&self.line);
        self.ring.len(self.ring.family()) + line.waiting.len() + usize::from(line.is_moving)
    }

    /// Sends a batch. Does not wait for room.
    pub(super) fn send(
        &self,
        label: &[u8],
        body: Outgoing<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), AllocError> {
        let mut batch = Labelled::fit(self.ring.family(), label, body, scratch)?;
        let mut line = locked(&self.line);
        if !line.is_moving {
            batch = match batch.put(&self.ring, &Patience::none()) {
                Ok(()) => return Ok(()),
                Err((_, PutError::OutOfMemory(e))) => return Err(e),
                Err((batch, PutError::GaveUp(_))) => batch,
            };
        }
        line.waiting.push_back(batch.into());
        line.is_discarded = false;
        if line.is_moving || self.start_moving() {
            line.is_moving = true;
            return Ok(());
        }
        // No thread can be had: the caller waits for room itself.
        let batch = line.waiting.pop_back();
        drop(line);
        self.mover().put_when_there_is_room(batch);
        Ok(())
    }

    fn mover(&self) -> Mover {
        let line = Arc::clone(&self.line);
        Mover { ring: self.ring.clone(), board: self.board.clone(), line }
    }

    /// Starts the thread that moves the line up; false if there can be none.
    fn start_moving(&self) -> bool {
        let mover = self.mover();
        let thread = std::thread::Builder::new().name("phalanx-injector".to_owned());
        thread.spawn(move || mover.run()).is_ok()
    }

    /// Lets workers go when they have done everything that was sent.
    pub(super) fn close(&self) {
        let mut line = locked(&self.line);
        line.closes = true;
        if !line.is_moving {
            close(&self.board, &self.ring);
        }
    }

    /// Throws away the batches that no worker has taken yet. Nothing is sent afterwards.
    pub(super) fn discard(&self) {
        let waiting = {
            let mut line = locked(&self.line);
            line.is_discarded = true;
            std::mem::take(&mut line.waiting)
        };
        drop(waiting);
        let mut bytes = Vec::new();
        while let Ok(taken) = self.ring.take(self.ring.family(), &mut bytes, &Patience::none()) {
            drop(Incoming::new(self.ring.family(), taken));
            bytes.clear();
        }
    }
}

fn close(board: &LeaseBoard, ring: &Ring) {
    board.close();
    ring.not_empty().notify_all();
}

/// What the thread that moves the line up needs.
struct Mover {
    ring: Shared<Ring>,
    board: Shared<LeaseBoard>,
    line: Arc<Mutex<Line>>,
}

impl Mover {
    fn run(&self) {
        loop {
            let batch = {
                let mut line = locked(&self.line);
                let batch = line.waiting.pop_front();
                if batch.is_none() {
                    line.is_moving = false;
                    if line.closes {
                        close(&self.board, &self.ring);
                    }
                    return;
                }
                batch
            };
            self.put_when_there_is_room(batch);
        }
    }

    /// Waits for room for the batch, unless it is discarded.
    fn put_when_there_is_room(&self, batch: Option<Waiting>) {
        let is_discarded = || locked(&self.line).is_discarded;
        let mut batch = batch;
        while let Some(mut waiting) = batch.take() {
            let labelled = match &mut waiting {
                Waiting::Frame(bytes) => Labelled::Frame(bytes),
                Waiting::Parcel(label, parcel) => match parcel.take() {
                    Some(parcel) => Labelled::Parcel(label, parcel),
                    None => return,
                },
            };
            let patience = Patience::forever();
            match labelled.put(&self.ring, &patience.interruptible(&is_discarded)) {
                Ok(()) | Err((_, PutError::GaveUp(_))) => {}
                Err((labelled, PutError::OutOfMemory(_))) => {
                    // Workers that finish tasks free some.
                    batch = Some(labelled.into());
                    std::thread::sleep(NO_MEMORY);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injector(limit: u32) -> Injector {
        let family = Family::get().expect("an arena");
        let board = LeaseBoard::create(family, 1, 0).expect("memory");
        Injector::new(family, board, limit).expect("memory")
    }

    fn send(injector: &Injector, number: u32, bytes: usize) {
        let body = vec![number as u8; bytes];
        let family = injector.ring.family();
        let body = if bytes > 4096 {
            Outgoing::Parcel(Parcel::new(family, &body, &[]).expect("memory"))
        } else {
            Outgoing::Inline(&body)
        };
        injector.send(&number.to_le_bytes(), body, &mut Vec::new()).expect("memory");
    }

    /// The number of the next batch, waiting for it.
    fn take(injector: &Injector) -> u32 {
        let (family, mut bytes) = (injector.ring.family(), Vec::new());
        let patience = Patience::timeout(Some(Duration::from_secs(20)));
        let taken = injector.ring.take(family, &mut bytes, &patience).expect("a batch in time");
        drop(Incoming::new(family, taken));
        u32::from_le_bytes(bytes[..4].try_into().expect("a label"))
    }

    #[test]
    fn sending_never_waits_and_the_order_is_kept() {
        let injector = injector(4);
        for number in 0..500 {
            send(&injector, number, if number % 7 == 0 { 20_000 } else { 10 });
            assert!(injector.ring.len(injector.ring.family()) <= 4);
        }
        assert!(injector.len() >= 500);
        for number in 0..500 {
            assert_eq!(take(&injector), number);
        }
        // The line is gone; what is sent now goes straight to the ring.
        while injector.len() > 0 {
            std::thread::yield_now();
        }
        send(&injector, 500, 10);
        assert_eq!((injector.ring.len(injector.ring.family()), take(&injector)), (1, 500));
    }

    #[test]
    fn closing_waits_for_the_line() {
        let injector = injector(2);
        (0..10).for_each(|number| send(&injector, number, 10));
        injector.close();
        assert!(!injector.board.is_closing());
        (0..10).for_each(|number| assert_eq!(take(&injector), number));
        while !injector.board.is_closing() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_discarded_frees_its_memory_and_ends_the_thread() {
        let injector = injector(2);
        let family = injector.ring.family();
        let before = family.arena().census();
        (0..50).for_each(|number| send(&injector, number, 20_000));
        injector.discard();
        // One that the thread held may still find room.
        while locked(&injector.line).is_moving {
            std::thread::yield_now();
        }
        injector.discard();
        assert_eq!(injector.len(), 0);
        let after = family.arena().census();
        // Other tests of this program have some too.
        assert!(after.parts < before.parts + 25, "{} parts, {} before", after.parts, before.parts);
    }
}
