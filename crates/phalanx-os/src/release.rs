//! Giving up a descriptor before its owner in this process is dropped.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes `fd` a name of `/dev/null`, so that this process no longer has what it stood for, while whoever
/// owns the number may go on and close it: `dup3(2)`.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn release(fd: BorrowedFd<'_>) -> io::Result<()> {
    let null = File::open("/dev/null")?;
    // SAFETY: both are open, and the number stays open and the property of its owner. A process that
    // dies here has no descriptors any more.
    let number = unsafe { libc::dup3(null.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
    if number < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
