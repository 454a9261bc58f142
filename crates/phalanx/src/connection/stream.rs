//! Messages over a descriptor that somebody else made: a socket or a pipe of the kernel.
//!
//! The other end may be any program that speaks the standard library's format: the length of the
//! message in four bytes, big-endian, and its bytes; for more than 2 GiB the length -1 and then the
//! length in eight bytes.
//!
//! Nothing is read ahead: what lies behind a message stays with the kernel, for whoever else reads
//! from the descriptor.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use phalanx_os::clock::Deadline;
use phalanx_os::net;
use phalanx_os::poll::{self, Interest};
use phalanx_shm::patience::{GaveUp, Patience, Slices};
use phalanx_shm::spin::Spin;

use super::partial::{Header, Partial};

/// How far a buffer may grow before the bytes that it is for have come: the other side can announce
/// any length.
const STEP: usize = 256 * 1024;

static ARRIVAL: Spin = Spin::new();

/// A descriptor with messages on it.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use phalanx::Patience;
/// use phalanx::connection::Stream;
///
/// let (one, other) = UnixStream::pair()?;
/// let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
/// one.send(b"hello", &Patience::forever())?;
/// let mut message = Vec::new();
/// other.recv(&mut message, Some(1 << 20), &Patience::forever())?;
/// assert_eq!(message, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    /// Sockets can be asked not to block for one call; other descriptors have to be polled before.
    is_socket: bool,
}

/// Why a message was not sent or received. The stream is of no use afterwards, unless the wait for
/// the message's first byte was given up.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use phalanx::Patience;
/// use phalanx::connection::{Stream, StreamError};
///
/// let (one, other) = UnixStream::pair()?;
/// let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
/// one.send(&[0; 1000], &Patience::forever())?;
/// drop(one);
/// let received = other.recv(&mut Vec::new(), Some(100), &Patience::forever());
/// assert!(matches!(received, Err(StreamError::TooLong(1000))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// The other end was closed between messages.
    EndOfFile,
    /// The other end was closed in the middle of a message.
    CutShort,
    /// The message is longer than the caller allows: so many bytes.
    TooLong(u64),
    /// The caller gave up.
    GaveUp(GaveUp),
    /// The kernel refused.
    Io(io::Error),
}

impl From<io::Error> for StreamError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl std::fmt::Display for StreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EndOfFile => f.write_str("the other end of the connection is closed"),
            Self::CutShort => f.write_str("the other end was closed in the middle of a message"),
            Self::TooLong(len) => write!(f, "a message of {len} bytes is longer than allowed"),
            Self::GaveUp(why) => why.fmt(f),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for StreamError {}

impl Stream {
    /// Messages on the given descriptor, which is closed with the stream.
    ///
    /// ```
    /// use phalanx::Patience;
    /// use phalanx::connection::Stream;
    ///
    /// // Pipes will do as well; each of their ends goes one way.
    /// let (reader, writer) = std::io::pipe()?;
    /// let (reader, writer) = (Stream::new(reader.into()), Stream::new(writer.into()));
    /// writer.send(b"hello", &Patience::forever())?;
    /// reader.recv(&mut Vec::new(), None, &Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        let is_socket = net::is_socket(&fd);
        Self { fd, is_socket }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`StreamError`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// use phalanx::connection::StreamError;
    ///
    /// one.send(b"hello", &Patience::forever())?;
    /// drop(other);
    /// let lost = one.send(b"is anybody there?", &Patience::forever());
    /// assert!(matches!(lost, Err(StreamError::Io(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&self, message: &[u8], patience: &Patience<'_>) -> Result<(), StreamError> {
        let done = self.send_some(message)?;
        self.send_rest(message, done, patience)
    }

    /// Sends as much of a message as goes without waiting; says how many bytes that were, those of
    /// the header included. The rest is for [`Stream::send_rest`].
    ///
    /// # Errors
    /// [`StreamError`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// assert_eq!(one.send_some(b"hello")?, 9, "all of it, with its length in front");
    /// let sent = one.send_some(&[0; 16 << 20])?;
    /// assert!(sent < 16 << 20, "as much as there was room for");
    /// # drop(other);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_some(&self, message: &[u8]) -> Result<usize, StreamError> {
        if !self.is_socket {
            return Ok(0);
        }
        match self.write(&Header::of(message.len()), message, 0) {
            Ok(done) => Ok(done),
            Err(e) if is_passing(&e) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    /// Sends what is left of a message.
    ///
    /// # Errors
    /// [`StreamError`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// let message = vec![7; 16 << 20];
    /// let sent = one.send_some(&message)?;
    /// let mut received = Vec::new();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| one.send_rest(&message, sent, &Patience::forever()).is_ok());
    ///     other.recv(&mut received, None, &Patience::forever())
    /// })?;
    /// assert_eq!(received, message);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_rest(
        &self,
        message: &[u8],
        mut done: usize,
        patience: &Patience<'_>,
    ) -> Result<(), StreamError> {
        let header = Header::of(message.len());
        let total = header.bytes().len() + message.len();
        while done < total {
            match self.write(&header, message, done) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(more) => done += more,
                Err(e) if e.kind() == ErrorKind::Interrupted => {
                    patience.check().map_err(StreamError::GaveUp)?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.wait(Interest::write(self.fd.as_fd()), patience)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn write(&self, header: &Header, message: &[u8], done: usize) -> io::Result<usize> {
        let header = header.bytes();
        let (head, body) = match done.checked_sub(header.len()) {
            None => (&header[done..], message),
            Some(of_body) => (&[][..], &message[of_body..]),
        };
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        if self.is_socket {
            return net::send_some(&self.fd, &parts);
        }
        // In one piece, so that a reader never sees a header without its message.
        phalanx_os::pipe::write(&self.fd, &parts)
    }

    /// Receives one message and appends it to `out`.
    ///
    /// # Errors
    /// [`StreamError`]; [`StreamError::TooLong`] before any of it is read if it has more than `max`
    /// bytes.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// use phalanx::connection::StreamError;
    ///
    /// one.send(b"hello", &Patience::forever())?;
    /// let mut message = Vec::new();
    /// other.recv(&mut message, None, &Patience::forever())?;
    /// assert_eq!(message, b"hello");
    /// drop(one);
    /// let end = other.recv(&mut message, None, &Patience::forever());
    /// assert!(matches!(end, Err(StreamError::EndOfFile)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(
        &self,
        out: &mut Vec<u8>,
        max: Option<u64>,
        patience: &Patience<'_>,
    ) -> Result<(), StreamError> {
        self.recv_rest(&mut Partial::default(), out, max, patience)
    }

    /// Receives what is left of a message that [`Stream::advance`] began.
    ///
    /// # Errors
    /// As for [`Stream::recv`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// use phalanx::connection::Partial;
    ///
    /// let (mut partial, mut message) = (Partial::default(), Vec::new());
    /// // A wait that is given up loses nothing of what has come:
    /// assert!(other.recv_rest(&mut partial, &mut message, None, &Patience::none()).is_err());
    /// one.send(b"hello", &Patience::forever())?;
    /// other.recv_rest(&mut partial, &mut message, None, &Patience::forever())?;
    /// assert_eq!(message, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_rest(
        &self,
        partial: &mut Partial,
        out: &mut Vec<u8>,
        max: Option<u64>,
        patience: &Patience<'_>,
    ) -> Result<(), StreamError> {
        while !self.advance(partial, out, max)? {
            if !self.is_socket || patience.is_none() {
                self.wait_for_message(patience)?;
                continue;
            }
            // Asking the socket is as cheap as asking whether to ask.
            let came = ARRIVAL.until(|| match self.advance(partial, out, max) {
                Ok(false) => None,
                other => Some(other),
            });
            match came {
                Some(result) => {
                    if result? {
                        return Ok(());
                    }
                }
                None => self.wait_for_message(patience)?,
            }
        }
        Ok(())
    }

    /// Takes what has come of a message, without waiting; true once `out` ends with all of it.
    ///
    /// # Errors
    /// As for [`Stream::recv`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// use phalanx::connection::Partial;
    ///
    /// one.send(b"hello", &Patience::forever())?;
    /// let mut message = b"so far: ".to_vec();
    /// assert!(other.advance(&mut Partial::default(), &mut message, None)?);
    /// assert_eq!(message, b"so far: hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(
        &self,
        partial: &mut Partial,
        out: &mut Vec<u8>,
        max: Option<u64>,
    ) -> Result<bool, StreamError> {
        loop {
            let Some((len, got)) = partial.body else {
                if !self.advance_header(partial)? {
                    return Ok(false);
                }
                if let Some(len) = partial.announced() {
                    if max.is_some_and(|max| len > max) {
                        return Err(StreamError::TooLong(len));
                    }
                    let len = usize::try_from(len).map_err(|_| StreamError::TooLong(len))?;
                    partial.body = Some((len, 0));
                    partial.start = out.len();
                }
                continue;
            };
            if got == len {
                return Ok(true);
            }
            let at = partial.start + got;
            let end = at + (len - got).min(STEP);
            if out.len() < end {
                out.resize(end, 0);
            }
            let more = match self.read(&mut out[at..end]) {
                Ok(0) => Err(StreamError::CutShort),
                Ok(more) => Ok(more),
                Err(e) if is_passing(&e) => return Ok(false),
                Err(e) => Err(e.into()),
            };
            let more = more.inspect_err(|_| out.truncate(partial.start))?;
            partial.body = Some((len, got + more));
        }
    }

    fn advance_header(&self, partial: &mut Partial) -> Result<bool, StreamError> {
        match self.read(partial.rest_of_header()) {
            Ok(0) if partial.is_untouched() => Err(StreamError::EndOfFile),
            Ok(0) => Err(StreamError::CutShort),
            Ok(more) => {
                partial.header_len += more;
                Ok(true)
            }
            Err(e) if is_passing(&e) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads without waiting.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_socket {
            return net::receive_some(&self.fd, buffer);
        }
        let mut list = [Interest::read(self.fd.as_fd())];
        poll::wait(&mut list, Some(Deadline::from_nanos(0)))?;
        if !list[0].is_ready() {
            return Err(ErrorKind::WouldBlock.into());
        }
        phalanx_os::pipe::read(&self.fd, buffer)
    }

    /// Waits until something can be read, the end of file too.
    ///
    /// # Errors
    /// [`StreamError::GaveUp`], or the kernel's refusal.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// assert!(other.wait_for_message(&Patience::none()).is_err());
    /// drop(one);
    /// other.wait_for_message(&Patience::forever())?; // the end can be read
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_message(&self, patience: &Patience<'_>) -> Result<(), StreamError> {
        self.wait(Interest::read(self.fd.as_fd()), patience)
    }

    fn wait(&self, interest: Interest<'_>, patience: &Patience<'_>) -> Result<(), StreamError> {
        let mut list = [interest];
        let mut slices = Slices::for_users();
        loop {
            let until = if patience.is_none() {
                patience.deadline()
            } else {
                Some(slices.next_deadline(patience))
            };
            poll::wait(&mut list, until)?;
            if list[0].is_ready() {
                return Ok(());
            }
            patience.check().map_err(StreamError::GaveUp)?;
        }
    }

    /// The descriptor.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// one.send(b"hello", &Patience::forever())?;
    /// // With other descriptors, as in an event loop:
    /// phalanx::process::wait_readable(other.fd(), Patience::forever())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor, which is no longer closed with the stream.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::Patience;
    /// # use phalanx::connection::Stream;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let (one, other) = (Stream::new(one.into()), Stream::new(other.into()));
    /// use std::io::Read;
    ///
    /// one.send(b"hello", &Patience::forever())?;
    /// let (mut bytes, mut socket) = ([0; 9], UnixStream::from(other.into_fd()));
    /// socket.read_exact(&mut bytes)?;
    /// assert_eq!(&bytes, b"\0\0\0\x05hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

/// Nothing is wrong: there is nothing to be read or no room to write, or a signal came.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Patience<'static> {
        Patience::timeout(Some(Duration::from_secs(30)))
    }

    fn pair() -> (Stream, Stream) {
        let (a, b) = phalanx_os::socket::stream_pair().expect("a pair of sockets");
        (Stream::new(a), Stream::new(b))
    }

    #[test]
    fn messages_of_all_lengths_arrive_whole() {
        let (a, b) = pair();
        for len in [0, 1, 4, 5, 1000, STEP - 1, STEP, 3 * STEP + 7] {
            let message: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut got = b"before".to_vec();
            std::thread::scope(|s| {
                s.spawn(|| a.send(&message, &soon()).expect("it is read"));
                b.recv(&mut got, None, &soon()).expect("it was sent");
            });
            assert_eq!(got, [b"before", message.as_slice()].concat(), "length {len}");
        }
    }

    #[test]
    fn an_end_is_told_from_a_message_cut_short() {
        let (a, b) = pair();
        a.send(b"all", &soon()).expect("there is room");
        net::send_some(a.fd(), &[IoSlice::new(&[0, 0, 0, 9, 1, 2])]).expect("there is room");
        drop(a);
        let mut got = Vec::new();
        b.recv(&mut got, None, &soon()).expect("it was sent");
        assert!(matches!(b.recv(&mut got, None, &soon()), Err(StreamError::CutShort)));
        assert_eq!(got, b"all", "nothing of the second message is left in the buffer");
        assert!(matches!(b.recv(&mut got, None, &soon()), Err(StreamError::EndOfFile)));
    }

    #[test]
    fn a_length_that_is_merely_announced_takes_no_memory() {
        let (a, b) = pair();
        let header = [&(-1i32).to_be_bytes()[..], &(1u64 << 50).to_be_bytes(), b"some"].concat();
        net::send_some(a.fd(), &[IoSlice::new(&header)]).expect("there is room");
        let mut got = Vec::new();
        let mut partial = Partial::default();
        assert!(!b.advance(&mut partial, &mut got, None).expect("so far all is well"));
        assert!(got.len() <= 2 * STEP);
        let refused = b.advance(&mut Partial::default(), &mut Vec::new(), Some(256));
        assert!(matches!(refused, Ok(false)), "there is no second header");
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_unread() {
        let (a, b) = pair();
        a.send(&[7; 257], &soon()).expect("there is room");
        let refused = b.recv(&mut Vec::new(), Some(256), &soon());
        assert!(matches!(refused, Err(StreamError::TooLong(257))));
    }
}
