//! Reading and writing stream sockets without waiting and without `SIGPIPE`, and writing to any descriptor.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

/// Receives what is there, at most the buffer's length; 0 is the end of file.
///
/// # Errors
/// `WouldBlock` when nothing is there, `ConnectionReset`, or the kernel's refusal.
#[inline]
pub fn recv_now(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::net::recv(&socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            result => return Ok(result?.0),
        }
    }
}

/// Sends what there is room for; returns how many bytes that were.
///
/// # Errors
/// `WouldBlock` when there is no room, `BrokenPipe` or `ConnectionReset` when the other end is
/// closed, or the kernel's refusal.
#[inline]
pub fn send_now(socket: impl AsFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        let mut nothing = SendAncillaryBuffer::default();
        match rustix::net::sendmsg(&socket, parts, &mut nothing, flags) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Writes a part of the bytes to whatever the descriptor is, waiting for room; returns how many.
///
/// # Errors
/// `Interrupted` by a signal, or the kernel's refusal.
pub fn write_some(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    match rustix::io::write(&fd, bytes) {
        Err(Errno::AGAIN) => {
            let mut writable = [PollFd::new(&fd, PollFlags::OUT)];
            rustix::event::poll(&mut writable, None)?;
            Ok(0)
        }
        result => Ok(result?),
    }
}
