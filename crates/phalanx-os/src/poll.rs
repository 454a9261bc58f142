//! Waiting for descriptors to become ready: `ppoll(2)`.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::clock::Deadline;

/// How a wait for descriptors ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// At least one descriptor is ready, was hung up or has failed.
    Ready,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran in this thread.
    Interrupted,
}

/// One descriptor to wait for, and after the wait whether it is the reason that it ended.
#[derive(Clone, Debug)]
pub struct Interest<'a> {
    fd: BorrowedFd<'a>,
    write: bool,
    ready: bool,
    hung_up: bool,
}

impl<'a> Interest<'a> {
    /// Ready when a read would not block, at end of file too.
    #[must_use]
    pub const fn read(fd: BorrowedFd<'a>) -> Self {
        Self { fd, write: false, ready: false, hung_up: false }
    }

    /// Ready when a write would not block.
    #[must_use]
    pub const fn write(fd: BorrowedFd<'a>) -> Self {
        Self { fd, write: true, ready: false, hung_up: false }
    }

    /// Whether the descriptor was ready, hung up or broken at the end of the last wait.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether the other end was closed, or the descriptor is broken.
    #[must_use]
    pub const fn is_hung_up(&self) -> bool {
        self.hung_up
    }
}

/// Sleeps until a descriptor of the list is ready, a signal handler ran, or `deadline`
/// (`None`: for ever; a deadline that has passed: looks once).
///
/// # Errors
/// The kernel's refusal, for instance `InvalidInput` for more descriptors than `RLIMIT_NOFILE`.
pub fn wait(list: &mut [Interest<'_>], deadline: Option<Deadline>) -> io::Result<Readiness> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(list.len());
    for interest in list.iter() {
        let flags = if interest.write { PollFlags::OUT } else { PollFlags::IN };
        fds.push(PollFd::from_borrowed_fd(interest.fd, flags));
    }
    let timeout = deadline.map(|d| {
        let left = d.remaining();
        rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        }
    });
    let count = match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(count) => count,
        Err(Errno::INTR) => return Ok(Readiness::Interrupted),
        Err(e) => return Err(e.into()),
    };
    for (interest, fd) in list.iter_mut().zip(&fds) {
        let events = fd.revents();
        interest.ready = !events.is_empty();
        interest.hung_up = events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    }
    Ok(if count == 0 { Readiness::TimedOut } else { Readiness::Ready })
}

/// Waits until one descriptor is readable; see [`wait`].
///
/// # Errors
/// As for [`wait`].
pub fn readable(fd: BorrowedFd<'_>, deadline: Option<Deadline>) -> io::Result<Readiness> {
    wait(&mut [Interest::read(fd)], deadline)
}

/// A descriptor that is readable while any of `fds` is readable, hung up or broken: `epoll(7)`.
///
/// # Errors
/// When the kernel refuses the descriptor (`RLIMIT_NOFILE`), or one of the list cannot be polled.
pub fn set_of(fds: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    use rustix::event::epoll;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (n, fd) in fds.iter().enumerate() {
        let data = epoll::EventData::new_u64(n as u64);
        epoll::add(&set, fd, data, epoll::EventFlags::IN)?;
    }
    Ok(set)
}
