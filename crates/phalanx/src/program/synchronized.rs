//! Numbers in shared memory together with the lock that goes with them, as other languages have them.

use std::fmt;

use super::passed::{Pass, Passed};
use super::{InheritError, Number};
use crate::process::spawning_slot;
use crate::sync::{CreateError, LockError, OwnerDied, RLock, RLockGuard, RawLock, RawLockGuard};
use crate::value::Array;

/// A lock of either kind: what goes with a shared number.
///
/// ```
/// use phalanx::program::Synchronized;
///
/// let total = Synchronized::new(0i64)?;
/// if let Some(lock) = total.lock() {
///     let _held = lock.lock()?;
///     total.set(total.get() + 1); // nobody else comes between
/// }
/// assert_eq!(total.get(), 1);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
pub enum AnyLock {
    /// A lock that any process may release.
    Lock(RawLock),
    /// A lock that its thread may take again.
    RLock(RLock),
}

/// Holds an [`AnyLock`] until it is dropped.
///
/// ```
/// use phalanx::program::{AnyGuard, Synchronized};
///
/// let total = Synchronized::new(0i64)?;
/// let guard = total.lock().expect("it has one").lock()?;
/// assert!(matches!(guard, AnyGuard::RLock(_)));
/// # drop(guard);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[derive(Debug)]
pub enum AnyGuard<'a> {
    /// Of a lock that any process may release.
    Lock(RawLockGuard<'a>),
    /// Of a lock that its thread may take again.
    RLock(RLockGuard<'a>),
}

impl AnyLock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], with the guard within, if the last holder ended holding it.
    ///
    /// ```
    /// use phalanx::program::Synchronized;
    ///
    /// let (from, to) = (Synchronized::new(5i64)?, Synchronized::new(0i64)?);
    /// let lock = from.lock().expect("it has one");
    /// let held = lock.lock()?;
    /// to.set(from.get());
    /// from.set(0);
    /// drop(held);
    /// assert_eq!((from.get(), to.get()), (0, 5));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn lock(&self) -> Result<AnyGuard<'_>, LockError<AnyGuard<'_>>> {
        match self {
            Self::Lock(lock) => {
                lock.lock().map(AnyGuard::Lock).map_err(|e| other(e, AnyGuard::Lock))
            }
            Self::RLock(lock) => {
                lock.lock().map(AnyGuard::RLock).map_err(|e| other(e, AnyGuard::RLock))
            }
        }
    }
}

fn other<G, H>(error: LockError<G>, make: impl FnOnce(G) -> H) -> LockError<H> {
    match error {
        LockError::TimedOut => LockError::TimedOut,
        LockError::Interrupted => LockError::Interrupted,
        LockError::OwnerDied(OwnerDied { guard, pid }) => {
            LockError::OwnerDied(OwnerDied { guard: make(guard), pid })
        }
    }
}

/// Runs `action` under the lock, if there is one. A holder that died is no matter: it left whole numbers.
fn locked<R>(lock: Option<&AnyLock>, action: impl FnOnce() -> R) -> R {
    let _held = lock.map(|lock| lock.lock().or_else(LockError::recover));
    action()
}

/// A number in shared memory, and its lock if it has one.
///
/// [`get`](Self::get), [`set`](Self::set) and [`update`](Self::update) take the lock each time, as the
/// programs in other languages do. To do more under it, take it by [`lock`](Self::lock): the lock of a
/// value that is made here can be taken again by the thread that has it, so the methods can be used
/// meanwhile.
///
/// # Crash behaviour
/// A process that dies in one of these methods leaves the old number or the new one. Its lock is free
/// for the next, to whom only [`lock`](Self::lock) tells of the death.
///
/// ```
/// use phalanx::program::Synchronized;
///
/// let total = Synchronized::new(40i64)?;
/// total.update(|n| n + 2);
/// assert_eq!(total.get(), 42);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Synchronized<T> {
    cells: Array<T>,
    lock: Option<AnyLock>,
}

impl<T: Number> Synchronized<T> {
    /// A value with a lock that its thread may take again.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::program::Synchronized;
    ///
    /// assert_eq!(Synchronized::new(1.5f64)?.get(), 1.5);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new(number: T) -> Result<Self, CreateError> {
        let value = Self { cells: Array::zeroed(1)?, lock: Some(AnyLock::RLock(RLock::new()?)) };
        value.cells.store(0, number);
        Ok(value)
    }

    pub(super) fn open(offset: u64, lock: Option<AnyLock>) -> Result<Self, InheritError> {
        let cells = Array::from_offset(offset)?;
        if cells.is_empty() {
            return Err(CreateError::Value("a shared value without room for its number").into());
        }
        Ok(Self { cells, lock })
    }

    /// The number.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::program::Synchronized;
    ///
    /// let total = Synchronized::new(0i64)?;
    /// Process::fork(|| total.set(7))?.join()?;
    /// assert_eq!(total.get(), 7);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> T {
        locked(self.lock.as_ref(), || self.cells.load(0))
    }

    /// Sets the number.
    ///
    /// ```
    /// let total = phalanx::program::Synchronized::new(7i64)?;
    /// total.set(8);
    /// assert_eq!(total.get(), 8);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn set(&self, number: T) {
        locked(self.lock.as_ref(), || self.cells.store(0, number));
    }

    /// Sets the number to what `change` makes of it, while nobody else does; returns the new one.
    /// Without a lock somebody else may change it between.
    ///
    /// ```
    /// use phalanx::prelude::*;
    /// use phalanx::program::Synchronized;
    ///
    /// let total = Synchronized::new(0i64)?;
    /// let count = || for _ in 0..1000 { total.update(|total| total + 1); };
    /// let other = Process::fork(count)?;
    /// count();
    /// other.join()?;
    /// assert_eq!(total.get(), 2000, "none has overwritten the other");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn update(&self, change: impl FnOnce(T) -> T) -> T {
        locked(self.lock.as_ref(), || {
            let new = change(self.cells.load(0));
            self.cells.store(0, new);
            new
        })
    }

    /// The lock, if it has one.
    ///
    /// ```
    /// let total = phalanx::program::Synchronized::new(0i64)?;
    /// if let Some(lock) = total.lock() {
    ///     let _held = lock.lock()?;
    ///     (0..10).for_each(|n| total.set(total.get() + n)); // nobody sees a part of it
    /// }
    /// assert_eq!(total.get(), 45);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn lock(&self) -> Option<&AnyLock> {
        self.lock.as_ref()
    }
}

impl<T: Number> Pass for Synchronized<T> {
    fn passed(&self) -> std::io::Result<Passed> {
        let code = usual::<T>();
        Ok(Passed::Value {
            block: shared_array(&self.cells),
            code,
            lock: shared(self.lock.as_ref()),
        })
    }
}

/// Numbers in shared memory, and their lock if they have one; see [`Synchronized`].
///
/// ```
/// use phalanx::program::SynchronizedArray;
///
/// let cells = SynchronizedArray::<f64>::new(3)?;
/// assert!(cells.set(1, 2.5));
/// assert_eq!((cells.get(1), cells.get(3)), (Some(2.5), None));
/// assert_eq!(cells.to_vec(), [0.0, 2.5, 0.0]);
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct SynchronizedArray<T> {
    cells: Array<T>,
    lock: Option<AnyLock>,
}

impl<T: Number> SynchronizedArray<T> {
    /// An array of `len` zeros with a lock that its thread may take again.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    ///
    /// ```
    /// use phalanx::program::SynchronizedArray;
    ///
    /// assert_eq!(SynchronizedArray::<i32>::new(3)?.to_vec(), [0, 0, 0]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new(len: usize) -> Result<Self, CreateError> {
        Ok(Self { cells: Array::zeroed(len)?, lock: Some(AnyLock::RLock(RLock::new()?)) })
    }

    pub(super) fn open(
        offset: u64,
        len: usize,
        lock: Option<AnyLock>,
    ) -> Result<Self, InheritError> {
        let cells = Array::from_offset(offset)?;
        if cells.len() < len {
            return Err(CreateError::Value("a shared array without room for its numbers").into());
        }
        Ok(Self { cells, lock })
    }

    /// How many numbers there are.
    ///
    /// ```
    /// let cells = phalanx::program::SynchronizedArray::<u8>::new(1000)?;
    /// assert_eq!(cells.len(), 1000);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// assert!(phalanx::program::SynchronizedArray::<u8>::new(0)?.is_empty());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number, if there is one at `index`.
    ///
    /// ```
    /// let cells = phalanx::program::SynchronizedArray::<f64>::new(2)?;
    /// assert_eq!((cells.get(1), cells.get(2)), (Some(0.0), None));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T> {
        locked(self.lock.as_ref(), || self.cells.get(index))
    }

    /// Sets a number; false if there is none at `index`.
    ///
    /// ```
    /// let cells = phalanx::program::SynchronizedArray::<f64>::new(2)?;
    /// assert!(cells.set(1, 2.5) && !cells.set(2, 3.5));
    /// assert_eq!(cells.to_vec(), [0.0, 2.5]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn set(&self, index: usize, number: T) -> bool {
        self.write(index, &[number])
    }

    /// Writes numbers from `first` on under one lock; false, and nothing written, if they do not fit.
    ///
    /// ```
    /// let cells = phalanx::program::SynchronizedArray::<i32>::new(4)?;
    /// assert!(cells.write(1, &[7, 8]));
    /// assert!(!cells.write(3, &[9, 9]), "there is room for one of them only");
    /// assert_eq!(cells.to_vec(), [0, 7, 8, 0]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn write(&self, first: usize, numbers: &[T]) -> bool {
        let fits = first.checked_add(numbers.len()).is_some_and(|end| end <= self.len());
        if fits {
            locked(self.lock.as_ref(), || self.cells.write(first, numbers));
        }
        fits
    }

    /// A copy of all numbers, read under one lock.
    ///
    /// ```
    /// let cells = phalanx::program::SynchronizedArray::<i32>::new(2)?;
    /// let copy = cells.to_vec();
    /// cells.set(0, 7);
    /// assert_eq!(copy, [0, 0]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn to_vec(&self) -> Vec<T> {
        locked(self.lock.as_ref(), || self.cells.to_vec())
    }

    /// The lock, if it has one.
    ///
    /// ```
    /// let cells = phalanx::program::SynchronizedArray::<i32>::new(2)?;
    /// if let Some(lock) = cells.lock() {
    ///     let _held = lock.lock()?;
    ///     for index in 0..cells.len() {
    ///         cells.set(index, 7); // others see none or both
    ///     }
    /// }
    /// assert_eq!(cells.to_vec(), [7, 7]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn lock(&self) -> Option<&AnyLock> {
        self.lock.as_ref()
    }
}

impl<T: Number> Pass for SynchronizedArray<T> {
    fn passed(&self) -> std::io::Result<Passed> {
        let (code, len, lock) = (usual::<T>(), self.len() as u64, shared(self.lock.as_ref()));
        Ok(Passed::Array { block: shared_array(&self.cells), code, len, lock })
    }
}

/// Where the numbers lie, for the child that is being started.
fn shared_array<T: Number>(cells: &Array<T>) -> u64 {
    if let Some(slot) = spawning_slot() {
        cells.hold_for(slot);
    }
    cells.offset()
}

fn usual<T: Number>() -> char {
    T::CODES.chars().next().unwrap_or('B')
}

fn shared(lock: Option<&AnyLock>) -> Option<Box<Passed>> {
    lock.map(|lock| {
        Box::new(match lock {
            AnyLock::Lock(lock) => Passed::Lock(lock.share()),
            AnyLock::RLock(lock) => Passed::RLock(lock.share()),
        })
    })
}

impl<T: Number + fmt::Debug> fmt::Debug for Synchronized<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Synchronized").field(&self.cells.load(0)).finish()
    }
}

impl<T: Number> fmt::Debug for SynchronizedArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.len();
        f.debug_struct("SynchronizedArray").field("type", &T::NAME).field("len", &len).finish()
    }
}
