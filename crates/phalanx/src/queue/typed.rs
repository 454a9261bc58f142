//! Queues of typed values.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::family::Family;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::SlotId;

use super::RawQueue;
use super::batch::{Batch, take_many};
use super::iter::{Drain, Iter};
use crate::error::{CreateError, RecvError, SendError};
use crate::wait::Doorbell;
use crate::wire::handle::passed_by_offset;
use crate::wire::transfer::{receive, receive_short, send, send_short};
use crate::wire::{Codec, DecodeError, Postcard};

/// A queue of values between processes: any number of them put, any number take, first in, first out.
///
/// This is a handle, and clones of it are handles to the same queue, which lives as long as any
/// process has one, or a message with one is on its way. A forked child has its parent's handles; others
/// get one as an argument of their start, in a message, or in an argument or result of a task. A value is
/// encoded by the caller's own thread, copied into shared memory once, and from that moment no longer
/// depends on the process that put it. One that is killed while it puts or takes has done so as a whole, or
/// not at all; nobody who waits is held up by it.
///
/// `C` is the format of the messages, for queues that are shared with programs in other languages.
///
/// ```
/// use std::time::Duration;
/// use phalanx::{Queue, SendError};
///
/// let queue = Queue::bounded(2)?;
/// queue.put("a".to_owned())?;
/// queue.put("b".to_owned())?;
/// match queue.put_timeout("c".to_owned(), Duration::from_millis(1)) {
///     Err(SendError::Full(value)) => assert_eq!(value, "c"),
///     other => panic!("{other:?}"),
/// }
/// let all: Result<Vec<String>, _> = queue.drain().collect();
/// assert_eq!(all?, ["a", "b"]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Queue<T, C = Postcard> {
    raw: RawQueue,
    format: PhantomData<fn() -> (T, C)>,
}

impl<T> Queue<T> {
    /// A queue without a limit: it grows as memory allows.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let queue = phalanx::Queue::unbounded()?;
    /// queue.put_many(0..100_000u64)?;
    /// assert_eq!((queue.len(), queue.limit()), (100_000, None));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn unbounded() -> Result<Self, CreateError> {
        Ok(Self::from_raw(RawQueue::new(None)?))
    }

    /// A queue that makes those who put wait while it has `limit` values.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had, or `limit` is 0.
    ///
    /// ```
    /// let queue = phalanx::Queue::bounded(2)?;
    /// queue.put_many([1, 2])?;
    /// assert!(queue.is_full() && queue.try_put(3).is_err());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn bounded(limit: u32) -> Result<Self, CreateError> {
        let limit = NonZeroU32::new(limit);
        let limit = limit.ok_or(CreateError::Value("a queue's limit is at least 1"))?;
        Ok(Self::from_raw(RawQueue::new(Some(limit))?))
    }

    /// The same queue with messages of another format, for which all who use it have to agree.
    ///
    /// ```
    /// use phalanx::plain::PlainFormat;
    ///
    /// // For programs in other languages, which know plain values and no postcard.
    /// let queue = phalanx::Queue::<(u32, String)>::unbounded()?.with_codec::<PlainFormat>();
    /// queue.put((7, "seven".to_owned()))?;
    /// assert_eq!(queue.take()?.1, "seven");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn with_codec<C>(self) -> Queue<T, C> {
        Queue::from_raw(self.raw)
    }
}

impl<T, C> Queue<T, C> {
    /// The typed queue of messages that are all of this type and format.
    ///
    /// ```
    /// use phalanx::Queue;
    /// use phalanx::queue::RawQueue;
    ///
    /// let raw = RawQueue::new(None)?;
    /// let numbers: Queue<u64> = Queue::from_raw(raw.clone());
    /// numbers.put(7)?;
    /// assert_eq!(raw.len(), 1);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn from_raw(raw: RawQueue) -> Self {
        Self { raw, format: PhantomData }
    }

    /// The messages that this queue consists of, for [`wait_any`](crate::wait::wait_any) and the like.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::wait::wait_any;
    ///
    /// let (texts, numbers) = (Queue::<String>::unbounded()?, Queue::<u64>::unbounded()?);
    /// numbers.put(7)?;
    /// let ready = wait_any(&[texts.raw().into(), numbers.raw().into()], &Patience::forever())?;
    /// assert_eq!(ready, [false, true]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn raw(&self) -> &RawQueue {
        &self.raw
    }

    /// A handle to the queue at `offset`, of which this process was made a holder.
    ///
    /// # Errors
    /// [`CreateError`] when it was not, or there is no queue there.
    #[doc(hidden)]
    pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
        Ok(Self::from_raw(RawQueue::from_offset(Family::get()?, offset)?))
    }

    /// Where the queue lies: what names it to another process of the family.
    #[doc(hidden)]
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.raw.offset()
    }

    /// Makes another process a holder, before the offset is sent to it.
    #[doc(hidden)]
    pub fn hold_for(&self, slot: SlotId) {
        self.raw.hold_for(slot);
    }

    /// A descriptor of this process that is readable while there is something to take; see
    /// [`RawQueue::fileno`].
    ///
    /// # Errors
    /// When the kernel refuses the descriptor or the thread that serves it.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use std::os::fd::AsFd;
    ///
    /// let queue = Queue::<u64>::unbounded()?;
    /// let bell = queue.doorbell()?; // for `select`, `poll` and the event loops of other crates
    /// queue.put(7)?;
    /// phalanx::process::wait_readable(bell.as_fd(), Patience::forever()).expect("there is one");
    /// assert_eq!(queue.try_take()?, Some(7));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn doorbell(&self) -> std::io::Result<Doorbell> {
        self.raw.doorbell().map(Doorbell::new)
    }
}

impl<T, C: Codec<T>> Queue<T, C> {
    /// Puts a value, waiting for room if the queue is bounded. Once this returns the value is there,
    /// whatever becomes of the calling process.
    ///
    /// # Errors
    /// [`SendError`], with the value; the queue is unchanged.
    ///
    /// ```
    /// let queue = phalanx::Queue::unbounded()?;
    /// queue.put(("a name".to_owned(), vec![1.5, 2.5]))?;
    /// assert_eq!(queue.take()?.1, [1.5, 2.5]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn put(&self, value: T) -> Result<(), SendError<T>> {
        self.put_with(value, &Patience::forever())
    }

    /// Puts a value if there is room now.
    ///
    /// # Errors
    /// [`SendError::Full`] and others; the queue is unchanged.
    ///
    /// ```
    /// let queue = phalanx::Queue::bounded(1)?;
    /// queue.try_put(1)?;
    /// assert_eq!(queue.try_put(2).unwrap_err().into_inner(), 2);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn try_put(&self, value: T) -> Result<(), SendError<T>> {
        if self.put_short(&value) {
            return Ok(());
        }
        let family = self.raw.family();
        Ok(send::<T, C, _>(family, value, |message| self.raw.try_put(message))?)
    }

    /// Puts a value, waiting for room but not longer than `timeout`.
    ///
    /// # Errors
    /// As for [`Queue::put`], and [`SendError::Full`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::{Queue, SendError};
    ///
    /// let queue = Queue::bounded(1)?;
    /// queue.put_timeout(1, Duration::ZERO)?; // there is room
    /// let late = queue.put_timeout(2, Duration::from_millis(1));
    /// assert!(matches!(late, Err(SendError::Full(2))));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn put_timeout(&self, value: T, timeout: Duration) -> Result<(), SendError<T>> {
        self.put_with(value, &Patience::timeout(Some(timeout)))
    }

    /// Puts a value, waiting for room but not beyond `deadline`.
    ///
    /// # Errors
    /// As for [`Queue::put`], and [`SendError::Full`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let queue = phalanx::Queue::bounded(1)?;
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// queue.put_deadline(1, deadline)?;
    /// assert!(queue.put_deadline(2, deadline).is_err_and(|error| error.is_full()));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn put_deadline(
        &self,
        value: T,
        deadline: impl Into<Deadline>,
    ) -> Result<(), SendError<T>> {
        self.put_with(value, &Patience::until(Some(deadline.into())))
    }

    /// Puts a value, waiting for room as long as `patience` allows.
    ///
    /// # Errors
    /// As for [`Queue::put`], [`SendError::Full`], and [`SendError::Interrupted`].
    ///
    /// ```
    /// use phalanx::{Patience, Queue, SendError};
    ///
    /// let queue = Queue::bounded(1)?;
    /// queue.put(1)?;
    /// // Asked now and then: has the user pressed the button?
    /// let pressed = || true;
    /// let patience = Patience::forever().interruptible(&pressed);
    /// assert!(matches!(queue.put_with(2, &patience), Err(SendError::Interrupted(2))));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn put_with(&self, value: T, patience: &Patience<'_>) -> Result<(), SendError<T>> {
        if self.put_short(&value) {
            return Ok(());
        }
        self.put_any(value, patience)
    }

    #[inline]
    fn put_short(&self, value: &T) -> bool {
        send_short::<T, C, _>(value, |frame| self.raw.put_at_once(frame).then_some(())).is_some()
    }

    fn put_any(&self, value: T, patience: &Patience<'_>) -> Result<(), SendError<T>> {
        let family = self.raw.family();
        Ok(send::<T, C, _>(family, value, |message| self.raw.put(message, patience))?)
    }

    /// Puts values one after another, waiting for room; returns how many they were. Others may put
    /// between them. Small values are put together, which is cheaper than one by one.
    ///
    /// # Errors
    /// As for [`Queue::put`], with the values that were taken from `values` and not put; those before
    /// them are in the queue.
    ///
    /// ```
    /// let queue = phalanx::Queue::unbounded()?;
    /// assert_eq!(queue.put_many((0..5u64).map(|n| n * n))?, 5);
    /// let all: Result<Vec<u64>, _> = queue.drain().collect();
    /// assert_eq!(all?, [0, 1, 4, 9, 16]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn put_many(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<usize, SendError<Vec<T>>> {
        let mut batch = Batch::<T, C>::new(&self.raw);
        let mut count = 0;
        for value in values {
            count += 1;
            batch.add(value)?;
        }
        batch.put()?;
        Ok(count)
    }

    /// Takes the oldest value, waiting for one.
    ///
    /// # Errors
    /// [`RecvError::Decode`], with the bytes, when the message was put as another type; it is gone from
    /// the queue.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let queue = Queue::unbounded()?;
    /// let child = Process::fork(|| queue.put("hello".to_owned()).is_ok())?;
    /// assert_eq!(queue.take()?, "hello");
    /// # child.join()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn take(&self) -> Result<T, RecvError> {
        self.take_with(&Patience::forever())
    }

    /// Takes the oldest value if there is one.
    ///
    /// # Errors
    /// As for [`Queue::take`].
    ///
    /// ```
    /// let queue = phalanx::Queue::<u64>::unbounded()?;
    /// assert_eq!(queue.try_take()?, None);
    /// queue.put(7)?;
    /// assert_eq!(queue.try_take()?, Some(7));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn try_take(&self) -> Result<Option<T>, RecvError> {
        if let Some(taken) = self.take_short() {
            return taken.map(Some).map_err(RecvError::Decode);
        }
        let taken = receive::<T, C, GaveUp>(|frame| Ok(self.raw.try_take(frame).ok()));
        Ok(taken?)
    }

    /// Takes the oldest value, waiting for one but not longer than `timeout`.
    ///
    /// # Errors
    /// As for [`Queue::take`], and [`RecvError::Empty`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::{Queue, RecvError};
    ///
    /// let queue = Queue::<u64>::unbounded()?;
    /// assert!(matches!(queue.take_timeout(Duration::from_millis(1)), Err(RecvError::Empty)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn take_timeout(&self, timeout: Duration) -> Result<T, RecvError> {
        self.take_with(&Patience::timeout(Some(timeout)))
    }

    /// Takes the oldest value, waiting for one but not beyond `deadline`.
    ///
    /// # Errors
    /// As for [`Queue::take`], and [`RecvError::Empty`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let queue = phalanx::Queue::unbounded()?;
    /// queue.put(7)?;
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(queue.take_deadline(deadline)?, 7);
    /// assert!(queue.take_deadline(deadline).is_err());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn take_deadline(&self, deadline: impl Into<Deadline>) -> Result<T, RecvError> {
        self.take_with(&Patience::until(Some(deadline.into())))
    }

    /// Takes the oldest value, waiting for one as long as `patience` allows.
    ///
    /// # Errors
    /// As for [`Queue::take`], [`RecvError::Empty`], and [`RecvError::Interrupted`].
    ///
    /// ```
    /// use phalanx::{Patience, Queue, RecvError};
    ///
    /// let queue = Queue::<u64>::unbounded()?;
    /// let pressed = || true; // asked now and then: has the user pressed the button?
    /// let patience = Patience::forever().interruptible(&pressed);
    /// assert!(matches!(queue.take_with(&patience), Err(RecvError::Interrupted)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn take_with(&self, patience: &Patience<'_>) -> Result<T, RecvError> {
        if let Some(taken) = self.take_short() {
            return taken.map_err(RecvError::Decode);
        }
        self.take_any(patience)
    }

    #[inline]
    fn take_short(&self) -> Option<Result<T, DecodeError>> {
        receive_short::<T, C>(|frame| self.raw.take_at_once(frame))
    }

    fn take_any(&self, patience: &Patience<'_>) -> Result<T, RecvError> {
        let taken = receive::<T, C, GaveUp>(|frame| self.raw.take(frame, patience).map(Some))?;
        taken.ok_or(RecvError::Empty)
    }

    /// Takes up to `max` values, waiting for the first of them only. Each is an error if its message was
    /// put as another type.
    ///
    /// If this process is killed meanwhile, what it has taken by then is gone with it.
    ///
    /// # Errors
    /// None for the call as a whole; a [`DecodeError`] in the place of each such message.
    ///
    /// ```
    /// let queue = phalanx::Queue::unbounded()?;
    /// queue.put_many(0..10u64)?;
    /// let first: Result<Vec<u64>, _> = queue.take_many(4).into_iter().collect();
    /// assert_eq!(first?, [0, 1, 2, 3]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn take_many(&self, max: usize) -> Vec<Result<T, DecodeError>> {
        take_many::<T, C>(&self.raw, max)
    }

    /// An iterator that takes values for ever, waiting for each.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (jobs, results) = (Queue::<u64>::unbounded()?, Queue::<u64>::unbounded()?);
    /// let worker = Process::builder().daemon(true).fork(|| {
    ///     for job in jobs.iter().flatten() {
    ///         let _ = results.put(job * job);
    ///     }
    /// })?;
    /// jobs.put_many([2, 3])?;
    /// assert_eq!((results.take()?, results.take()?), (4, 9));
    /// worker.kill()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub const fn iter(&self) -> Iter<'_, T, C> {
        Iter::new(self)
    }

    /// An iterator that takes the values which are there, and ends when there is none.
    ///
    /// ```
    /// let queue = phalanx::Queue::unbounded()?;
    /// queue.put_many(0..4u64)?;
    /// assert_eq!(queue.drain().flatten().sum::<u64>(), 6);
    /// assert!(queue.is_empty());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub const fn drain(&self) -> Drain<'_, T, C> {
        Drain::new(self)
    }
}

impl<T, C> Clone for Queue<T, C> {
    fn clone(&self) -> Self {
        Self::from_raw(self.raw.clone())
    }
}

impl<T, C> fmt::Debug for Queue<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("offset", &self.offset()).field("len", &self.len()).finish()
    }
}

passed_by_offset!([T, C] Queue<T, C>, "a queue");
