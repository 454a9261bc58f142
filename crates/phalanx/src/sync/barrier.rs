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
    ///
    /// ```
    /// use phalanx::sync::Barrier;
    ///
    /// assert_eq!(Barrier::new(3)?.parties(), 3);
    /// assert!(Barrier::new(0).is_err());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
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
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let all_here = Barrier::new(2)?;
    /// let other = Process::fork(|| all_here.wait().ok())?;
    /// let mine = all_here.wait()?;
    /// // One came first, the other second.
    /// assert_eq!(other.join()?, Some(1 - mine));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait(&self) -> Result<u32, BarrierError> {
        self.wait_with(&Patience::forever())
    }

    /// The same, but not longer than `timeout`, which breaks the barrier.
    ///
    /// # Errors
    /// [`BarrierError::Broken`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use phalanx::prelude::*;
    ///
    /// let all_here = Barrier::new(2)?;
    /// let alone = all_here.wait_timeout(Duration::from_millis(1));
    /// assert_eq!(alone, Err(BarrierError::Broken));
    /// assert!(all_here.is_broken());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u32, BarrierError> {
        self.wait_with(&Patience::timeout(Some(timeout)))
    }

    /// The same, but not beyond `deadline`, which breaks the barrier.
    ///
    /// # Errors
    /// [`BarrierError::Broken`].
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::prelude::*;
    ///
    /// let (begun, done) = (Barrier::new(1)?, Barrier::new(2)?);
    /// let deadline = Instant::now() + Duration::from_millis(5);
    /// assert!(begun.wait_deadline(deadline).is_ok(), "nobody else is needed");
    /// assert!(done.wait_deadline(deadline).is_err(), "nobody else has come in these 5 ms");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_deadline(&self, deadline: impl Into<Deadline>) -> Result<u32, BarrierError> {
        self.wait_with(&Patience::until(Some(deadline.into())))
    }

    /// The same for as long as `patience` allows; its end breaks the barrier.
    ///
    /// # Errors
    /// [`BarrierError::Broken`], or [`BarrierError::Interrupted`], which does not break the barrier.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let all_here = Barrier::new(2)?;
    /// let pressed = || true; // asked now and then: has the user pressed the button?
    /// let patience = Patience::forever().interruptible(&pressed);
    /// assert_eq!(all_here.wait_with(&patience), Err(BarrierError::Interrupted));
    /// assert!(!all_here.is_broken());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_with(&self, patience: &Patience<'_>) -> Result<u32, BarrierError> {
        self.wait_and(patience, None)
    }

    /// The same as [`Barrier::wait_with`]; the last to arrive runs `action` before anybody passes. If that answers `false`,
    /// the barrier breaks.
    ///
    /// # Errors
    /// As [`Barrier::wait_with`].
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (all_here, rounds) = (Barrier::new(2)?, Value::new(0u64)?);
    /// let pass = || all_here.wait_and(&Patience::forever(), Some(&mut || rounds.fetch_add(1) == 0));
    /// let other = Process::fork(|| pass().is_ok())?;
    /// pass()?;
    /// assert!(other.join()?);
    /// assert_eq!(rounds.load(), 1, "only the last to arrive has counted");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
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
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let all_here = Barrier::new(2)?;
    /// let waiting = Process::fork(|| all_here.wait().is_err())?;
    /// all_here.abort(); // something went wrong: nobody shall wait for me
    /// assert!(waiting.join()?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn abort(&self) {
        objects::barrier(&self.head).abort();
    }

    /// Makes the barrier whole and empty again; who waits now fails.
    ///
    /// ```
    /// let all_here = phalanx::sync::Barrier::new(1)?;
    /// all_here.abort();
    /// assert!(all_here.wait().is_err());
    /// all_here.reset();
    /// assert!(all_here.wait().is_ok());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn reset(&self) {
        objects::barrier(&self.head).reset();
    }

    /// Whether the barrier is broken.
    ///
    /// ```
    /// use phalanx::sync::Barrier;
    ///
    /// let all_here = Barrier::new(2)?;
    /// assert!(!all_here.is_broken());
    /// all_here.abort();
    /// assert!(all_here.is_broken());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_broken(&self) -> bool {
        objects::barrier(&self.head).is_broken()
    }

    /// How many wait at this moment.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let all_here = Barrier::new(2)?;
    /// let other = Process::fork(|| all_here.wait().is_ok())?;
    /// while all_here.waiting() == 0 {
    ///     std::thread::yield_now();
    /// }
    /// all_here.wait()?; // does not wait: the other is there
    /// assert!(other.join()?);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn waiting(&self) -> u32 {
        objects::barrier(&self.head).waiting()
    }

    /// How many have to arrive.
    ///
    /// ```
    /// assert_eq!(phalanx::sync::Barrier::new(5)?.parties(), 5);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn parties(&self) -> u32 {
        self.head.parties()
    }
}
