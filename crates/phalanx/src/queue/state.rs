//! What a queue can be asked, and told, besides its values: how full it is, how much of it has been dealt with,
//! and whether it goes on.

use std::num::NonZeroU32;
use std::time::Duration;

use phalanx_shm::patience::{GaveUp, Patience, Slices};

use super::raw::SPIN;
use super::{Queue, RawQueue};

impl RawQueue {
    /// The number of messages at some instant during the call.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.try_put(&mut Some(Outgoing::Inline(b"one message, however long")))?;
    /// assert_eq!(queue.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len(self.family())
    }

    /// Whether the queue was empty at some instant during the call.
    ///
    /// ```
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// assert!(queue.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty(self.family())
    }

    /// Whether a bounded queue was full at some instant during the call.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(std::num::NonZeroU32::new(1))?;
    /// assert!(!queue.is_full());
    /// queue.try_put(&mut Some(Outgoing::Inline(b"hello")))?;
    /// assert!(queue.is_full());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ring.is_full(self.family())
    }

    /// The limit in messages, if the queue has one.
    ///
    /// ```
    /// let limit = std::num::NonZeroU32::new(100);
    /// assert_eq!(phalanx::queue::RawQueue::new(limit)?.limit(), limit);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn limit(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.ring.limit())
    }

    /// Shuts the queue down: what is in it can still be taken, nothing more can be put. A take from a queue
    /// that is shut down and empty gives up at once. With `now` what is in it is thrown away too, and
    /// counted as dealt with.
    ///
    /// # Errors
    /// [`GaveUp`] when another process was in the middle of a put for as long as `patience` allowed.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.try_put(&mut Some(Outgoing::Inline(b"the last")))?;
    /// queue.shut_down(false, &Patience::forever())?;
    /// assert!(queue.try_put(&mut Some(Outgoing::Inline(b"too late"))).is_err());
    /// assert!(queue.take(&mut Vec::new(), &Patience::forever()).is_ok(), "what is in it stays");
    /// assert!(queue.take(&mut Vec::new(), &Patience::forever()).is_err(), "nothing will ever come");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shut_down(&self, now: bool, patience: &Patience<'_>) -> Result<(), GaveUp> {
        self.ring.close(self.family(), patience)?;
        while now && self.try_take(&mut Vec::new()).is_ok() {
            let _ = self.task_done();
        }
        Ok(())
    }

    /// Whether the queue has been shut down.
    ///
    /// ```
    /// use phalanx::Patience;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// assert!(!queue.is_shut_down());
    /// queue.shut_down(true, &Patience::forever())?;
    /// assert!(queue.is_shut_down());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.ring.is_closed()
    }

    /// Counts one taken message as dealt with. False if as many have been counted as were put.
    ///
    /// ```
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.try_put(&mut Some(Outgoing::Inline(b"a job")))?;
    /// queue.try_take(&mut Vec::new())?;
    /// assert!(queue.task_done());
    /// assert!(!queue.task_done(), "there was one only");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn task_done(&self) -> bool {
        self.ring.task_done(self.family())
    }

    /// Waits until every message ever put has been counted as dealt with.
    ///
    /// # Errors
    /// [`GaveUp`].
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::message::Outgoing;
    ///
    /// let queue = phalanx::queue::RawQueue::new(None)?;
    /// queue.try_put(&mut Some(Outgoing::Inline(b"a job")))?;
    /// assert!(queue.join(&Patience::none()).is_err(), "it has not been dealt with");
    /// queue.try_take(&mut Vec::new())?;
    /// queue.task_done();
    /// queue.join(&Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&self, patience: &Patience<'_>) -> Result<(), GaveUp> {
        let done = || self.ring.is_all_done(self.family()).then_some(());
        if SPIN.until(done).is_some() {
            return Ok(());
        }
        let mut slices = Slices::for_users();
        loop {
            let ticket = self.ring.all_done().register();
            if done().is_none() {
                let _ = self.ring.all_done().sleep(ticket, Some(slices.next_deadline(patience)));
            }
            if done().is_some() {
                return Ok(());
            }
            patience.check()?;
        }
    }
}

impl<T, C> Queue<T, C> {
    /// The number of values at some instant during the call.
    ///
    /// ```
    /// let queue = phalanx::Queue::unbounded()?;
    /// queue.put_many(["a", "b", "c"].map(String::from))?;
    /// queue.take()?;
    /// assert_eq!(queue.len(), 2);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw().len()
    }

    /// Whether the queue was empty at some instant during the call.
    ///
    /// ```
    /// let queue = phalanx::Queue::unbounded()?;
    /// assert!(queue.is_empty());
    /// queue.put(7)?;
    /// assert!(!queue.is_empty());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw().is_empty()
    }

    /// Whether the queue is bounded and was full at some instant during the call.
    ///
    /// ```
    /// let (bounded, unbounded) = (phalanx::Queue::bounded(1)?, phalanx::Queue::unbounded()?);
    /// bounded.put(1)?;
    /// unbounded.put(1)?;
    /// assert!(bounded.is_full() && !unbounded.is_full());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.raw().is_full()
    }

    /// The limit in values, if the queue has one.
    ///
    /// ```
    /// let (bounded, unbounded) = (phalanx::Queue::<u8>::bounded(9)?, phalanx::Queue::<u8>::unbounded()?);
    /// assert_eq!(bounded.limit().map(u32::from), Some(9));
    /// assert_eq!(unbounded.limit(), None);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn limit(&self) -> Option<NonZeroU32> {
        self.raw().limit()
    }

    /// Counts one taken value as dealt with, for those who wait in [`Queue::join`]. False if as many
    /// have been counted as were put. A process that dies between the two leaves its value uncounted.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let jobs = Queue::<u64>::unbounded()?;
    /// jobs.put_many(0..10)?;
    /// let worker = Process::builder().daemon(true).fork(|| {
    ///     while jobs.take().is_ok() {
    ///         jobs.task_done();
    ///     }
    /// })?;
    /// jobs.join(); // all ten have been dealt with
    /// assert!(jobs.is_empty());
    /// worker.kill()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn task_done(&self) -> bool {
        self.raw().task_done()
    }

    /// Waits until every value ever put has been counted by [`Queue::task_done`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (jobs, sum) = (Queue::<u64>::unbounded()?, Value::new(0u64)?);
    /// let worker = Process::fork(|| {
    ///     for job in jobs.iter().take(3).flatten() {
    ///         sum.fetch_add(job);
    ///         jobs.task_done();
    ///     }
    /// })?;
    /// jobs.put_many([1, 2, 3])?;
    /// jobs.join();
    /// assert_eq!(sum.load(), 6);
    /// worker.join()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn join(&self) {
        while self.raw().join(&Patience::forever()).is_err() {}
    }

    /// The same, but not longer than `timeout`; whether all had been counted by then.
    ///
    /// ```
    /// let jobs = phalanx::Queue::unbounded()?;
    /// jobs.put(1)?;
    /// assert!(!jobs.join_timeout(std::time::Duration::from_millis(1)));
    /// jobs.take()?;
    /// jobs.task_done();
    /// assert!(jobs.join_timeout(std::time::Duration::ZERO));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.raw().join(&Patience::timeout(Some(timeout))).is_ok()
    }
}
