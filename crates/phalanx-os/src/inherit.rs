//! Descriptors that a program finds open when it starts.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Takes an inherited descriptor over: from now on it is closed on exec, and when dropped.
///
/// The number must come from whoever started this program, and be taken once.
///
/// # Errors
/// When no descriptor of that number is open.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: borrowed for these two calls, which fail if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(fd, fcntl_getfd(fd)? | FdFlags::CLOEXEC)?;
    // SAFETY: open, and by the contract above nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Lets the next program that this process executes in place of itself find the descriptor open.
///
/// # Errors
/// The kernel's refusal.
pub fn keep_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfd(fd, fcntl_getfd(fd)? - FdFlags::CLOEXEC)?)
}
