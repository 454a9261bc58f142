//! A lock that a thread may take again while it holds it.

use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::Peers;
use phalanx_shm::words::rlock::RLockWord;
use phalanx_shm::words::{Acquired, Holder, NotHeld, Policy};

use super::{CreateError, LockError, OwnerDied, ThreadToken, handle};

/// A re-entrant lock: the thread that holds it may take it again, and only it may release it. Clones are
/// handles to the same one.
///
/// When a process dies holding it, however often, the next to acquire gets it once and is told who died
/// ([`LockError::OwnerDied`]), unless another [`Policy`] was chosen.
///
/// ```
/// use phalanx::prelude::*;
///
/// let lock = RLock::new()?;
/// let outer = lock.lock()?;
/// let inner = lock.lock()?; // again, by the same thread
/// assert_eq!(lock.depth(), 2);
/// drop((inner, outer));
/// assert!(!lock.is_locked());
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct RLock {
    word: Shared<RLockWord>,
}

handle!(RLock, RLockWord, word);

/// Holds an [`RLock`] once, until it is dropped. It stays in the thread that acquired it.
///
/// ```
/// let lock = phalanx::sync::RLock::new()?;
/// let guard = lock.lock()?;
/// assert!(lock.is_mine());
/// drop(guard);
/// assert!(!lock.is_mine());
/// # Ok::<(), phalanx::Error>(())
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[derive(Debug)]
pub struct RLockGuard<'a>(&'a RLock, std::marker::PhantomData<*const ()>);

impl Drop for RLockGuard<'_> {
    fn drop(&mut self) {
        let _ = self.0.release();
    }
}

impl RLock {
    /// A free lock.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let lock = phalanx::sync::RLock::new()?;
    /// assert_eq!((lock.is_locked(), lock.depth()), (false, 0));
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
    /// use phalanx::sync::Policy;
    ///
    /// let lock = RLock::with_policy(Policy::Release)?;
    /// let dies = Process::fork(|| {
    ///     std::mem::forget((lock.lock(), lock.lock()));
    ///     std::process::abort()
    /// })?;
    /// let _: Result<(), _> = dies.join();
    /// lock.lock()?; // as if it had been released: nobody is told
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn with_policy(policy: Policy) -> Result<Self, CreateError> {
        let family = Family::get()?;
        let word = Shared::new(family, |word: &RLockWord| word.set_policy(policy))?;
        Ok(Self::wrap(word))
    }

    fn wrap(word: Shared<RLockWord>) -> Self {
        Self { word }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], with the guard within, if the last holder ended holding it.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// /// Takes the lock, whether the caller has it or not.
    /// fn log(lock: &RLock, line: &str) -> Result<usize, Error> {
    ///     let _held = lock.lock()?;
    ///     Ok(line.len())
    /// }
    ///
    /// let lock = RLock::new()?;
    /// let _held = lock.lock()?;
    /// assert_eq!(log(&lock, "twice")?, 5);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock(&self) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::forever()))
    }

    /// Takes the lock if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::TimedOut`] if that needs waiting, or as [`RLock::lock`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let lock = RLock::new()?;
    /// let _held = lock.try_lock()?;
    /// assert!(lock.try_lock().is_ok(), "again, by the same thread");
    /// assert!(Process::fork(|| lock.try_lock().is_err())?.join()?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::none()))
    }

    /// Waits for the lock, but not longer than `timeout`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`RLock::lock`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    ///
    /// let lock = RLock::new()?;
    /// let _held = lock.lock()?;
    /// let late = Process::fork(|| lock.lock_timeout(Duration::from_millis(1)).is_err())?;
    /// assert!(late.join()?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::timeout(Some(timeout))))
    }

    /// Waits for the lock, but not beyond `deadline`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`RLock::lock`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::prelude::*;
    ///
    /// let (one, other) = (RLock::new()?, RLock::new()?);
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// // Both within the second, or neither:
    /// let both = (one.lock_deadline(deadline)?, other.lock_deadline(deadline)?);
    /// assert!(one.is_mine() && other.is_mine());
    /// # drop(both);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock_deadline(
        &self,
        deadline: impl Into<Deadline>,
    ) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.guard(self.acquire(&Patience::until(Some(deadline.into()))))
    }

    /// Takes the lock without a guard.
    ///
    /// # Errors
    /// [`GaveUp`] if another thread held it for as long as `patience` allowed.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let lock = RLock::new()?;
    /// lock.acquire(&Patience::forever())?;
    /// lock.acquire(&Patience::none())?; // once more costs no waiting
    /// lock.release().and_then(|()| lock.release()).expect("it was held twice");
    /// assert!(!lock.is_locked());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn acquire(&self, patience: &Patience<'_>) -> Result<Acquired, GaveUp> {
        self.word.acquire(ThreadToken::current().raw(), self.word.family(), patience)
    }

    /// Takes the lock, or takes it again, if that needs no waiting.
    ///
    /// ```
    /// let lock = phalanx::sync::RLock::new()?;
    /// assert!(lock.try_acquire().is_some());
    /// let elsewhere = std::thread::scope(|scope| scope.spawn(|| lock.try_acquire().is_some()).join());
    /// assert!(!elsewhere.expect("no panic"));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<Acquired> {
        self.acquire(&Patience::none()).ok()
    }

    /// Runs `action`, a few instructions that do not look at the lock, while this thread holds the
    /// lock. `None`, and nothing run, if that needs waiting or the last holder died.
    #[doc(hidden)]
    #[inline]
    pub fn try_briefly<R>(&self, action: impl FnOnce() -> R) -> Option<R> {
        self.word.try_briefly(ThreadToken::current().raw(), self.word.family(), action)
    }

    /// Takes the lock if it is the calling thread's or free, and was released by its last holder;
    /// returns whether it did.
    #[doc(hidden)]
    #[inline]
    pub fn acquire_free(&self) -> bool {
        self.word.acquire_free(ThreadToken::current().raw(), self.word.family())
    }

    /// Gives back one acquisition of the calling thread.
    ///
    /// # Errors
    /// [`NotHeld`] if this thread does not hold the lock.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::sync::NotHeld;
    ///
    /// let lock = RLock::new()?;
    /// lock.acquire(&Patience::forever())?;
    /// let elsewhere = std::thread::scope(|scope| scope.spawn(|| lock.release()).join());
    /// assert!(matches!(elsewhere.expect("no panic"), Err(NotHeld)), "only the thread that has it can");
    /// assert!(lock.release().is_ok());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn release(&self) -> Result<(), NotHeld> {
        self.word.release(ThreadToken::current().raw(), self.word.family())
    }

    pub(super) fn release_fully(&self) -> Result<u32, NotHeld> {
        self.word.release_fully(ThreadToken::current().raw(), self.word.family())
    }

    pub(super) fn acquire_fully(
        &self,
        depth: u32,
        patience: &Patience<'_>,
    ) -> Result<Acquired, GaveUp> {
        let thread = ThreadToken::current().raw();
        self.word.acquire_fully(thread, depth, self.word.family(), patience)
    }

    /// Whether anybody holds the lock.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let lock = RLock::new()?;
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
    /// let lock = phalanx::sync::RLock::new()?;
    /// let held = lock.lock()?;
    /// let of_another = std::thread::scope(|scope| scope.spawn(|| lock.is_mine()).join());
    /// assert!(lock.is_mine() && !of_another.expect("no panic"));
    /// # drop(held);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.word.is_mine(ThreadToken::current().raw(), self.word.family())
    }

    /// Whether this process holds the lock.
    ///
    /// ```
    /// let lock = phalanx::sync::RLock::new()?;
    /// let held = lock.lock()?;
    /// // Another thread of the process that has it:
    /// let ours = std::thread::scope(|scope| scope.spawn(|| lock.is_ours()).join());
    /// assert!(ours.expect("no panic"));
    /// # drop(held);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.holder() == Holder::Process(self.word.family().me())
    }

    /// How often the holder has acquired the lock. Exact for the holder only.
    ///
    /// ```
    /// let lock = phalanx::sync::RLock::new()?;
    /// let both = (lock.lock()?, lock.lock()?);
    /// assert_eq!(lock.depth(), 2);
    /// drop(both);
    /// assert_eq!(lock.depth(), 0);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.word.depth()
    }

    /// Whose process holds the lock.
    ///
    /// ```
    /// use phalanx::sync::{Holder, RLock};
    ///
    /// let lock = RLock::new()?;
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
    ) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        let guard = |_| RLockGuard(self, std::marker::PhantomData);
        match how? {
            Acquired::Clean => Ok(guard(())),
            Acquired::OwnerDied { pid } => {
                Err(LockError::OwnerDied(OwnerDied { guard: guard(()), pid }))
            }
        }
    }
}
