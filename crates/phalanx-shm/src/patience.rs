//! How long a caller is willing to wait, and what may end its wait early.

use std::time::Duration;

use crate::sync::Deadline;

/// The limits of one wait: an optional deadline and an optional question asked whenever a signal
/// interrupted the wait (and now and then besides), whose answer `true` gives the wait up.
///
/// ```
/// # use phalanx_shm::patience as phalanx;
/// use std::time::Duration;
/// use phalanx::{GaveUp, Patience};
///
/// // A minute, unless the user presses the button meanwhile:
/// let pressed = || true;
/// let patience = Patience::timeout(Some(Duration::from_secs(60))).interruptible(&pressed);
/// assert_eq!(patience.check(), Err(GaveUp::Interrupted));
/// ```
#[derive(Clone, Copy, Default)]
pub struct Patience<'a> {
    deadline: Option<Deadline>,
    give_up: Option<&'a (dyn Fn() -> bool + 'a)>,
    stop: Option<&'a (dyn Fn() -> bool + 'a)>,
}

/// Why a wait ended without what it waited for.
///
/// ```
/// # use phalanx_shm::patience as phalanx;
/// use phalanx::{GaveUp, Patience};
///
/// assert_eq!(Patience::none().check(), Err(GaveUp::TimedOut));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// The deadline passed.
    TimedOut,
    /// The caller's question was answered with `true` (Ctrl-C, cancellation).
    Interrupted,
}

impl std::fmt::Display for GaveUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the deadline passed before what was waited for came",
            Self::Interrupted => "the wait was interrupted before what was waited for came",
        })
    }
}

impl std::error::Error for GaveUp {}

impl<'a> Patience<'a> {
    /// Waits for ever.
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use phalanx::Patience;
    ///
    /// assert_eq!(Patience::forever().deadline(), None);
    /// assert!(Patience::forever().check().is_ok());
    /// ```
    #[must_use]
    pub const fn forever() -> Self {
        Self { deadline: None, give_up: None, stop: None }
    }

    /// Does not wait at all: a deadline that has passed.
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use phalanx::Patience;
    ///
    /// assert!(Patience::none().is_none());
    /// assert!(Patience::none().check().is_err(), "it is at its end from the beginning");
    /// ```
    #[must_use]
    pub const fn none() -> Self {
        Self { deadline: Some(Deadline::from_nanos(0)), give_up: None, stop: None }
    }

    /// Waits until `deadline` (`None`: for ever).
    ///
    /// ```
    /// # mod phalanx { pub use phalanx_shm::patience::{GaveUp, Patience}; pub use phalanx_os::clock::Deadline; }
    /// use std::time::Duration;
    /// use phalanx::{Deadline, Patience};
    ///
    /// // One deadline for several waits:
    /// let deadline = Deadline::after(Duration::from_secs(1));
    /// let (first, second) = (Patience::until(Some(deadline)), Patience::until(Some(deadline)));
    /// assert_eq!(first.deadline(), second.deadline());
    /// ```
    #[must_use]
    pub const fn until(deadline: Option<Deadline>) -> Self {
        Self { deadline, give_up: None, stop: None }
    }

    /// Waits for `timeout` from now (`None`: for ever).
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use std::time::Duration;
    /// use phalanx::Patience;
    ///
    /// let patience = Patience::timeout(Some(Duration::from_secs(1)));
    /// assert!(patience.check().is_ok() && patience.deadline().is_some());
    /// ```
    #[must_use]
    pub fn timeout(timeout: Option<Duration>) -> Self {
        Self::until(timeout.map(Deadline::after))
    }

    /// The same, but asks `give_up` after each signal.
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use std::cell::Cell;
    /// use phalanx::{GaveUp, Patience};
    ///
    /// let cancelled = Cell::new(false); // or an atomic that another thread or a signal handler sets
    /// let ask = || cancelled.get();
    /// let patience = Patience::forever().interruptible(&ask);
    /// assert!(patience.check().is_ok());
    /// cancelled.set(true);
    /// assert_eq!(patience.check(), Err(GaveUp::Interrupted));
    /// ```
    #[must_use]
    pub const fn interruptible(mut self, give_up: &'a (dyn Fn() -> bool + 'a)) -> Self {
        self.give_up = Some(give_up);
        self
    }

    /// The same without its deadline: for what has to be finished once it was begun.
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use phalanx::Patience;
    ///
    /// let at_its_end = Patience::none();
    /// assert!(at_its_end.check().is_err() && at_its_end.without_deadline().check().is_ok());
    /// ```
    #[must_use]
    pub const fn without_deadline(&self) -> Self {
        Self { deadline: None, give_up: self.give_up, stop: self.stop }
    }

    /// The same, but ends when `stop` says so. It is asked often, also right before each sleep, so
    /// it has to be quick; whoever makes it true wakes the sleepers afterwards.
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use phalanx::{GaveUp, Patience};
    ///
    /// let closing = AtomicBool::new(false);
    /// let stop = || closing.load(Ordering::Acquire);
    /// let patience = Patience::forever().until_stopped(&stop);
    /// closing.store(true, Ordering::Release);
    /// assert_eq!(patience.check(), Err(GaveUp::Interrupted));
    /// ```
    #[must_use]
    pub const fn until_stopped(mut self, stop: &'a (dyn Fn() -> bool + 'a)) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Whether the wait has been stopped; see [`Patience::until_stopped`].
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use phalanx::Patience;
    ///
    /// let (stop, give_up) = (|| true, || true);
    /// assert!(Patience::forever().until_stopped(&stop).is_stopped());
    /// assert!(!Patience::forever().interruptible(&give_up).is_stopped(), "given up, not stopped");
    /// ```
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop())
    }

    /// The deadline, if there is one.
    ///
    /// ```
    /// # mod phalanx { pub use phalanx_shm::patience::{GaveUp, Patience}; pub use phalanx_os::clock::Deadline; }
    /// use phalanx::{Deadline, Patience};
    ///
    /// let deadline = Deadline::now();
    /// assert_eq!(Patience::until(Some(deadline)).deadline(), Some(deadline));
    /// ```
    #[must_use]
    pub const fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Whether this is [`Patience::none`] (a `try_` operation): no sleeping, no spinning.
    ///
    /// ```
    /// # mod phalanx { pub use phalanx_shm::patience::{GaveUp, Patience}; pub use phalanx_os::clock::Deadline; }
    /// use phalanx::{Deadline, Patience};
    ///
    /// assert!(Patience::none().is_none());
    /// assert!(!Patience::until(Some(Deadline::now())).is_none(), "it may have passed, but is one");
    /// ```
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.deadline.is_some_and(|d| d.as_nanos() == 0)
    }

    /// Whether one may go on waiting: for loops of one's own.
    ///
    /// # Errors
    /// [`GaveUp`] when the deadline has passed or the caller's question is answered with `true`.
    ///
    /// ```
    /// # use phalanx_shm::patience as phalanx;
    /// use std::time::Duration;
    /// use phalanx::{GaveUp, Patience};
    ///
    /// /// Waits for something that tells nobody.
    /// fn wait_for(is_there: impl Fn() -> bool, patience: &Patience<'_>) -> Result<(), GaveUp> {
    ///     while !is_there() {
    ///         patience.check()?;
    ///         std::thread::sleep(Duration::from_millis(1));
    ///     }
    ///     Ok(())
    /// }
    /// let soon = Patience::timeout(Some(Duration::from_millis(5)));
    /// assert_eq!(wait_for(|| false, &soon), Err(GaveUp::TimedOut));
    /// ```
    pub fn check(&self) -> Result<(), GaveUp> {
        if self.is_stopped() || self.give_up.is_some_and(|ask| ask()) {
            return Err(GaveUp::Interrupted);
        }
        if self.deadline.is_some_and(Deadline::has_passed) {
            return Err(GaveUp::TimedOut);
        }
        Ok(())
    }
}

/// The length of the sleeps between two looks at a peer's health: short at first, since most
/// deaths are noticed by the first sleeper, then longer, so that an idle waiter costs nothing.
///
/// A sleeper that is woken early goes on with the same slice: however often that happens, the look
/// is not put off.
#[derive(Debug)]
pub struct Slices {
    next: Duration,
    longest: Duration,
    end: Option<Deadline>,
}

impl Slices {
    /// For waits on what a user's code holds: 50 ms, doubling to two seconds.
    #[must_use]
    pub const fn for_users() -> Self {
        let (next, longest) = (Duration::from_millis(50), Duration::from_secs(2));
        Self { next, longest, end: None }
    }

    /// For waits on what the engine itself holds for microseconds: 1 ms, doubling to 100 ms.
    #[must_use]
    pub const fn for_engine() -> Self {
        let (next, longest) = (Duration::from_millis(1), Duration::from_millis(100));
        Self { next, longest, end: None }
    }

    /// The end of the next sleep: the slice's or the caller's own deadline, whichever is earlier.
    pub fn next_deadline(&mut self, patience: &Patience<'_>) -> Deadline {
        let slice = match self.end {
            Some(end) if !end.has_passed() => end,
            _ => {
                // Time does not pass for loom, which has to find the same steps each time.
                let end = match cfg!(loom) {
                    true => Deadline::from_nanos(u64::MAX),
                    false => Deadline::after(self.next),
                };
                self.next = (self.next * 2).min(self.longest);
                end
            }
        };
        self.end = Some(slice);
        patience.deadline().map_or(slice, |d| d.min(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_wake_up_does_not_put_the_next_look_off() {
        let mut slices = Slices::for_users();
        let first = slices.next_deadline(&Patience::forever());
        assert_eq!(first, slices.next_deadline(&Patience::forever()));
        std::thread::sleep(first.remaining());
        assert!(slices.next_deadline(&Patience::forever()) > first);
    }
}
