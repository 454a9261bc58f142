//! Signal masks of the calling thread.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

/// The number of the signal that tells of a child's end.
pub const SIGCHLD: i32 = libc::SIGCHLD;
/// The number of the signal that Ctrl-C sends.
pub const SIGINT: i32 = libc::SIGINT;
/// The number of the signal that asks a process to end.
pub const SIGTERM: i32 = libc::SIGTERM;
/// The number of the signal that no process survives.
pub const SIGKILL: i32 = libc::SIGKILL;

/// The number of the signal that tells of a terminal's end.
pub const SIGHUP: i32 = libc::SIGHUP;
/// The number of the signal that lets a stopped process go on.
pub const SIGCONT: i32 = libc::SIGCONT;

/// Whether this process ignores the signal, as those do that were started with `nohup`.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks for the present action, which all zeros are a value of; changes nothing.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// The set of the given signals; numbers that are no signals are left out.
    #[must_use]
    pub fn of(signals: &[i32]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set; sigaddset only refuses bad numbers. Memory of
        // this process alone.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            Self(set.assume_init())
        }
    }

    /// The set of all signals that can be blocked.
    #[must_use]
    pub fn all() -> Self {
        let numbers: Vec<i32> = (1..=64).collect();
        Self::of(&numbers)
    }

    /// The same set without one signal.
    #[must_use]
    pub fn without(mut self, signal: i32) -> Self {
        // SAFETY: an initialised set of this process.
        unsafe { libc::sigdelset(&raw mut self.0, signal) };
        self
    }

    /// The same set and one signal more.
    #[must_use]
    pub fn with(mut self, signal: i32) -> Self {
        // SAFETY: an initialised set of this process.
        unsafe { libc::sigaddset(&raw mut self.0, signal) };
        self
    }

    /// Whether the signal is in the set.
    #[must_use]
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: an initialised set of this process.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    pub(crate) const fn as_raw(&self) -> &libc::sigset_t {
        &self.0
    }
}

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries((1..=64).filter(|&s| self.contains(s))).finish()
    }
}

/// Blocks the signals of the set in the calling thread, besides those blocked already; returns
/// what was blocked before, for [`set_mask`].
#[must_use]
pub fn block(set: &SignalSet) -> SignalSet {
    change(libc::SIG_BLOCK, set)
}

/// Lets signals of the set through again that the calling thread had blocked; one that came
/// meanwhile is delivered before this returns.
pub fn unblock(set: &SignalSet) {
    let _ = change(libc::SIG_UNBLOCK, set);
}

/// Makes the set the calling thread's mask: exactly its signals are blocked from now on.
pub fn set_mask(set: &SignalSet) {
    let _ = change(libc::SIG_SETMASK, set);
}

/// The signals that the calling thread blocks.
#[must_use]
pub fn mask() -> SignalSet {
    block(&SignalSet::of(&[]))
}

fn change(how: i32, set: &SignalSet) -> SignalSet {
    let mut old = SignalSet::of(&[]);
    // SAFETY: two initialised sets; the mask belongs to this thread and ends with it.
    unsafe { libc::pthread_sigmask(how, set.as_raw(), &raw mut old.0) };
    old
}
