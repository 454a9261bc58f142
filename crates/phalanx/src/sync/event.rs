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
    ///
    /// ```
    /// let ready = phalanx::sync::Event::new()?;
    /// assert!(!ready.is_set());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn new() -> Result<Self, CreateError> {
        Ok(Self::wrap(Shared::new(Family::get()?, |_: &EventWord| ())?))
    }

    fn wrap(word: Shared<EventWord>) -> Self {
        Self { word }
    }

    /// Sets the flag and wakes all who wait for it.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let ready = Event::new()?;
    /// let waiting = [Process::fork(|| ready.wait())?, Process::fork(|| ready.wait())?];
    /// ready.set(); // for both, and for whoever comes later
    /// for process in waiting {
    ///     process.join()?;
    /// }
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn set(&self) {
        self.word.set();
    }

    /// Takes the flag back.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let ready = phalanx::sync::Event::new()?;
    /// ready.set();
    /// ready.clear();
    /// assert!(!ready.wait_timeout(Duration::ZERO), "whoever comes now waits again");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn clear(&self) {
        self.word.clear();
    }

    /// Whether the flag is set.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let ready = Event::new()?;
    /// Process::fork(|| ready.set())?.join()?;
    /// assert!(ready.is_set());
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.word.is_set()
    }

    /// Waits until the flag is set, or has been set since the call.
    ///
    /// ```
    /// use phalanx::prelude::*;
    ///
    /// let (asked, answered) = (Event::new()?, Event::new()?);
    /// let other = Process::fork(|| {
    ///     asked.wait();
    ///     answered.set();
    /// })?;
    /// asked.set();
    /// answered.wait();
    /// other.join()?;
    /// # Ok::<(), phalanx::Error>(())
    /// ```
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
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use phalanx::sync::Event;
    ///
    /// let (one, other) = (Event::new()?, Event::new()?);
    /// one.set();
    /// // Both of them within these five milliseconds:
    /// let deadline = Instant::now() + Duration::from_millis(5);
    /// assert!(one.wait_deadline(deadline) && !other.wait_deadline(deadline));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn wait_deadline(&self, deadline: impl Into<Deadline>) -> bool {
        self.wait_with(&Patience::until(Some(deadline.into()))).is_ok()
    }

    /// The same, for as long as `patience` allows.
    ///
    /// # Errors
    /// [`GaveUp`] if the flag was not set in that time.
    ///
    /// ```
    /// use phalanx::{GaveUp, Patience, sync::Event};
    ///
    /// let ready = Event::new()?;
    /// let pressed = || true; // asked now and then: has the user pressed the button?
    /// let patience = Patience::forever().interruptible(&pressed);
    /// assert_eq!(ready.wait_with(&patience), Err(GaveUp::Interrupted));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn wait_with(&self, patience: &Patience<'_>) -> Result<(), GaveUp> {
        self.word.wait(patience)
    }
}
