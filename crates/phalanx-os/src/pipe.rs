//! Pipes, and reading and writing descriptors that are no sockets: `pipe2(2)`, `read(2)`, `writev(2)`.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};

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

/// A pipe: its reading end, its writing end. Neither has the number of a standard stream, even if
/// those are closed.
///
/// # Errors
/// When the kernel refuses the descriptors (`RLIMIT_NOFILE`).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((beyond_standard(read)?, beyond_standard(write)?))
}

/// The same open file under a number that is no standard stream's.
///
/// # Errors
/// When the kernel refuses another descriptor.
pub fn beyond_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(fcntl_dupfd_cloexec(&fd, 3)?) }
}

/// Lets reads and writes through this end fail with `WouldBlock` instead of waiting.
///
/// # Errors
/// The kernel's refusal.
pub fn set_nonblocking(end: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(&end, fcntl_getfl(&end)? | OFlags::NONBLOCK)?)
}

/// Reads what is there into the buffer; `None` if nothing is there now, zero at the end
/// of the stream. For an end that [`set_nonblocking`] was called for.
///
/// # Errors
/// The kernel's refusal.
pub fn read_now(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match rustix::io::read(&fd, &mut *buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
    }
}
