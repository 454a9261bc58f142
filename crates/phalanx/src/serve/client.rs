//! One connection of the event loop: what has come and what has still to go.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use phalanx_os::clock::Deadline;
use phalanx_os::epoll::Interests;
use phalanx_os::stream::send_now;

use super::inbox::{Inbox, header};

/// A connection and the service's own state of it.
#[derive(Debug)]
pub(super) struct Client<S> {
    pub(super) socket: OwnedFd,
    pub(super) inbox: Inbox,
    pub(super) state: S,
    /// When the connection is closed unless the client is known by then.
    pub(super) deadline: Option<Deadline>,
    /// To be closed as soon as everything has gone.
    pub(super) is_leaving: bool,
    pub(super) interests: Interests,
    unsent: Vec<u8>,
    sent: usize,
}

impl<S> Client<S> {
    pub(super) fn new(socket: OwnedFd, state: S, deadline: Deadline) -> Self {
        Self {
            socket,
            inbox: Inbox::new(),
            state,
            deadline: Some(deadline),
            is_leaving: false,
            interests: Interests::READ,
            unsent: Vec::new(),
            sent: 0,
        }
    }

    /// How many bytes the client has still to take.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Sends a message, or keeps what there is no room for.
    pub(super) fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let header = header(body.len());
        self.unsent.extend_from_slice(header.as_slice());
        self.unsent.extend_from_slice(body);
        self.flush()
    }

    /// Sends what was kept, as far as there is room.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.unsent() > 0 {
            match send_now(&self.socket, &[IoSlice::new(&self.unsent[self.sent..])]) {
                Ok(bytes) => self.sent += bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }
}
