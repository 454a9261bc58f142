//! One process's line to the zygote: requests out, news of its children in.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_os::poll::{self, Readiness};
use phalanx_os::socket;
use phalanx_os::wait::{Ended, ExitStatus};

use super::client::gone;
use super::wire::Reply;

/// Replies come in the order of the zygote's doings, so a thread that waits for one may receive
/// another's: it files it. Whoever waits looks into the files first, then receives one message
/// with the lock held, in short turns.
#[derive(Debug)]
pub(in crate::process) struct Connection {
    socket: OwnedFd,
    ids: AtomicU64,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    started: HashMap<u64, Result<(u32, OwnedFd), i32>>,
    ended: HashMap<u64, Ended>,
    end: Option<End>,
}

/// How the zygote's end of the line was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It had read all that we sent.
    Read,
    /// Something that we sent was never read: the kernel says so.
    Unread,
}

const TURN: Duration = Duration::from_millis(50);

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, ids: AtomicU64::new(1), inbox: Mutex::default() }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the zygote is known to have gone.
    pub(super) fn is_closed(&self) -> bool {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).end.is_some()
    }

    pub(super) fn request(&self, parts: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let result = socket::send(&self.socket, parts, fds, true).map(drop);
        if result.as_ref().is_err_and(is_end) {
            self.inbox.lock().unwrap_or_else(PoisonError::into_inner).end = Some(End::Unread);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        result
    }

    /// Waits for the answer to a request: the child's pid and sentinel. The error is of the kind
    /// `BrokenPipe` when the zygote has ended without reading the request.
    pub(super) fn started(&self, id: u64) -> io::Result<(u32, OwnedFd)> {
        loop {
            let found = self.receive(None, |inbox| inbox.started.remove(&id))?;
            match found {
                Some(Ok(started)) => return Ok(started),
                Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno)),
                None => {}
            }
        }
    }

    /// The status of a child that has ended: waits until the zygote has told it, or `deadline`.
    /// If the zygote is gone the status is unknown.
    pub(in crate::process) fn status_of(
        &self,
        id: u64,
        deadline: Deadline,
    ) -> io::Result<Option<Ended>> {
        loop {
            match self.receive(Some(deadline), |inbox| inbox.ended.remove(&id)) {
                Ok(None) if deadline.has_passed() => return Ok(None),
                Ok(None) => {}
                Err(e) if is_end(&e) => {
                    return Ok(Some(Ended { status: ExitStatus::Unknown, peak_memory: None }));
                }
                result => return result,
            }
        }
    }

    /// Looks into the inbox; if what is looked for is not there, receives at most one message.
    fn receive<T>(
        &self,
        deadline: Option<Deadline>,
        look: impl Fn(&mut Inbox) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = look(&mut inbox) {
            return Ok(Some(found));
        }
        match inbox.end {
            Some(End::Read) => return Err(gone()),
            Some(End::Unread) => return Err(io::ErrorKind::BrokenPipe.into()),
            None => {}
        }
        let turn = Deadline::after(TURN);
        let until = deadline.map_or(turn, |d| d.min(turn));
        if poll::readable(self.socket.as_fd(), Some(until))? != Readiness::Ready {
            return Ok(None);
        }
        let mut buffer = [0u8; 64];
        match socket::receive(&self.socket, &mut buffer, false) {
            Ok(message) => match (Reply::decode(&buffer[..message.len]), message.fds) {
                (Some(Reply::Started { id, pid }), mut fds) => {
                    let sentinel = fds.pop().ok_or_else(gone)?;
                    inbox.started.insert(id, Ok((pid, sentinel)));
                }
                (Some(Reply::Refused { id, errno }), _) => {
                    inbox.started.insert(id, Err(errno));
                }
                (Some(Reply::Ended { id, how }), _) => {
                    inbox.ended.insert(id, how);
                }
                (None, _) => inbox.end = Some(End::Read),
            },
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => inbox.end = Some(End::Unread),
            Err(_) => inbox.end = Some(End::Read),
        }
        Ok(look(&mut inbox))
    }
}

fn is_end(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
