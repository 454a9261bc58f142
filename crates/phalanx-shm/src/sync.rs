//! The one place atomics and futex sleeps come from, so that `loom` can take their place.
//!
//! Under `--cfg loom` the algorithms of this crate run on loom's atomics and a sleep becomes a
//! yield to loom's scheduler, which then explores every order of steps.

#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

pub use phalanx_os::clock::Deadline;
pub use phalanx_os::futex::Wake;

/// Sleeps while `word` holds `expected`; see [`phalanx_os::futex::wait`].
#[cfg(not(loom))]
#[must_use]
pub fn futex_wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Wake {
    phalanx_os::futex::wait(word, expected, deadline)
}

/// Wakes sleepers of `word`; see [`phalanx_os::futex::wake`].
#[cfg(not(loom))]
pub fn futex_wake(word: &AtomicU32, count: u32) -> usize {
    phalanx_os::futex::wake(word, count)
}

/// A sleep under loom: give way to the others, then look again.
#[cfg(loom)]
#[must_use]
pub fn futex_wait(word: &AtomicU32, expected: u32, _deadline: Option<Deadline>) -> Wake {
    if word.load(Ordering::SeqCst) != expected {
        return Wake::Changed;
    }
    loom::thread::yield_now();
    Wake::Woken
}

/// A wake under loom: sleepers look again by themselves.
#[cfg(loom)]
pub fn futex_wake(_word: &AtomicU32, _count: u32) -> usize {
    0
}
