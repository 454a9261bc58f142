//! A connection used by one thread, which waits.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use phalanx_os::poll::{self, Interest};
use phalanx_os::stream::send_now;
use phalanx_shm::patience::{GaveUp, Patience, Slices};
use phalanx_shm::spin::Spin;

use super::inbox::{Inbox, TooLong, header};
use super::stopper::Stopper;

/// Answers come soon, or the other end is busy.
static SPIN: Spin = Spin::new();

/// Why a message was not sent or received.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::serve::{Stream, StreamError};
///
/// let (_one, other) = std::os::unix::net::UnixStream::pair()?;
/// let nothing = Stream::new(other.into()).receive(100, &Patience::none()).map(<[u8]>::len);
/// assert!(matches!(nothing, Err(StreamError::GaveUp(_))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// The other end is closed.
    Closed,
    /// The deadline passed or the wait was interrupted. A message may be half sent: the connection
    /// is of no use any more.
    GaveUp(GaveUp),
    /// The other end announced a message of an impossible length.
    TooLong(TooLong),
    /// The kernel's refusal.
    Os(io::Error),
}

impl std::fmt::Display for StreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the other end of the connection is closed"),
            Self::GaveUp(why) => why.fmt(f),
            Self::TooLong(why) => why.fmt(f),
            Self::Os(why) => write!(f, "the connection failed: {why}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Os(error),
        }
    }
}

/// A connection that carries messages, each with its length in front.
///
/// Its two directions are used by one thread at a time. If the process at the other end dies, what
/// it has sent can still be received; then the stream is [closed](StreamError::Closed).
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use phalanx::Patience;
/// use phalanx::serve::{Stream, StreamError};
///
/// let (one, other) = UnixStream::pair()?;
/// let (one, mut other) = (Stream::new(one.into()), Stream::new(other.into()));
/// one.send(b"hello", &Patience::forever())?;
/// assert_eq!(other.receive(100, &Patience::forever())?, b"hello");
/// drop(one);
/// assert!(matches!(other.receive(100, &Patience::forever()), Err(StreamError::Closed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
    inbox: Inbox,
    stopper: Option<Stopper>,
}

impl Stream {
    /// A stream over a connected socket.
    ///
    /// ```
    /// use phalanx::{Patience, serve::Stream};
    ///
    /// let (one, other) = std::os::unix::net::UnixStream::pair()?;
    /// let (one, mut other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// one.send(b"hello", &Patience::forever())?;
    /// assert_eq!(other.receive(100, &Patience::forever())?, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn new(socket: OwnedFd) -> Self {
        Self { socket, inbox: Inbox::new(), stopper: None }
    }

    /// A stream of a server, of which some bytes have been received already. When the server stops,
    /// who waits for a message is told that it was interrupted.
    pub(super) const fn of_server(socket: OwnedFd, inbox: Inbox, stopper: Stopper) -> Self {
        Self { socket, inbox, stopper: Some(stopper) }
    }

    /// The message that was received last.
    ///
    /// ```
    /// # use phalanx::{Patience, serve::Stream};
    /// # let (one, other) = std::os::unix::net::UnixStream::pair()?;
    /// # let (one, mut other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// one.send(b"hello", &Patience::forever())?;
    /// other.receive(100, &Patience::forever())?;
    /// assert_eq!(other.last(), b"hello"); // where the stream was borrowed meanwhile
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn last(&self) -> &[u8] {
        self.inbox.last()
    }

    /// Sends one message; waits while the other end is slow.
    ///
    /// # Errors
    /// [`StreamError`]
    ///
    /// ```
    /// # use phalanx::{Patience, serve::Stream};
    /// use phalanx::serve::StreamError;
    ///
    /// # let (one, other) = std::os::unix::net::UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// one.send(b"hello", &Patience::forever())?;
    /// drop(other);
    /// assert!(matches!(one.send(b"hello?", &Patience::forever()), Err(StreamError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&self, body: &[u8], patience: &Patience<'_>) -> Result<(), StreamError> {
        let header = header(body.len());
        let mut sent = 0;
        let mut slices = Slices::for_users();
        let total = header.as_slice().len() + body.len();
        while sent < total {
            let head = header.as_slice().get(sent..).unwrap_or(&[]);
            let tail = &body[sent.saturating_sub(header.as_slice().len())..];
            match send_now(&self.socket, &[IoSlice::new(head), IoSlice::new(tail)]) {
                Ok(bytes) => sent += bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.sleep(Interest::write(self.socket.as_fd()), patience, &mut slices)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Receives one message, of at most `limit` bytes; waits for it.
    ///
    /// # Errors
    /// [`StreamError`]
    ///
    /// ```
    /// # use phalanx::{Patience, serve::Stream};
    /// use phalanx::serve::StreamError;
    ///
    /// # let (one, other) = std::os::unix::net::UnixStream::pair()?;
    /// # let (one, mut other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// one.send(b"one", &Patience::forever())?;
    /// one.send(b"too long", &Patience::forever())?;
    /// assert_eq!(other.receive(5, &Patience::forever())?, b"one");
    /// assert!(matches!(other.receive(5, &Patience::forever()), Err(StreamError::TooLong(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive(&mut self, limit: usize, patience: &Patience<'_>) -> Result<&[u8], StreamError> {
        let mut spun = false;
        let mut slices = Slices::for_users();
        loop {
            if self.inbox.message(limit).map_err(StreamError::TooLong)?.is_some() {
                return Ok(self.inbox.last());
            }
            let Self { socket, inbox, .. } = self;
            let mut look = || match inbox.fill(&*socket) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
                result => Some(result),
            };
            let came = if spun || patience.is_none() { look() } else { SPIN.until(look) };
            spun = true;
            match came {
                Some(Ok(0)) => return Err(StreamError::Closed),
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(e.into()),
                None => self.sleep(Interest::read(self.socket.as_fd()), patience, &mut slices)?,
            }
        }
    }

    /// Sleeps until the socket is ready or the patience is at its end.
    fn sleep(
        &self,
        interest: Interest<'_>,
        patience: &Patience<'_>,
        slices: &mut Slices,
    ) -> Result<(), StreamError> {
        patience.check().map_err(StreamError::GaveUp)?;
        let Some(stopper) = &self.stopper else {
            // In slices: a signal handler that ran right before is asked about after the sleep.
            poll::wait(&mut [interest], Some(slices.next_deadline(patience)))?;
            return Ok(());
        };
        if stopper.is_stopped() {
            return Err(StreamError::GaveUp(GaveUp::Interrupted));
        }
        poll::wait(&mut [interest, Interest::read(stopper.bell())], patience.deadline())?;
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_os::socket::stream_pair;
    use std::time::Duration;

    fn pair() -> (Stream, Stream) {
        let (a, b) = stream_pair().expect("a pair of sockets");
        (Stream::new(a), Stream::new(b))
    }

    #[test]
    fn a_message_longer_than_the_sockets_buffer_goes_through() {
        let (a, mut b) = pair();
        let body: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let expected = body.clone();
        let sender = std::thread::spawn(move || a.send(&body, &Patience::forever()));
        let got = b.receive(usize::MAX, &Patience::forever()).expect("the message").to_vec();
        assert!(got == expected);
        sender.join().expect("no panic").expect("sent");
        let end = b.receive(usize::MAX, &Patience::forever()).map(<[u8]>::to_vec);
        assert!(matches!(end, Err(StreamError::Closed)));
    }

    #[test]
    fn a_silent_peer_is_given_up_at_the_deadline() {
        let (a, mut b) = pair();
        let soon = || Patience::timeout(Some(Duration::from_millis(20)));
        let nothing = b.receive(usize::MAX, &soon()).map(<[u8]>::to_vec);
        assert!(matches!(nothing, Err(StreamError::GaveUp(GaveUp::TimedOut))));
        let body = vec![0; 10_000_000];
        assert!(matches!(a.send(&body, &soon()), Err(StreamError::GaveUp(GaveUp::TimedOut))));
        drop(b);
        assert!(matches!(a.send(&body, &soon()), Err(StreamError::Closed)));
    }
}
