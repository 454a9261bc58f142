//! Waiting, under a lock, for a change that another process makes under the same lock.

use std::time::Duration;

use bytemuck::Pod;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::words::Acquired;
use phalanx_shm::words::condition::Waited;
use phalanx_shm::words::objects::ConditionObject;

use super::{CreateError, LockError, LockGuard, LockResult, RLock, RawLock, handle, lock};

/// A condition variable, to be used with one lock.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::process::fork;
///
/// let (ready, changed) = (Lock::new(0u32)?, Condition::new()?);
/// let child = fork::run(|| {
///     *ready.lock().expect("nobody died") = 1;
///     changed.notify_all();
///     0
/// })?;
/// let ready = changed.wait_while(ready.lock()?, |ready| *ready == 0)?;
/// assert_eq!(*ready, 1);
/// # drop(child);
/// # Ok::<(), phalanx::Error>(())
/// ```
///
/// If a process dies that was about to be woken, somebody else is woken for it.
pub struct Condition {
    object: Shared<ConditionObject>,
}

handle!(Condition, ConditionObject, object);

/// The lock was not held by the calling thread, which a wait requires.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::sync::{Condition, RawLock, Unlocked};
///
/// let (changed, lock) = (Condition::new()?, RawLock::new()?);
/// assert!(matches!(changed.wait_lock(&lock, &Patience::none()), Err(Unlocked)));
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlocked;

impl std::fmt::Display for Unlocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a wait for a condition without its lock: acquire the lock first")
    }
}

impl std::error::Error for Unlocked {}

/// How the wait ended, and how the lock was taken again after it.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::sync::{Acquired, Condition, RawLock, Wakened};
///
/// let (changed, lock) = (Condition::new()?, RawLock::new()?);
/// lock.acquire(&Patience::forever())?;
/// let wakened: Wakened = changed.wait_lock(&lock, &Patience::none()).expect("it is held");
/// assert!(wakened.end.is_err(), "nobody has notified us");
/// assert!(matches!(wakened.relocked, Ok(Acquired::Clean)));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub type Wakened = Waited<Result<Acquired, GaveUp>>;

impl Condition {
    /// A condition that nobody waits for.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let changed = phalanx::sync::Condition::new()?;
    /// assert_eq!(changed.waiting(), 0);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new() -> Result<Self, CreateError> {
        Ok(Self::wrap(Shared::new(Family::get()?, |_: &ConditionObject| ())?))
    }

    fn wrap(object: Shared<ConditionObject>) -> Self {
        Self { object }
    }

    /// Releases the lock, waits for a notification, and takes the lock again. What was waited for may have
    /// changed once more by then, so [`Condition::wait_while`] is what most callers want.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] if another process ended holding the lock meanwhile.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (ready, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// let mut guard = ready.lock()?;
    /// let other = Process::fork(|| {
    ///     *ready.lock().expect("nobody died") = 1; // gets the lock when we wait
    ///     changed.notify_all();
    /// })?;
    /// while *guard == 0 {
    ///     guard = changed.wait(guard)?;
    /// }
    /// assert_eq!(*guard, 1);
    /// other.join()?;
    /// # drop(guard);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait<'a, T: Pod>(&self, guard: LockGuard<'a, T>) -> LockResult<'a, T> {
        self.wait_with(guard, &Patience::forever()).map(|(guard, _)| guard)
    }

    /// The same, but waits for a notification no longer than `timeout`; returns whether there was one.
    /// To take the lock again may take longer.
    ///
    /// # Errors
    /// As for [`Condition::wait`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    ///
    /// let (ready, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// let (guard, notified) = changed.wait_timeout(ready.lock()?, Duration::from_millis(1))?;
    /// assert_eq!((*guard, notified), (0, false));
    /// assert!(ready.is_locked(), "it has been taken again");
    /// # drop(guard);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_timeout<'a, T: Pod>(
        &self,
        guard: LockGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(LockGuard<'a, T>, bool), LockError<LockGuard<'a, T>>> {
        self.wait_with(guard, &Patience::timeout(Some(timeout)))
    }

    /// The same for as long as `patience` allows.
    ///
    /// # Errors
    /// As for [`Condition::wait`]; [`LockError::Interrupted`] if the wait for the lock was interrupted,
    /// which is not held then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    ///
    /// let (ready, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// // Two waits that together do not last longer than five milliseconds:
    /// let patience = Patience::until(Some(Deadline::after(Duration::from_millis(5))));
    /// let (guard, first) = changed.wait_with(ready.lock()?, &patience)?;
    /// let (guard, second) = changed.wait_with(guard, &patience)?;
    /// assert!(!first && !second);
    /// # drop(guard);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_with<'a, T: Pod>(
        &self,
        guard: LockGuard<'a, T>,
        patience: &Patience<'_>,
    ) -> Result<(LockGuard<'a, T>, bool), LockError<LockGuard<'a, T>>> {
        let Waited { end, relocked } = guard.0.wait_for(&self.object.view(), patience);
        Ok((lock::guard(relocked)?, end.is_ok()))
    }

    /// Waits until `goes_on` says no of the data, which it is asked with the lock held: at first, and
    /// after each notification.
    ///
    /// # Errors
    /// As for [`Condition::wait`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (stock, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// let supplier = Process::fork(|| {
    ///     for _ in 0..3 {
    ///         *stock.lock().expect("nobody died") += 1;
    ///         changed.notify(1);
    ///     }
    /// })?;
    /// let mut stock = changed.wait_while(stock.lock()?, |stock| *stock < 3)?;
    /// *stock -= 3;
    /// # drop(stock);
    /// # supplier.join()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_while<'a, T: Pod>(
        &self,
        mut guard: LockGuard<'a, T>,
        mut goes_on: impl FnMut(&mut T) -> bool,
    ) -> LockResult<'a, T> {
        while goes_on(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// The same, but not longer than `timeout`; returns whether `goes_on` said no in that time.
    ///
    /// # Errors
    /// As for [`Condition::wait`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    ///
    /// let (ready, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// let soon = Duration::from_millis(1);
    /// let (ready, came) = changed.wait_while_timeout(ready.lock()?, soon, |ready| *ready == 0)?;
    /// assert_eq!((*ready, came), (0, false));
    /// # drop(ready);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_while_timeout<'a, T: Pod>(
        &self,
        mut guard: LockGuard<'a, T>,
        timeout: Duration,
        mut goes_on: impl FnMut(&mut T) -> bool,
    ) -> Result<(LockGuard<'a, T>, bool), LockError<LockGuard<'a, T>>> {
        let patience = Patience::timeout(Some(timeout));
        loop {
            if !goes_on(&mut guard) {
                return Ok((guard, true));
            }
            let (back, notified) = self.wait_with(guard, &patience)?;
            guard = back;
            if !notified {
                let done = !goes_on(&mut guard);
                return Ok((guard, done));
            }
        }
    }

    /// Releases `lock`, waits for a notification as long as `patience` allows, and takes `lock`
    /// again, however long that takes; only an interruption ends that too.
    ///
    /// # Errors
    /// [`Unlocked`] if the calling thread does not hold the lock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::Patience;
    /// use phalanx::sync::{Condition, RawLock};
    ///
    /// let (changed, lock) = (Condition::new()?, RawLock::new()?);
    /// let _held = lock.lock()?;
    /// let patience = Patience::timeout(Some(Duration::from_millis(1)));
    /// let wakened = changed.wait_lock(&lock, &patience).expect("it is held");
    /// assert!(wakened.end.is_err(), "nobody has notified us");
    /// assert!(lock.is_mine());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_lock(&self, lock: &RawLock, patience: &Patience<'_>) -> Result<Wakened, Unlocked> {
        if !lock.is_mine() {
            return Err(Unlocked);
        }
        let relock = || lock.acquire(&patience.without_deadline());
        let unlock = || {
            let _ = lock.release();
        };
        let family = self.object.family();
        Ok(self.object.view().wait(family, patience, unlock, relock))
    }

    /// The same with a re-entrant lock, which is released and taken again as often as it was held.
    ///
    /// # Errors
    /// [`Unlocked`] if the calling thread does not hold the lock.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::sync::{Condition, RLock};
    ///
    /// let (changed, lock) = (Condition::new()?, RLock::new()?);
    /// let _held = (lock.lock()?, lock.lock()?);
    /// changed.wait_rlock(&lock, &Patience::none()).expect("it is held");
    /// assert_eq!(lock.depth(), 2, "as often as before");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_rlock(&self, lock: &RLock, patience: &Patience<'_>) -> Result<Wakened, Unlocked> {
        if !lock.is_mine() {
            return Err(Unlocked);
        }
        let depth = std::cell::Cell::new(1);
        let relock = || lock.acquire_fully(depth.get(), &patience.without_deadline());
        let unlock = || depth.set(lock.release_fully().unwrap_or(1));
        let family = self.object.family();
        Ok(self.object.view().wait(family, patience, unlock, relock))
    }

    /// Wakes up to `count` of those who wait, the longest waiting first; returns how many.
    ///
    /// To be called with the lock held, by whoever made the change.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (count, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// let waiter = Process::fork(|| {
    ///     let count = count.lock().ok()?;
    ///     changed.wait_while(count, |count| *count < 3).ok().map(|count| *count)
    /// })?;
    /// for _ in 0..3 {
    ///     *count.lock()? += 1;
    ///     changed.notify(1);
    /// }
    /// assert_eq!(waiter.join()?, Some(3));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn notify(&self, count: usize) -> usize {
        self.object.view().notify(count)
    }

    /// Wakes all who wait; returns how many.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (open, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// let wait = || changed.wait_while(open.lock().ok()?, |open| *open == 0).ok().map(|open| *open);
    /// let waiting = [Process::fork(wait)?, Process::fork(wait)?];
    /// *open.lock()? = 1;
    /// changed.notify_all(); // or `notify(2)`
    /// for process in waiting {
    ///     assert_eq!(process.join()?, Some(1));
    /// }
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn notify_all(&self) -> usize {
        self.object.view().notify_all()
    }

    /// How many wait at this moment.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (open, changed) = (Lock::new(0u32)?, Condition::new()?);
    /// let waiter = Process::fork(|| {
    ///     let open = open.lock().expect("nobody died");
    ///     changed.wait_while(open, |open| *open == 0).is_ok()
    /// })?;
    /// while changed.waiting() == 0 {
    ///     std::thread::yield_now();
    /// }
    /// *open.lock()? = 1;
    /// assert_eq!(changed.notify_all(), 1);
    /// assert!(waiter.join()?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.object.view().waiting()
    }
}
