//! Pairs of connected local sockets that carry messages and descriptors: `socketpair(2)`.
//!
//! Pairs have no name: no other process of the machine can connect. A listener has one outside
//! of the file system, so whoever accepts has to ask who came ([`peer`]) and for a secret.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    recvmsg, sendmsg,
};

/// The most descriptors that one message can carry (the kernel's `SCM_MAX_FD`).
pub const MAX_FDS: usize = 253;

const CONTROL: usize = rustix::cmsg_space!(ScmRights(MAX_FDS));

/// A connected pair that keeps the bounds of messages (`SOCK_SEQPACKET`), closed on exec.
///
/// # Errors
/// When the kernel refuses the descriptors (`RLIMIT_NOFILE`).
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::SEQPACKET)
}

/// A connected pair that carries a stream of bytes both ways (`SOCK_STREAM`), closed on exec.
///
/// # Errors
/// When the kernel refuses the descriptors (`RLIMIT_NOFILE`).
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::STREAM)
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// A socket that others of the machine can connect to by an abstract name, which vanishes with
/// the last process that has it open.
///
/// # Errors
/// `AddrInUse` when the name is taken, or the kernel's refusal.
pub fn listen(name: &[u8]) -> io::Result<OwnedFd> {
    let socket = unconnected()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}

/// Connects to a listener by its name. Does not wait for its answer.
///
/// # Errors
/// `ConnectionRefused` when nobody listens, `WouldBlock` when too many wait to be accepted, or
/// the kernel's refusal.
pub fn connect(name: &[u8]) -> io::Result<OwnedFd> {
    let socket = unconnected()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

/// Accepts one connection to a listener that is ready.
///
/// # Errors
/// The kernel's refusal.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?)
}

fn unconnected() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// What [`receive`] got.
#[derive(Debug)]
pub struct Received {
    /// Bytes written to the front of the buffer; 0 with no descriptors is the end of file.
    pub len: usize,
    /// The descriptors that came along, closed on exec.
    pub fds: Vec<OwnedFd>,
}

/// Sends one message and descriptors with it. Never raises `SIGPIPE`.
///
/// With `wait` false the error has the kind `WouldBlock` when the other side is slow.
///
/// # Errors
/// `BrokenPipe` or `ConnectionReset` when the other end is closed, `InvalidInput` for more than
/// [`MAX_FDS`] descriptors, or the kernel's refusal.
pub fn send(
    socket: impl AsFd,
    parts: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
    wait: bool,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::DONTWAIT, !wait);
    loop {
        match sendmsg(&socket, parts, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Receives one message (or a part of the stream) and the descriptors that came with it.
///
/// With `wait` false the error has the kind `WouldBlock` when there is nothing to receive.
///
/// # Errors
/// `Interrupted` when a signal handler ran, `InvalidData` when the message or its list of
/// descriptors did not fit, `ConnectionReset`, or the kernel's refusal.
pub fn receive(socket: impl AsFd, buffer: &mut [u8], wait: bool) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, !wait);
    let message = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut fds = Vec::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = item {
            fds.extend(received);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok(Received { len: message.bytes, fds })
}

/// The process and the user at the other end of a socket, as the kernel saw them when the
/// pair was made.
///
/// # Errors
/// The kernel's refusal.
pub fn peer(socket: impl AsFd) -> io::Result<(u32, u32)> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    let pid = u32::try_from(credentials.pid.as_raw_nonzero().get()).unwrap_or(0);
    Ok((pid, credentials.uid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_descriptors() -> io::Result<()> {
        let (a, b) = seqpacket_pair()?;
        let (extra, _other) = stream_pair()?;
        send(&a, &[IoSlice::new(b"one")], &[extra.as_fd()], true)?;
        send(&a, &[IoSlice::new(b"two"), IoSlice::new(b"!")], &[], true)?;
        let mut buffer = [0u8; 16];
        let first = receive(&b, &mut buffer, true)?;
        assert_eq!((&buffer[..first.len], first.fds.len()), (&b"one"[..], 1));
        let second = receive(&b, &mut buffer, true)?;
        assert_eq!((&buffer[..second.len], second.fds.len()), (&b"two!"[..], 0));
        let empty = receive(&b, &mut buffer, false).map(|r| r.len).map_err(|e| e.kind());
        assert_eq!(empty, Err(io::ErrorKind::WouldBlock));
        drop(a);
        assert_eq!(receive(&b, &mut buffer, true)?.len, 0);
        assert_eq!(peer(&b)?.0, std::process::id());
        Ok(())
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() -> io::Result<()> {
        let (a, b) = seqpacket_pair()?;
        send(&a, &[IoSlice::new(b"longer than that")], &[], true)?;
        let result = receive(&b, &mut [0u8; 4], true).map(|r| r.len).map_err(|e| e.kind());
        assert_eq!(result, Err(io::ErrorKind::InvalidData));
        Ok(())
    }
}
