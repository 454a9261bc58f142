//! The monotonic clock, the only clock that phalanx waits by.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// An instant of `CLOCK_MONOTONIC`, in nanoseconds since an arbitrary start (boot).
///
/// Unlike [`std::time::Instant`] it can be stored in shared memory: every process of the
/// machine reads the same clock. Whatever ends by `_deadline` takes either of the two.
///
/// ```
/// # use phalanx_os::clock as phalanx;
/// use std::time::{Duration, Instant};
/// use phalanx::Deadline;
///
/// let deadline = Deadline::after(Duration::from_secs(60));
/// assert!(!deadline.has_passed() && deadline.remaining() <= Duration::from_secs(60));
/// assert!(Deadline::from(Instant::now()).has_passed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(u64);

impl Deadline {
    /// The present instant.
    ///
    /// ```
    /// # use phalanx_os::clock as phalanx;
    /// use phalanx::Deadline;
    ///
    /// let begun = Deadline::now();
    /// assert!(begun.has_passed() && begun <= Deadline::now());
    /// ```
    #[must_use]
    pub fn now() -> Self {
        let t = clock_gettime(ClockId::Monotonic);
        Self((t.tv_sec as u64).saturating_mul(1_000_000_000) + t.tv_nsec as u64)
    }

    /// The instant `timeout` from now; saturates at the end of time (500 years).
    ///
    /// ```
    /// # use phalanx_os::clock as phalanx;
    /// use std::time::Duration;
    /// use phalanx::Deadline;
    ///
    /// let in_a_minute = Deadline::after(Duration::from_secs(60));
    /// assert!(in_a_minute > Deadline::now());
    /// assert!(Deadline::after(Duration::MAX) > in_a_minute, "it is far away, and no overflow");
    /// ```
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        let ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        Self(Self::now().0.saturating_add(ns))
    }

    /// The instant with the given count of nanoseconds on the monotonic clock.
    ///
    /// ```
    /// # use phalanx_os::clock as phalanx;
    /// use phalanx::Deadline;
    ///
    /// // As another process of this machine has told it:
    /// let told: u64 = Deadline::now().as_nanos();
    /// assert!(Deadline::from_nanos(told).has_passed());
    /// ```
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds on the monotonic clock.
    ///
    /// ```
    /// # use phalanx_os::clock as phalanx;
    /// use phalanx::Deadline;
    ///
    /// let (first, second) = (Deadline::now(), Deadline::now());
    /// let passed_ns = second.as_nanos() - first.as_nanos();
    /// assert!(passed_ns < 60_000_000_000);
    /// ```
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant, later by `by`.
    ///
    /// ```
    /// # use phalanx_os::clock as phalanx;
    /// use std::time::Duration;
    /// use phalanx::Deadline;
    ///
    /// let first = Deadline::now();
    /// let second = first.plus(Duration::from_millis(10)); // of a beat that does not drift
    /// assert_eq!(second.as_nanos() - first.as_nanos(), 10_000_000);
    /// ```
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Whether the instant lies in the past or is now.
    ///
    /// ```
    /// # use phalanx_os::clock as phalanx;
    /// use std::time::Duration;
    /// use phalanx::Deadline;
    ///
    /// let deadline = Deadline::after(Duration::from_millis(1));
    /// let mut rounds = 0u64;
    /// while !deadline.has_passed() {
    ///     rounds += 1; // as much as can be done in a millisecond
    /// }
    /// assert!(deadline <= Deadline::now());
    /// ```
    #[must_use]
    pub fn has_passed(self) -> bool {
        Self::now() >= self
    }

    /// The time from now until this instant; zero if it has passed.
    ///
    /// ```
    /// # use phalanx_os::clock as phalanx;
    /// use std::time::Duration;
    /// use phalanx::Deadline;
    ///
    /// let deadline = Deadline::after(Duration::from_secs(60));
    /// assert!(deadline.remaining() <= Duration::from_secs(60)); // for what takes a duration
    /// assert_eq!(Deadline::now().remaining(), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn remaining(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(Self::now().0))
    }

    /// The instant in the kernel's format.
    #[doc(hidden)]
    #[must_use]
    pub fn to_timespec(self) -> Timespec {
        Timespec {
            tv_sec: (self.0 / 1_000_000_000) as i64,
            tv_nsec: (self.0 % 1_000_000_000) as i64,
        }
    }
}

impl From<Instant> for Deadline {
    /// The same instant on the clock that all processes read; the present one for any in the past.
    fn from(instant: Instant) -> Self {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }
}

/// The earlier of two optional instants; `None` is never.
#[must_use]
pub fn earlier(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
/// The monotonic clock as of the kernel's last tick, in nanoseconds: it moves on every few milliseconds,
/// and to look at it costs a fifth of what the exact one does.
#[must_use]
pub fn coarse() -> u64 {
    let t = clock_gettime(ClockId::MonotonicCoarse);
    (t.tv_sec as u64).saturating_mul(1_000_000_000) + t.tv_nsec as u64
}
