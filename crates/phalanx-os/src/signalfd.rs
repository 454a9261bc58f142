//! Signals as something to read: `signalfd(2)`.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::signal::{self, SignalSet};

/// A descriptor that is readable while one of certain signals waits for this process.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks the signals of the set in the calling thread, and makes a descriptor that tells of them.
    /// Threads that are started later inherit the block; a signal that an earlier thread lets through
    /// may be that thread's.
    ///
    /// # Errors
    /// When the kernel refuses the descriptor.
    pub fn new(set: &SignalSet) -> io::Result<Self> {
        let _ = signal::block(set);
        // SAFETY: an initialised set; the descriptor is made for this call and nobody else's.
        unsafe {
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            match libc::signalfd(-1, set.as_raw(), flags) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(Self(OwnedFd::from_raw_fd(fd))),
            }
        }
    }

    /// Takes the next signal that has come; `None` if there is none.
    #[must_use]
    pub fn take(&self) -> Option<i32> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        let count = rustix::io::read(&self.0, &mut info).ok()?;
        // The number of the signal is the record's first field.
        let number = info.first_chunk::<4>().filter(|_| count == info.len())?;
        i32::try_from(u32::from_ne_bytes(*number)).ok()
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::run_in_child;
    use crate::wait::{ExitStatus, reap_blocking};

    #[test]
    fn a_signal_is_read_instead_of_ending_the_process() -> io::Result<()> {
        let child = run_in_child(|| {
            let Ok(signals) = SignalFd::new(&SignalSet::of(&[signal::SIGTERM])) else { return 1 };
            if signals.take().is_some() {
                return 2;
            }
            crate::proc::raise(signal::SIGTERM);
            if signals.take() == Some(signal::SIGTERM) { 0 } else { 3 }
        })?;
        assert_eq!(reap_blocking(child)?, ExitStatus::Code(0));
        Ok(())
    }
}
