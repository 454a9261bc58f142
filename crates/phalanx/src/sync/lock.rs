//! A lock between processes, with the data that it protects.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytemuck::Pod;
use phalanx_os::clock::Deadline;
use phalanx_shm::family::Family;
use phalanx_shm::guarded::{Guarded, Held};
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::SlotId;
use phalanx_shm::words::{Acquired, Holder, Policy};

use super::{CreateError, LockError, OwnerDied};
use crate::wire::handle::passed_by_offset;

/// A lock with data in shared memory, which only the holder of the lock can see and change.
///
/// This is a handle, and clones of it are handles to the same lock and data. A forked child has its
/// parent's; any other child gets one as an argument of its start or in a message. A pair of
/// [`Lock::lock`] and drop costs some nanoseconds and no system call unless others want the lock at the
/// same time.
///
/// `T` is plain data: numbers, arrays of them, and structs for which [`bytemuck::Pod`] is derived,
/// because it lies in memory that other processes share and no pointer is worth anything there.
///
/// When a process dies holding the lock, the next to acquire gets it by [`LockError::OwnerDied`], with the
/// guard within. The data is what the dead process left: perhaps changed in part.
///
/// ```
/// use phalanx::prelude::*;
///
/// #[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
/// #[repr(C)]
/// struct Account { balance: i64, bookings: u64 }
///
/// let account = Lock::new(Account { balance: 0, bookings: 0 })?;
/// {
///     let mut account = account.lock()?;
///     account.balance += 100;
///     account.bookings += 1;
/// }
/// assert_eq!(account.lock()?.balance, 100);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Lock<T>(Guarded<T>);

/// What [`Lock::lock`] gives: the lock, or why it was not acquired in the ordinary way.
///
/// ```
/// use phalanx::prelude::*;
/// use phalanx::sync::LockResult;
///
/// /// Mends what a dead process may have left half done.
/// fn mended<'a>(taken: LockResult<'a, [i64; 2]>) -> Result<LockGuard<'a, [i64; 2]>, Error> {
///     match taken {
///         Err(LockError::OwnerDied(mut died)) => {
///             died.guard[1] = -died.guard[0];
///             Ok(died.guard)
///         }
///         other => Ok(other?),
///     }
/// }
///
/// let transfers = Lock::new([5i64, -5])?;
/// assert_eq!(*mended(transfers.lock())?, [5, -5]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub type LockResult<'a, T> = Result<LockGuard<'a, T>, LockError<LockGuard<'a, T>>>;

impl<T: Pod> Lock<T> {
    /// Puts `value` into shared memory, with a free lock.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// let limits = phalanx::Lock::new([0.0f64, 1.0])?;
    /// limits.lock()?[1] = 2.5;
    /// assert_eq!(*limits.lock()?, [0.0, 2.5]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new(value: T) -> Result<Self, CreateError> {
        Self::with_policy(value, Policy::Raise)
    }

    /// The same with a lock that does something else when its holder dies.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::sync::Policy;
    ///
    /// // Whoever comes after a dead holder gets the lock without being told.
    /// let lock = Lock::with_policy(0u64, Policy::Release)?;
    /// *lock.lock()? += 1;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn with_policy(value: T, policy: Policy) -> Result<Self, CreateError> {
        Ok(Self(Guarded::new(Family::get()?, value, policy)?))
    }

    /// A handle to the lock at `offset`, of which this process was made a holder.
    ///
    /// # Errors
    /// [`CreateError`] when it was not, or what is there has data of another size.
    #[doc(hidden)]
    pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
        Ok(Self(Guarded::from_offset(Family::get()?, offset)?))
    }

    /// Waits for the lock. A thread that holds it already waits for ever.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], with the guard within, if the last holder ended holding it.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let counts = Lock::new([0u64; 2])?;
    /// let child = Process::fork(|| counts.lock().map(|mut counts| counts[0] += 1).is_ok())?;
    /// counts.lock()?[1] += 1;
    /// assert!(child.join()?);
    /// assert_eq!(*counts.lock()?, [1, 1]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn lock(&self) -> LockResult<'_, T> {
        self.lock_with(&Patience::forever())
    }

    /// Takes the lock if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::TimedOut`] if it is held, or as [`Lock::lock`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let lock = Lock::new(7u64)?;
    /// {
    ///     let _held = lock.lock()?;
    ///     assert!(matches!(lock.try_lock(), Err(LockError::TimedOut)));
    /// }
    /// assert_eq!(*lock.try_lock()?, 7);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> LockResult<'_, T> {
        guard(self.0.try_acquire().ok_or(GaveUp::TimedOut))
    }

    /// Waits for the lock, but not longer than `timeout`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`Lock::lock`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    ///
    /// let lock = Lock::new(0u64)?;
    /// let held = lock.lock()?;
    /// let late = lock.lock_timeout(Duration::from_millis(1));
    /// assert!(matches!(late, Err(LockError::TimedOut)));
    /// # drop(held);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> LockResult<'_, T> {
        self.lock_with(&Patience::timeout(Some(timeout)))
    }

    /// Waits for the lock, but not beyond `deadline`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`Lock::lock`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::prelude::*;
    ///
    /// let (one, other) = (Lock::new(1u64)?, Lock::new(2u64)?);
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// let sum = *one.lock_deadline(deadline)? + *other.lock_deadline(deadline)?;
    /// assert_eq!(sum, 3);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock_deadline(&self, deadline: impl Into<Deadline>) -> LockResult<'_, T> {
        self.lock_with(&Patience::until(Some(deadline.into())))
    }

    /// Waits for the lock as long as `patience` allows.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], [`LockError::Interrupted`], or as [`Lock::lock`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let lock = Lock::new(0u64)?;
    /// let held = lock.lock()?;
    /// let pressed = || true; // asked now and then: has the user pressed the button?
    /// let late = lock.lock_with(&Patience::forever().interruptible(&pressed));
    /// assert!(matches!(late, Err(LockError::Interrupted)));
    /// # drop(held);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn lock_with(&self, patience: &Patience<'_>) -> LockResult<'_, T> {
        guard(self.0.acquire(patience))
    }
}

impl<T> Lock<T> {
    /// Where the lock lies: what names it to another process of the family.
    #[doc(hidden)]
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.offset()
    }

    /// Makes another process a holder of the handle (not of the lock), before the offset is sent to it.
    #[doc(hidden)]
    pub fn hold_for(&self, slot: SlotId) {
        self.0.hold_for(slot);
    }

    /// Whether anybody holds the lock.
    ///
    /// ```
    /// let lock = phalanx::Lock::new(0u64)?;
    /// let guard = lock.lock()?;
    /// assert!(lock.is_locked());
    /// drop(guard);
    /// assert!(!lock.is_locked());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.holder() != Holder::Nobody
    }

    /// Who holds the lock.
    ///
    /// ```
    /// use phalanx::sync::{Holder, Lock};
    ///
    /// let lock = Lock::new(0u64)?;
    /// assert_eq!(lock.holder(), Holder::Nobody);
    /// let guard = lock.lock()?;
    /// assert!(matches!(lock.holder(), Holder::Process(_)));
    /// # drop(guard);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.0.holder()
    }
}

#[inline]
pub(super) fn guard<T>(how: Result<(Held<'_, T>, Acquired), GaveUp>) -> LockResult<'_, T> {
    let (held, how) = how?;
    let guard = LockGuard(held);
    match how {
        Acquired::Clean => Ok(guard),
        Acquired::OwnerDied { pid } => Err(LockError::OwnerDied(OwnerDied { guard, pid })),
    }
}

impl<T> Clone for Lock<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = self.holder();
        f.debug_struct("Lock").field("offset", &self.offset()).field("holder", &holder).finish()
    }
}

passed_by_offset!([T: Pod] Lock<T>, "a lock");

/// Holds a [`Lock`] until it is dropped, and leads to its data.
///
/// Where a process forks while it has one, the child's copy releases nothing.
///
/// # Panics
/// On access to the data by such a copy: the parent holds the lock, not the child.
///
/// ```
/// let lock = phalanx::Lock::new(1u64)?;
/// let mut guard = lock.lock()?;
/// *guard += 1;
/// drop(guard); // gives the lock back
/// assert_eq!(*lock.lock()?, 2);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard<'a, T>(pub(super) Held<'a, T>);

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
