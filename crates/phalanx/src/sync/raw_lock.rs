//! A lock between processes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::Peers;
use phalanx_shm::words::lock::LockWord;
use phalanx_shm::words::{Acquired, Holder, NotHeld, Policy};

use super::{CreateError, LockError, OwnerDied, ThreadToken, handle};

/// A lock that any process of the family can take, and any can release. Clones are handles to the same one.
///
/// When a process dies holding it, the next to acquire gets it and is told who died
/// ([`LockError::OwnerDied`], or [`Acquired::OwnerDied`] without a guard), unless another
/// [`Policy`] was chosen. One that dies waiting for it is as if it had never come.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::sync::RawLock;
///
/// let lock = RawLock::new()?;
/// {
///     let _held = lock.lock()?;
///     assert!(lock.is_locked() && lock.try_lock().is_err());
/// }
/// // Without a guard, for callers who release it elsewhere:
/// lock.acquire(&Patience::forever())?;
/// assert!(lock.is_mine());
/// lock.release().expect("it is held");
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct RawLock {
    word: Shared<LockWord>,
    /// The thread of this process that took it last.
    taker: AtomicU64,
}

handle!(RawLock, LockWord, word);

/// Holds a [`RawLock`] until it is dropped.
///
/// ```
/// let lock = phalanx::sync::RawLock::new()?;
/// let guard = lock.lock()?;
/// drop(guard);
/// assert!(!lock.is_locked());
/// # Ok::<(), phalanx::Error>(())
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[derive(Debug)]
pub struct RawLockGuard<'a>(&'a RawLock);

impl Drop for RawLockGuard<'_> {
    fn drop(&mut self) {
        // Somebody else may have released it meanwhile, which is legal.
        let _ = self.0.release();
    }
}

impl RawLock {
    /// A free lock.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let lock = phalanx::sync::RawLock::new()?;
    /// assert!(!lock.is_locked());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new() -> Result<Self, CreateError> {
        Self::with_policy(Policy::Raise)
    }

    /// A free lock that does something else when its holder dies.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::sync::{Policy, RawLock};
    ///
    /// let lock = RawLock::with_policy(Policy::Release)?;
    /// let dies = Process::fork(|| {
    ///     std::mem::forget(lock.lock());
    ///     std::process::abort()
    /// })?;
    /// let _: Result<(), _> = dies.join();
    /// lock.lock()?; // as if it had been released: nobody is told
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn with_policy(policy: Policy) -> Result<Self, CreateError> {
        let family = Family::get()?;
        let word = Shared::new(family, |word: &LockWord| word.set_policy(policy))?;
        Ok(Self::wrap(word))
    }

    fn wrap(word: Shared<LockWord>) -> Self {
        Self { word, taker: AtomicU64::new(0) }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], with the guard within, if the last holder ended holding it.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::sync::RawLock;
    ///
    /// // For what cannot be kept inside a `Lock`, as a file or this array:
    /// let (lock, cells) = (RawLock::new()?, Array::<u64>::zeroed(2)?);
    /// let add = || lock.lock().map(|_held| cells.write(0, &[cells.load(0) + 1, cells.load(1) + 2]));
    /// let other = Process::fork(|| add().is_ok())?;
    /// add()?;
    /// assert!(other.join()?);
    /// assert_eq!(cells.to_vec(), [2, 4]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock(&self) -> Result<RawLockGuard<'_>, LockError<RawLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::forever()))
    }

    /// Takes the lock if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::TimedOut`] if that needs waiting, or as [`RawLock::lock`].
    ///
    /// ```
    /// use phalanx::sync::{LockError, RawLock};
    ///
    /// let lock = RawLock::new()?;
    /// let held = lock.try_lock()?;
    /// assert!(matches!(lock.try_lock(), Err(LockError::TimedOut)));
    /// # drop(held);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<RawLockGuard<'_>, LockError<RawLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::none()))
    }

    /// Waits for the lock, but not longer than `timeout`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`RawLock::lock`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    /// use phalanx::sync::RawLock;
    ///
    /// let lock = RawLock::new()?;
    /// let _held = lock.lock()?;
    /// let late = Process::fork(|| lock.lock_timeout(Duration::from_millis(1)).is_err())?;
    /// assert!(late.join()?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RawLockGuard<'_>, LockError<RawLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::timeout(Some(timeout))))
    }

    /// Waits for the lock, but not beyond `deadline`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`RawLock::lock`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::sync::RawLock;
    ///
    /// let (one, other) = (RawLock::new()?, RawLock::new()?);
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// // Both within the second, or neither:
    /// let both = (one.lock_deadline(deadline)?, other.lock_deadline(deadline)?);
    /// assert!(one.is_locked() && other.is_locked());
    /// # drop(both);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock_deadline(
        &self,
        deadline: impl Into<Deadline>,
    ) -> Result<RawLockGuard<'_>, LockError<RawLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::until(Some(deadline.into()))))
    }

    /// Takes the lock without a guard: whoever is to release it calls [`RawLock::release`].
    ///
    /// # Errors
    /// [`GaveUp`] if it was held for as long as `patience` allowed.
    ///
    /// ```
    /// use phalanx::{GaveUp, Patience};
    /// use phalanx::sync::{Acquired, RawLock};
    ///
    /// let lock = RawLock::new()?;
    /// assert!(matches!(lock.acquire(&Patience::forever())?, Acquired::Clean));
    /// assert!(matches!(lock.acquire(&Patience::none()), Err(GaveUp::TimedOut)));
    /// lock.release().expect("it is held");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn acquire(&self, patience: &Patience<'_>) -> Result<Acquired, GaveUp> {
        let how = self.word.acquire(self.word.family(), patience)?;
        self.taker.store(ThreadToken::current().raw(), Ordering::Relaxed);
        Ok(how)
    }

    /// Takes the lock if that needs no waiting.
    ///
    /// ```
    /// let lock = phalanx::sync::RawLock::new()?;
    /// assert!(lock.try_acquire().is_some());
    /// assert!(lock.try_acquire().is_none(), "it is held by now");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<Acquired> {
        let how = self.word.try_acquire(self.word.family())?;
        self.taker.store(ThreadToken::current().raw(), Ordering::Relaxed);
        Some(how)
    }

    /// Takes the lock if it is free and was released by its last holder; returns whether it did.
    #[doc(hidden)]
    #[inline]
    pub fn acquire_free(&self) -> bool {
        let taken = self.word.acquire_free(self.word.family());
        if taken {
            self.taker.store(ThreadToken::current().raw(), Ordering::Relaxed);
        }
        taken
    }

    /// Releases the lock, whichever process holds it.
    ///
    /// # Errors
    /// [`NotHeld`] if none does.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::sync::{NotHeld, RawLock};
    ///
    /// let lock = RawLock::new()?;
    /// lock.acquire(&Patience::forever())?;
    /// // Another process may do it.
    /// assert!(Process::fork(|| lock.release().is_ok())?.join()?);
    /// assert!(matches!(lock.release(), Err(NotHeld)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn release(&self) -> Result<(), NotHeld> {
        self.word.release(self.word.family())
    }

    /// Whether anybody holds the lock.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let lock = phalanx::sync::RawLock::new()?;
    /// let _held = lock.lock()?;
    /// assert!(Process::fork(|| lock.is_locked())?.join()?, "all processes see it");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.holder() != Holder::Nobody
    }

    /// Whether the calling thread holds the lock.
    ///
    /// ```
    /// let lock = phalanx::sync::RawLock::new()?;
    /// let held = lock.lock()?;
    /// let of_another = std::thread::scope(|scope| scope.spawn(|| lock.is_mine()).join());
    /// assert!(lock.is_mine() && !of_another.expect("no panic"));
    /// # drop(held);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.is_ours() && self.taker.load(Ordering::Relaxed) == ThreadToken::current().raw()
    }

    /// Whether this process holds the lock.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let lock = phalanx::sync::RawLock::new()?;
    /// let _held = lock.lock()?;
    /// assert!(lock.is_ours());
    /// assert!(!Process::fork(|| lock.is_ours())?.join()?, "the child has a copy of the guard only");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.holder() == Holder::Process(self.word.family().me())
    }

    /// Who holds the lock.
    ///
    /// ```
    /// use phalanx::sync::{Holder, RawLock};
    ///
    /// let lock = RawLock::new()?;
    /// assert_eq!(lock.holder(), Holder::Nobody);
    /// let held = lock.lock()?;
    /// assert!(matches!(lock.holder(), Holder::Process(_)));
    /// # drop(held);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.word.holder()
    }

    fn guard(
        &self,
        how: Result<Acquired, GaveUp>,
    ) -> Result<RawLockGuard<'_>, LockError<RawLockGuard<'_>>> {
        match how? {
            Acquired::Clean => Ok(RawLockGuard(self)),
            Acquired::OwnerDied { pid } => {
                Err(LockError::OwnerDied(OwnerDied { guard: RawLockGuard(self), pid }))
            }
        }
    }
}
