//! A flag that processes wait for.

use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::{GaveUp, Patience};
use phalanx_shm::words::event::EventWord;

use super::{CreateError, handle};

/// A flag, not set at first.
///
/// ```
/// use phalanx::prelude::*;
///
/// let found = Event::new()?;
/// let searching = Process::fork(|| found.set())?;
/// found.wait();
/// searching.join()?;
/// assert!(found.is_set());
/// # Ok::<(), phalanx::Error>(())
/// ```
///
/// It stays as it is when the process dies that set it.
pub struct Event {
    word: Shared<EventWord>,
}

handle!(Event, EventWord, word);

impl Event {
    /// A flag that is not set.
    ///
    /// # Errors
    /// [`CreateError`] when shared memory cannot be had.
    pub fn new() -> Result<Self, CreateError> {
        Ok(Self::wrap(Shared::new(Family::get()?, |_: &EventWord| ())?))
    }

    fn wrap(word: Shared<EventWord>) -> Self {
        Self { word }
    }

    /// Sets the flag and wakes all who wait for it.
    pub fn set(&self) {
        self.word.set();
    }

    /// Takes the flag back.
    pub fn clear(&self) {
        self.word.clear();
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.word.is_set()
    }

    /// Waits until the flag is set, or has been set since the call.
    pub fn wait(&self) {
        while self.wait_with(&Patience::forever()).is_err() {}
    }

    /// The same, but not longer than `timeout`; whether the flag was set in that time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let found = phalanx::sync::Event::new()?;
    /// assert!(!found.wait_timeout(Duration::from_millis(1)));
    /// found.set();
    /// assert!(found.wait_timeout(Duration::ZERO));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_with(&Patience::timeout(Some(timeout))).is_ok()
    }

    /// The same, but not beyond `deadline`.
    #[must_use]
    pub fn wait_deadline(&self, deadline: impl Into<Deadline>) -> bool {
        self.wait_with(&Patience::until(Some(deadline.into()))).is_ok()
    }

    /// The same, for as long as `patience` allows.
    ///
    /// # Errors
    /// [`GaveUp`] if the flag was not set in that time.
    pub fn wait_with(&self, patience: &Patience<'_>) -> Result<(), GaveUp> {
        self.word.wait(patience)
    }
}
