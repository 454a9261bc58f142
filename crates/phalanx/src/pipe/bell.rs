//! The bell of one direction of a pipe: wakes a receiver that sleeps on the pipe's socket. How it does is
//! told in [`phalanx_shm::bell`].

use std::io::{Error, ErrorKind, IoSlice};
use std::os::fd::BorrowedFd;

use phalanx_os::socket;
use phalanx_shm::bell::{self, Wire};
use phalanx_shm::object::{Bytes, Shared};

/// The bell, in the word that lies beside the ring of the direction.
#[derive(Clone, Copy)]
pub(super) struct Bell<'a>(&'a Shared<Bytes>);

/// The socket, which carries a byte when there is somebody to be woken.
struct Socket<'a>(BorrowedFd<'a>);

impl Wire for Socket<'_> {
    type Failure = Error;

    fn put(&self) -> Result<(), Error> {
        // Room there is, for one byte or two.
        socket::send(self.0, &[IoSlice::new(b"!")], &[], false).map(drop)
    }

    fn empty(&self) {
        let _ = socket::receive(self.0, &mut [0u8; 8], false);
    }
}

impl<'a> Bell<'a> {
    pub(super) fn of(object: &'a Shared<Bytes>) -> Self {
        Self(object)
    }

    #[inline]
    fn word(self) -> bell::Bell<'a> {
        bell::Bell::new(&self.0.tag)
    }

    /// For the receiver: it goes to sleep, and looks at the ring again before it does.
    pub(super) fn park(self) {
        self.word().park();
    }

    /// For the receiver: from now on it may sleep at any time, in a `select` that we know nothing of.
    pub(super) fn watch(self) {
        self.word().watch();
    }

    /// Whether no byte lies in the socket, and nobody may sleep.
    #[inline]
    pub(super) fn is_at_rest(self) -> bool {
        self.word().is_at_rest()
    }

    /// Whether a message sent now would ring, by which the sender learns whether anybody is there.
    pub(super) fn would_ring(self) -> bool {
        self.word().would_ring()
    }

    /// For the sender, after it has published a message: wakes the receiver if it may sleep. False
    /// if that showed that the other end is closed.
    #[inline]
    pub(super) fn ring(self, socket: BorrowedFd<'_>) -> bool {
        let rung = self.word().ring(self.0.family(), &Socket(socket));
        !rung.is_err_and(|e| matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
    }

    /// For the receiver, which saw the ring empty: removes the byte. It looks at the ring again
    /// afterwards.
    pub(super) fn settle(self, socket: BorrowedFd<'_>) {
        self.word().settle(self.0.family(), &Socket(socket));
    }

    /// For a receiver that was woken for nothing although the word says that no byte is there.
    pub(super) fn settle_stray(self, socket: BorrowedFd<'_>) {
        self.word().settle_stray(self.0.family(), &Socket(socket));
    }

    /// Units of memory that are on their way.
    pub(super) fn units(self) -> u32 {
        self.word().units()
    }

    pub(super) fn add_units(self, units: u32) {
        self.word().add_units(units);
    }

    /// Takes units away, never more than there are.
    pub(super) fn remove_units(self, units: u32) {
        self.word().remove_units(units);
    }
}
