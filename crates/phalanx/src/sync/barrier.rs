//! A place where a number of processes wait for each other.

use std::fmt;
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;
use phalanx_shm::words::barrier::{BarrierHead, NotPassed, PARTIES_MAX, cells_for};
use phalanx_shm::words::objects;

use super::{CreateError, handle};

/// A barrier, at which `parties` threads or processes wait for each other again and again.
///
/// It breaks when one of those who wait times out or dies; then nobody passes before a reset.
///
/// ```
/// use phalanx::prelude::*;
///
/// let (written, table) = (Barrier::new(2)?, Array::<u64>::zeroed(2)?);
/// let other = Process::fork(|| {
///     table.store(1, 20);
///     written.wait().map(|_| table.load(0)).ok()
/// })?;
/// table.store(0, 10);
/// written.wait()?;
/// assert_eq!((table.load(1), other.join()?), (20, Some(10)));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Barrier {
    head: Shared<BarrierHead>,
}

handle!(Barrier, BarrierHead, head);

/// Why a wait at a barrier failed.
///
/// ```
/// use std::time::Duration;
/// use phalanx::prelude::*;
///
/// let two = Barrier::new(2)?;
/// // Nobody else comes; from then on the barrier is broken for all.
/// assert!(matches!(two.wait_timeout(Duration::from_millis(1)), Err(BarrierError::Broken)));
/// assert!(matches!(two.wait(), Err(BarrierError::Broken)));
/// two.reset();
/// assert!(!two.is_broken());
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarrierError {
    /// Somebody timed out, died or called `abort`, or the barrier was reset.
    Broken,
    /// The wait was interrupted; the others wait on for another party.
    Interrupted,
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "the barrier is broken: reset it before it is used again",
            Self::Interrupted => "interrupted while waiting at a barrier",
        })
    }
}

impl std::error::Error for BarrierError {}

impl Barrier {
    /// A barrier for `parties`.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had, or `parties` is 0 or above 1,048,575.
    pub fn new(parties: u32) -> Result<Self, CreateError> {
        if parties == 0 || parties > PARTIES_MAX {
            return Err(CreateError::Value("a barrier has 1 to 1048575 parties"));
        }
        let tail = cells_for(parties) * std::mem::size_of::<u64>();
        let prepare = |head: &BarrierHead| head.init(parties);
        Ok(Self::wrap(Shared::with_tail(Family::get()?, tail, prepare)?))
    }

    fn wrap(head: Shared<BarrierHead>) -> Self {
        Self { head }
    }

    /// Waits until all parties have arrived; returns the order of arrival, from 0.
    ///
    /// # Errors
    /// [`BarrierError::Broken`].
    pub fn wait(&self) -> Result<u32, BarrierError> {
        self.wait_with(&Patience::forever())
    }

    /// The same, but not longer than `timeout`, which breaks the barrier.
    ///
    /// # Errors
    /// [`BarrierError::Broken`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u32, BarrierError> {
        self.wait_with(&Patience::timeout(Some(timeout)))
    }

    /// The same, but not beyond `deadline`, which breaks the barrier.
    ///
    /// # Errors
    /// [`BarrierError::Broken`].
    pub fn wait_deadline(&self, deadline: impl Into<Deadline>) -> Result<u32, BarrierError> {
        self.wait_with(&Patience::until(Some(deadline.into())))
    }

    /// The same for as long as `patience` allows; its end breaks the barrier.
    ///
    /// # Errors
    /// [`BarrierError::Broken`], or [`BarrierError::Interrupted`], which does not break the barrier.
    pub fn wait_with(&self, patience: &Patience<'_>) -> Result<u32, BarrierError> {
        self.wait_and(patience, None)
    }

    /// The same as [`Barrier::wait_with`]; the last to arrive runs `action` before anybody passes. If that answers `false`,
    /// the barrier breaks.
    ///
    /// # Errors
    /// As [`Barrier::wait_with`].
    pub fn wait_and(
        &self,
        patience: &Patience<'_>,
        action: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<u32, BarrierError> {
        let view = objects::barrier(&self.head);
        view.wait(self.head.family(), patience, action).map_err(|why| match why {
            NotPassed::Broken => BarrierError::Broken,
            NotPassed::Interrupted => BarrierError::Interrupted,
        })
    }

    /// Breaks the barrier.
    pub fn abort(&self) {
        objects::barrier(&self.head).abort();
    }

    /// Makes the barrier whole and empty again; who waits now fails.
    pub fn reset(&self) {
        objects::barrier(&self.head).reset();
    }

    /// Whether the barrier is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        objects::barrier(&self.head).is_broken()
    }

    /// How many wait at this moment.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        objects::barrier(&self.head).waiting()
    }

    /// How many have to arrive.
    #[must_use]
    pub fn parties(&self) -> u32 {
        self.head.parties()
    }
}
