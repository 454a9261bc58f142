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
    pub fn new() -> Result<Self, CreateError> {
        Self::with_policy(Policy::Raise)
    }

    /// A free lock that does something else when its holder dies.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
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
    pub fn lock(&self) -> Result<RawLockGuard<'_>, LockError<RawLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::forever()))
    }

    /// Takes the lock if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::TimedOut`] if that needs waiting, or as [`RawLock::lock`].
    pub fn try_lock(&self) -> Result<RawLockGuard<'_>, LockError<RawLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::none()))
    }

    /// Waits for the lock, but not longer than `timeout`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`RawLock::lock`].
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
    #[inline]
    pub fn acquire(&self, patience: &Patience<'_>) -> Result<Acquired, GaveUp> {
        let how = self.word.acquire(self.word.family(), patience)?;
        self.taker.store(ThreadToken::current().raw(), Ordering::Relaxed);
        Ok(how)
    }

    /// Takes the lock if that needs no waiting.
    #[inline]
    pub fn try_acquire(&self) -> Option<Acquired> {
        let how = self.word.try_acquire(self.word.family())?;
        self.taker.store(ThreadToken::current().raw(), Ordering::Relaxed);
        Some(how)
    }

    /// Takes the lock if it is free and was released by its last holder; returns whether it did.
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
    #[inline]
    pub fn release(&self) -> Result<(), NotHeld> {
        self.word.release(self.word.family())
    }

    /// Whether anybody holds the lock.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.holder() != Holder::Nobody
    }

    /// Whether the calling thread holds the lock.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.is_ours() && self.taker.load(Ordering::Relaxed) == ThreadToken::current().raw()
    }

    /// Whether this process holds the lock.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.holder() == Holder::Process(self.word.family().me())
    }

    /// Who holds the lock.
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
