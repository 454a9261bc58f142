//! How long a caller is willing to wait, and what may end its wait early.

use std::time::Duration;

use crate::sync::Deadline;

/// The limits of one wait: an optional deadline and an optional question asked whenever a signal
/// interrupted the wait (and now and then besides), whose answer `true` gives the wait up.
#[derive(Clone, Copy, Default)]
pub struct Patience<'a> {
    deadline: Option<Deadline>,
    give_up: Option<&'a (dyn Fn() -> bool + 'a)>,
    stop: Option<&'a (dyn Fn() -> bool + 'a)>,
}

/// Why a wait ended without what it waited for.
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
    #[must_use]
    pub const fn forever() -> Self {
        Self { deadline: None, give_up: None, stop: None }
    }

    /// Does not wait at all: a deadline that has passed.
    #[must_use]
    pub const fn none() -> Self {
        Self { deadline: Some(Deadline::from_nanos(0)), give_up: None, stop: None }
    }

    /// Waits until `deadline` (`None`: for ever).
    #[must_use]
    pub const fn until(deadline: Option<Deadline>) -> Self {
        Self { deadline, give_up: None, stop: None }
    }

    /// Waits for `timeout` from now (`None`: for ever).
    #[must_use]
    pub fn timeout(timeout: Option<Duration>) -> Self {
        Self::until(timeout.map(Deadline::after))
    }

    /// The same, but asks `give_up` after each signal.
    #[must_use]
    pub const fn interruptible(mut self, give_up: &'a (dyn Fn() -> bool + 'a)) -> Self {
        self.give_up = Some(give_up);
        self
    }

    /// The same without its deadline: for what has to be finished once it was begun.
    #[must_use]
    pub const fn without_deadline(&self) -> Self {
        Self { deadline: None, give_up: self.give_up, stop: self.stop }
    }

    /// The same, but ends when `stop` says so. It is asked often, also right before each sleep, so
    /// it has to be quick; whoever makes it true wakes the sleepers afterwards.
    #[must_use]
    pub const fn until_stopped(mut self, stop: &'a (dyn Fn() -> bool + 'a)) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Whether the wait has been stopped; see [`Patience::until_stopped`].
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop())
    }

    /// The deadline, if there is one.
    #[must_use]
    pub const fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Whether this is [`Patience::none`] (a `try_` operation): no sleeping, no spinning.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.deadline.is_some_and(|d| d.as_nanos() == 0)
    }

    /// # Errors
    /// [`GaveUp`] when the deadline has passed or the caller's question is answered with `true`.
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
