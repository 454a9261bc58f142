//! Waiting for many descriptors, of which few are ready at a time: `epoll(7)`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;

use crate::clock::Deadline;
use crate::poll::Readiness;

/// What to wait for at one descriptor. Hanging up and errors are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interests {
    /// That a read would not block.
    pub read: bool,
    /// That a write would not block.
    pub write: bool,
}

impl Interests {
    /// Reads only.
    pub const READ: Self = Self { read: true, write: false };

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags
    }
}

/// A descriptor that has become ready.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The number that the descriptor was added with.
    pub token: u64,
    /// A read would not block: there is something, the end of file, or an error.
    pub can_read: bool,
    /// A write would not block, or there is an error.
    pub can_write: bool,
}

/// A set of descriptors to wait for. One that is closed leaves the set by itself.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

const AT_ONCE: usize = 64;

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// When the kernel refuses the descriptor (`RLIMIT_NOFILE`).
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Adds a descriptor, to be known by `token`.
    ///
    /// # Errors
    /// When it is in the set already, cannot be waited for, or the kernel refuses more.
    pub fn add(&self, fd: impl AsFd, token: u64, interests: Interests) -> io::Result<()> {
        Ok(epoll::add(&self.0, fd, epoll::EventData::new_u64(token), interests.flags())?)
    }

    /// Changes what to wait for at a descriptor of the set.
    ///
    /// # Errors
    /// When it is not in the set.
    pub fn change(&self, fd: impl AsFd, token: u64, interests: Interests) -> io::Result<()> {
        Ok(epoll::modify(&self.0, fd, epoll::EventData::new_u64(token), interests.flags())?)
    }

    /// Takes a descriptor out of the set.
    ///
    /// # Errors
    /// When it is not in the set.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.0, fd)?)
    }

    /// Sleeps until a descriptor is ready, a signal handler ran, or `deadline` (`None`: for ever).
    /// Appends to `ready` what is, at most 64 at a time.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn wait(
        &self,
        ready: &mut Vec<Event>,
        deadline: Option<Deadline>,
    ) -> io::Result<Readiness> {
        let timeout = deadline.map(Deadline::remaining).map(|left| rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); AT_ONCE];
        let (events, _) = match epoll::wait(&self.0, &mut events[..], timeout.as_ref()) {
            Ok(events) => events,
            Err(Errno::INTR) => return Ok(Readiness::Interrupted),
            Err(e) => return Err(e.into()),
        };
        let broken = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        for event in events.iter() {
            let flags = event.flags;
            ready.push(Event {
                token: event.data.u64(),
                can_read: flags.intersects(epoll::EventFlags::IN | broken),
                can_write: flags.intersects(epoll::EventFlags::OUT | broken),
            });
        }
        Ok(if events.is_empty() { Readiness::TimedOut } else { Readiness::Ready })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::stream_pair;
    use crate::stream::{recv_now, send_now};

    #[test]
    fn a_descriptor_is_reported_by_its_token() -> io::Result<()> {
        let (a, b) = stream_pair()?;
        let set = Epoll::new()?;
        set.add(&b, 7, Interests::READ)?;
        let mut ready = Vec::new();
        let soon = Some(Deadline::now());
        assert_eq!(set.wait(&mut ready, soon)?, Readiness::TimedOut);
        send_now(&a, &[io::IoSlice::new(b"x")])?;
        assert_eq!(set.wait(&mut ready, None)?, Readiness::Ready);
        assert_eq!((ready[0].token, ready[0].can_read, ready[0].can_write), (7, true, false));
        assert_eq!(recv_now(&b, &mut [0; 8])?, 1);
        set.change(&b, 8, Interests { read: true, write: true })?;
        ready.clear();
        set.wait(&mut ready, None)?;
        assert_eq!((ready[0].token, ready[0].can_read, ready[0].can_write), (8, false, true));
        set.remove(&b)?;
        drop(a);
        assert_eq!(set.wait(&mut ready, soon)?, Readiness::TimedOut);
        Ok(())
    }
}
