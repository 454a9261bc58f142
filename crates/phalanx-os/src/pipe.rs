//! Reading and writing descriptors that are no sockets: `read(2)`, `writev(2)`.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

/// Reads what is there; waits if nothing is. Zero is the end of the stream.
///
/// # Errors
/// `Interrupted` when a signal handler ran, or the kernel's refusal.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buffer)?)
}

/// Writes the parts one behind the other and says how many bytes were taken; waits for room.
///
/// # Errors
/// `BrokenPipe` when nobody can read, `Interrupted` when a signal handler ran, or the kernel's
/// refusal.
pub fn write(fd: impl AsFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::io::writev(fd, parts)?)
}
