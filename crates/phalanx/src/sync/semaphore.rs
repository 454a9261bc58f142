//! Semaphores whose permits come back when their holder dies.

use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::peers::Peers;
use phalanx_shm::words::objects;
use phalanx_shm::words::permits::{PermitsHead, VALUE_MAX, cells_for};
use phalanx_shm::words::{Acquired, NotHeld, Policy};

use super::{CreateError, LockError, OwnerDied, handle};

/// A semaphore: a number of permits that processes take and give back.
///
/// `release` by one who took none is legal and adds a permit. Up to 4,096 permits of the start value
/// know their holder, and are given back for it if it dies; those added later do not.
///
/// ```
/// use phalanx::prelude::*;
///
/// let licences = Semaphore::new(2)?;
/// let one = licences.wait()?;
/// let other = licences.try_wait()?;
/// assert!(licences.try_wait().is_err());
/// drop((one, other));
/// assert_eq!(licences.value(), 2);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Semaphore {
    head: Shared<PermitsHead>,
}

handle!(Semaphore, PermitsHead, head);

/// A permit of a [`Semaphore`], given back when it is dropped.
///
/// ```
/// use phalanx::prelude::*;
///
/// let licences = Semaphore::new(1)?;
/// let permit = licences.wait()?;
/// assert_eq!(licences.value(), 0);
/// drop(permit);
/// assert_eq!(licences.value(), 1);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[must_use = "the permit is given back when this is dropped"]
#[derive(Debug)]
pub struct Permit<'a>(&'a Semaphore);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let _ = self.0.release();
    }
}

impl Semaphore {
    /// The largest value of a semaphore.
    pub const VALUE_MAX: u32 = VALUE_MAX;

    /// A semaphore with `value` permits.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had, or `value` is above
    /// [`Semaphore::VALUE_MAX`].
    ///
    /// ```
    /// use phalanx::sync::Semaphore;
    ///
    /// assert_eq!(Semaphore::new(3)?.value(), 3);
    /// assert!(Semaphore::new(Semaphore::VALUE_MAX + 1).is_err());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new(value: u32) -> Result<Self, CreateError> {
        Self::create(value, false, Policy::Raise)
    }

    /// A semaphore that does something else with the permits of the dead.
    ///
    /// # Errors
    /// As [`Semaphore::new`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::sync::Policy;
    ///
    /// let licences = Semaphore::with_policy(1, Policy::Release)?;
    /// let dies = Process::fork(|| {
    ///     std::mem::forget(licences.wait());
    ///     std::process::abort()
    /// })?;
    /// let _: Result<(), _> = dies.join();
    /// licences.wait()?; // as if it had been given back: nobody is told
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn with_policy(value: u32, policy: Policy) -> Result<Self, CreateError> {
        Self::create(value, false, policy)
    }

    fn create(value: u32, bounded: bool, policy: Policy) -> Result<Self, CreateError> {
        if value > VALUE_MAX {
            return Err(CreateError::Value("a semaphore's value is at most 2147483647"));
        }
        let family = Family::get()?;
        let tail = cells_for(value) * std::mem::size_of::<u32>();
        let prepare = |head: &PermitsHead| head.init(value, bounded, policy);
        Ok(Self::wrap(Shared::with_tail(family, tail, prepare)?))
    }

    fn wrap(head: Shared<PermitsHead>) -> Self {
        Self { head }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], with the permit within, if its last holder ended holding it.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (licences, used) = (Semaphore::new(1)?, Value::new(0u64)?);
    /// let work = || licences.wait().map(|_permit| used.fetch_add(1)).is_ok();
    /// let other = Process::fork(work)?;
    /// assert!(work() && other.join()?); // one after the other
    /// assert_eq!(used.load(), 2);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait(&self) -> Result<Permit<'_>, LockError<Permit<'_>>> {
        self.permit(self.acquire(&Patience::forever()))
    }

    /// Takes a permit if there is one now.
    ///
    /// # Errors
    /// [`LockError::TimedOut`] if that needs waiting, or as [`Semaphore::wait`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let licences = Semaphore::new(1)?;
    /// let permit = licences.try_wait()?;
    /// assert!(matches!(licences.try_wait(), Err(LockError::TimedOut)));
    /// # drop(permit);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn try_wait(&self) -> Result<Permit<'_>, LockError<Permit<'_>>> {
        self.permit(self.acquire(&Patience::none()))
    }

    /// Waits for a permit, but not longer than `timeout`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`Semaphore::wait`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    ///
    /// let none_left = Semaphore::new(0)?;
    /// let late = none_left.wait_timeout(Duration::from_millis(1));
    /// assert!(matches!(late, Err(LockError::TimedOut)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Permit<'_>, LockError<Permit<'_>>> {
        self.permit(self.acquire(&Patience::timeout(Some(timeout))))
    }

    /// Waits for a permit, but not beyond `deadline`.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], or as [`Semaphore::wait`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::prelude::*;
    ///
    /// let licences = Semaphore::new(2)?;
    /// let deadline = Instant::now() + Duration::from_millis(5);
    /// // As many as can be had in these five milliseconds:
    /// let permits: Vec<_> = std::iter::from_fn(|| licences.wait_deadline(deadline).ok()).collect();
    /// assert_eq!(permits.len(), 2);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_deadline(
        &self,
        deadline: impl Into<Deadline>,
    ) -> Result<Permit<'_>, LockError<Permit<'_>>> {
        self.permit(self.acquire(&Patience::until(Some(deadline.into()))))
    }

    /// Takes a permit without a guard.
    ///
    /// # Errors
    /// [`GaveUp`] if there was none for as long as `patience` allowed.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let licences = Semaphore::new(1)?;
    /// licences.acquire(&Patience::forever())?; // given back where it suits, also by another process
    /// assert!(licences.acquire(&Patience::none()).is_err());
    /// licences.release().expect("there is room for one");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn acquire(&self, patience: &Patience<'_>) -> Result<Acquired, GaveUp> {
        objects::permits(&self.head).acquire(self.head.family(), patience)
    }

    /// Takes a permit if there is one now.
    ///
    /// ```
    /// let licences = phalanx::sync::Semaphore::new(1)?;
    /// assert!(licences.try_acquire().is_some() && licences.try_acquire().is_none());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<Acquired> {
        objects::permits(&self.head).try_acquire(self.head.family())
    }

    /// Takes a permit if there is one that no dead process held; returns whether it did.
    #[doc(hidden)]
    #[inline]
    pub fn acquire_free(&self) -> bool {
        objects::permits(&self.head).acquire_free(self.head.family())
    }

    /// Gives a permit back, or adds one.
    ///
    /// # Errors
    /// [`NotHeld`] if the semaphore has [`Semaphore::VALUE_MAX`] (or is a bounded one and has all).
    ///
    /// ```
    /// let items = phalanx::sync::Semaphore::new(0)?;
    /// items.release().expect("there is room"); // who makes an item
    /// items.wait()?; // who needs one
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[inline]
    pub fn release(&self) -> Result<(), NotHeld> {
        objects::permits(&self.head).release(self.head.family())
    }

    /// The number of permits that can be taken now.
    ///
    /// ```
    /// let licences = phalanx::sync::Semaphore::new(2)?;
    /// let permit = licences.wait()?;
    /// assert_eq!(licences.value(), 1);
    /// # drop(permit);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn value(&self) -> u32 {
        objects::permits(&self.head).value()
    }

    /// The number of permits that this process holds, of those that know their holder.
    ///
    /// ```
    /// let licences = phalanx::sync::Semaphore::new(2)?;
    /// let one = licences.wait()?;
    /// assert_eq!(licences.held(), 1);
    /// drop(one);
    /// assert_eq!(licences.held(), 0);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn held(&self) -> usize {
        objects::permits(&self.head).held(self.head.family().me())
    }

    /// The number of permits the semaphore started with.
    ///
    /// ```
    /// let licences = phalanx::sync::Semaphore::new(2)?;
    /// let permit = licences.wait()?;
    /// assert_eq!((licences.start(), licences.value()), (2, 1));
    /// # drop(permit);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn start(&self) -> u32 {
        self.head.start()
    }

    fn permit(&self, how: Result<Acquired, GaveUp>) -> Result<Permit<'_>, LockError<Permit<'_>>> {
        match how? {
            Acquired::Clean => Ok(Permit(self)),
            Acquired::OwnerDied { pid } => {
                Err(LockError::OwnerDied(OwnerDied { guard: Permit(self), pid }))
            }
        }
    }
}

/// A semaphore that refuses more releases than acquisitions. It works like the [`Semaphore`] that it
/// stands for.
///
/// ```
/// use phalanx::prelude::*;
///
/// let licences = BoundedSemaphore::new(2)?;
/// assert!(licences.release().is_err(), "nobody has taken one");
/// let one = licences.wait()?;
/// assert_eq!(licences.value(), 1);
/// # drop(one);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BoundedSemaphore(Semaphore);

impl BoundedSemaphore {
    /// A semaphore with `value` permits, never to have more.
    ///
    /// # Errors
    /// As [`Semaphore::new`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let licences = BoundedSemaphore::new(1)?;
    /// assert_eq!(licences.value(), 1);
    /// assert!(licences.release().is_err(), "never more than one");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new(value: u32) -> Result<Self, CreateError> {
        Self::with_policy(value, Policy::Raise)
    }

    /// One that does something else with the permits of the dead.
    ///
    /// # Errors
    /// As [`Semaphore::new`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::sync::Policy;
    ///
    /// let licences = BoundedSemaphore::with_policy(1, Policy::Release)?;
    /// let dies = Process::fork(|| {
    ///     std::mem::forget(licences.wait());
    ///     std::process::abort()
    /// })?;
    /// let _: Result<(), _> = dies.join();
    /// licences.wait()?; // as if it had been given back: nobody is told
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn with_policy(value: u32, policy: Policy) -> Result<Self, CreateError> {
        Semaphore::create(value, true, policy).map(Self)
    }

    /// A handle to the object at `offset`; see [`Semaphore::from_offset`].
    ///
    /// # Errors
    /// As [`Semaphore::from_offset`].
    #[doc(hidden)]
    pub fn from_offset(offset: u64) -> Result<Self, CreateError> {
        Semaphore::from_offset(offset).map(Self)
    }

    /// The semaphore itself, which keeps its bound.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let licences: Semaphore = BoundedSemaphore::new(1)?.into_inner();
    /// assert!(licences.release().is_err(), "it is still bounded");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Semaphore {
        self.0
    }
}

impl std::ops::Deref for BoundedSemaphore {
    type Target = Semaphore;
    fn deref(&self) -> &Semaphore {
        &self.0
    }
}

crate::wire::handle::passed_by_offset!([] BoundedSemaphore, "BoundedSemaphore");
