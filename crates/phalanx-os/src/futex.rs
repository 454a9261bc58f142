//! Sleeping on a word of shared memory until another process changes it: `futex(2)`.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;

use rustix::io::Errno;
use rustix::thread::futex as sys;

use crate::clock::Deadline;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke us, or the kernel did so without a reason: look at the word again.
    Woken,
    /// The word did not have the expected value: there was nothing to sleep for.
    Changed,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran in this thread.
    Interrupted,
}

/// Sleeps while `word` holds `expected`, until woken, interrupted by a signal, or `deadline`.
///
/// The word may lie in memory shared between processes. Makes one system call.
#[must_use]
pub fn wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>) -> Wake {
    let until = deadline.map(Deadline::to_timespec);
    // FUTEX_WAIT_BITSET takes an absolute time on the monotonic clock; FUTEX_WAIT a relative one.
    let all = NonZeroU32::MAX;
    match sys::wait_bitset(word, sys::Flags::empty(), expected, until.as_ref(), all) {
        Ok(()) => Wake::Woken,
        Err(Errno::AGAIN) => Wake::Changed,
        Err(Errno::TIMEDOUT) => Wake::TimedOut,
        Err(Errno::INTR) => Wake::Interrupted,
        // Nothing else is possible for an aligned word of mapped memory; looking again is right.
        Err(_) => Wake::Woken,
    }
}

/// Wakes at most `count` sleepers of `word`; returns how many were woken.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    sys::wake(word, sys::Flags::empty(), count.min(i32::MAX as u32)).unwrap_or(0)
}

/// Wakes all sleepers of `word`; returns how many were woken.
pub fn wake_all(word: &AtomicU32) -> usize {
    wake(word, u32::MAX)
}

/// The largest number of words that [`wait_any`] takes.
pub const WAIT_ANY_MAX: usize = 128;

/// Sleeps until any of the words no longer holds its expected value or is woken: `futex_waitv(2)`.
///
/// Needs Linux 5.16; on an older kernel the error has the kind `Unsupported`. At most
/// [`WAIT_ANY_MAX`] words.
///
/// # Errors
/// The kernel's refusal, other than the ends that [`Wake`] names.
pub fn wait_any(words: &[(&AtomicU32, u32)], deadline: Option<Deadline>) -> std::io::Result<Wake> {
    use sys::{Wait, WaitFlags, WaitPtr, WaitvFlags};
    let mut list: Vec<Wait> = Vec::with_capacity(words.len());
    for (word, expected) in words {
        let mut wait = Wait::new();
        wait.val = u64::from(*expected);
        wait.uaddr = WaitPtr::new((*word as *const AtomicU32).cast_mut().cast());
        wait.flags = WaitFlags::SIZE_U32;
        list.push(wait);
    }
    let until = deadline.map(Deadline::to_timespec);
    let clock = rustix::time::ClockId::Monotonic;
    match sys::waitv(&list, WaitvFlags::empty(), until.as_ref(), clock) {
        Ok(_) => Ok(Wake::Woken),
        Err(Errno::AGAIN) => Ok(Wake::Changed),
        Err(Errno::TIMEDOUT) => Ok(Wake::TimedOut),
        Err(Errno::INTR) => Ok(Wake::Interrupted),
        Err(e) => Err(e.into()),
    }
}
