//! What can go wrong with a synchronization object.

use std::fmt;
use std::io;

use phalanx_shm::arena::AllocError;
use phalanx_shm::object;
use phalanx_shm::patience::GaveUp;

use crate::pipe::NewPipeError;
use crate::queue::NewQueueError;
use crate::value::NewBlockError;

/// A shared object could not be made, or not be found.
///
/// ```
/// use phalanx::error::CreateError;
///
/// let error = phalanx::Queue::<u64>::bounded(0).unwrap_err();
/// assert!(matches!(error, CreateError::Value(_)));
/// println!("{error}");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CreateError {
    /// The kernel refused the family's shared memory.
    Os(io::Error),
    /// The shared memory is used up.
    Memory(AllocError),
    /// This process was not made a holder of the object, or it is of another kind.
    NotHeld(object::NotHeld),
    /// A number is outside what the object allows.
    Value(&'static str),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(e) => write!(f, "cannot set up the shared memory of this family: {e}"),
            Self::Memory(e) => e.fmt(f),
            Self::NotHeld(e) => e.fmt(f),
            Self::Value(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for CreateError {}

impl From<io::Error> for CreateError {
    fn from(e: io::Error) -> Self {
        Self::Os(e)
    }
}

impl From<AllocError> for CreateError {
    fn from(e: AllocError) -> Self {
        Self::Memory(e)
    }
}

impl From<NewQueueError> for CreateError {
    fn from(e: NewQueueError) -> Self {
        match e {
            NewQueueError::NoArena(e) => Self::Os(e),
            NewQueueError::OutOfMemory(e) => Self::Memory(e),
        }
    }
}

impl From<NewBlockError> for CreateError {
    fn from(e: NewBlockError) -> Self {
        match e {
            NewBlockError::NoArena(e) => Self::Os(e),
            NewBlockError::OutOfMemory(e) => Self::Memory(e),
        }
    }
}

impl From<NewPipeError> for CreateError {
    fn from(e: NewPipeError) -> Self {
        match e {
            NewPipeError::Refused(e) => Self::Os(e),
            NewPipeError::OutOfMemory(e) => Self::Memory(e),
        }
    }
}

impl From<object::NotHeld> for CreateError {
    fn from(e: object::NotHeld) -> Self {
        Self::NotHeld(e)
    }
}

/// Why a lock was not acquired in the ordinary way. `G` is the guard.
///
/// ```
/// use phalanx::prelude::*;
///
/// let lock = Lock::new(0u64)?;
/// let held = lock.lock()?;
/// assert!(matches!(lock.try_lock(), Err(LockError::TimedOut)));
/// # drop(held);
/// # Ok::<(), phalanx::Error>(())
/// ```
#[non_exhaustive]
pub enum LockError<G> {
    /// Another held it until the deadline.
    TimedOut,
    /// The wait was interrupted.
    Interrupted,
    /// The holder ended without a release. The caller holds the lock now, by the guard within.
    OwnerDied(OwnerDied<G>),
}

/// A lock taken over from a process that ended while it held it.
///
/// ```
/// use phalanx::prelude::*;
///
/// let lock = Lock::new(0u64)?;
/// let dies = Process::fork(|| {
///     std::mem::forget(lock.lock());
///     std::process::abort()
/// })?;
/// let pid = dies.pid();
/// let _: Result<(), _> = dies.join();
/// match lock.lock() {
///     Err(LockError::OwnerDied(died)) => assert_eq!((died.pid, *died.guard), (pid, 0)),
///     other => panic!("{other:?}"),
/// };
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct OwnerDied<G> {
    /// Holds the lock.
    pub guard: G,
    /// The process that ended.
    pub pid: u32,
}

impl<G> LockError<G> {
    /// The lock, if it was taken over from the dead: for callers who have nothing to mend.
    ///
    /// # Errors
    /// The same error, if the lock was not acquired at all.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// // A count is whole whatever happened: nothing is to be mended.
    /// let hits = Lock::new(0u64)?;
    /// *hits.lock().or_else(LockError::recover)? += 1;
    /// assert_eq!(*hits.lock()?, 1);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn recover(self) -> Result<G, Self> {
        match self {
            Self::OwnerDied(died) => Ok(died.guard),
            other => Err(other),
        }
    }
}

impl<G> From<GaveUp> for LockError<G> {
    fn from(why: GaveUp) -> Self {
        match why {
            GaveUp::TimedOut => Self::TimedOut,
            GaveUp::Interrupted => Self::Interrupted,
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => {
                f.write_str("another holds the lock; the time to wait for it is over")
            }
            Self::Interrupted => f.write_str("interrupted while waiting for the lock"),
            Self::OwnerDied(died) => write!(
                f,
                "process {} ended while it held the lock, which is now held by this one: look \
                 over what it protects",
                died.pid
            ),
        }
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("TimedOut"),
            Self::Interrupted => f.write_str("Interrupted"),
            Self::OwnerDied(died) => f.debug_struct("OwnerDied").field("pid", &died.pid).finish(),
        }
    }
}

impl<G> std::error::Error for LockError<G> {}
