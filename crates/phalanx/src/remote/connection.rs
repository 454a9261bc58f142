//! One connection with typed messages.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use phalanx_os::clock::Deadline;
use phalanx_shm::patience::Patience;

use super::RemoteError;
use crate::connection::{self, Address, Key, Partial, Peers, Stream, StreamError};
use crate::wire::{Codec, Postcard};

/// The longest message, in bytes, that is received where nothing else is said: 64 MiB.
pub const LONGEST: u64 = 64 << 20;

/// Values of these types are passed through, not held.
type Types<S, R, C> = PhantomData<fn() -> (S, R, C)>;

/// A connection that sends values of type `S` and receives values of type `R`, which the other side of
/// course has to see the other way round. `C` is the format of the messages.
///
/// Any number of threads may use it: a message is sent and received as a whole. It is closed when it is
/// dropped. As a descriptor it is readable when a message has come, or the end.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
/// use phalanx::connection::Stream;
/// use phalanx::remote::{Connection, RemoteError};
///
/// // Over any stream; mostly they are made by `connect` and `Listener::accept`.
/// let (one, other) = UnixStream::pair()?;
/// let client: Connection<String, u64> = Connection::over(Stream::new(one.into()));
/// let server: Connection<u64, String> = Connection::over(Stream::new(other.into()));
/// client.send(&"how long is this?".to_owned())?;
/// assert!(matches!(client.recv_timeout(Duration::from_millis(1)), Err(RemoteError::TimedOut)));
/// server.send(&(server.recv()?.len() as u64))?;
/// assert_eq!(client.recv()?, 17);
/// drop(server);
/// assert!(matches!(client.recv(), Err(RemoteError::Disconnected)));
/// # Ok::<(), phalanx::Error>(())
/// ```
pub struct Connection<S, R = S, C = Postcard> {
    stream: Stream,
    longest: u64,
    sending: Mutex<Vec<u8>>,
    /// What has come of a message, so that a wait which was given up loses nothing.
    receiving: Mutex<(Partial, Vec<u8>)>,
    is_broken: AtomicBool,
    types: Types<S, R, C>,
}

/// Connects to a listener at `address` that knows the same key.
///
/// # Errors
/// [`RemoteError::Io`] when nobody listens there, [`RemoteError::Handshake`] when one of the two sides
/// does not believe the other, [`RemoteError::Disconnected`] when the listener hangs up.
///
/// ```
/// # use phalanx::remote::Listener;
/// use phalanx::remote::{Address, Key, connect};
///
/// let key = Key::new(b"known to both");
/// # let address = Address::Inet(([127, 0, 0, 1], 0).into()); // or "192.168.1.7:9000".parse()
/// # let listener = Listener::<u64, String>::bind(&address, &key)?;
/// # let address = listener.address()?;
/// # let server = std::thread::spawn(move || listener.accept()?.recv());
/// let connection = connect::<String, u64>(&address, &key)?;
/// connection.send(&"hello".to_owned())?;
/// # assert_eq!(server.join().expect("no panic")?, "hello");
/// # Ok::<(), phalanx::Error>(())
/// ```
pub fn connect<S, R>(address: &Address, key: &Key) -> Result<Connection<S, R>, RemoteError> {
    connect_with(address, key, &Patience::forever())
}

/// The same, but not beyond `deadline`.
///
/// # Errors
/// As for [`connect`], and [`RemoteError::TimedOut`].
///
/// ```
/// use std::time::{Duration, Instant};
/// use phalanx::remote::{Address, Connection, Key, connect_deadline};
///
/// let (nobody, key) = (Address::Abstract(b"nobody is here".to_vec()), Key::new(b"secret"));
/// let soon = Instant::now() + Duration::from_millis(100);
/// let connected: Result<Connection<u64>, _> = connect_deadline(&nobody, &key, soon);
/// assert!(connected.is_err());
/// ```
pub fn connect_deadline<S, R>(
    address: &Address,
    key: &Key,
    deadline: impl Into<Deadline>,
) -> Result<Connection<S, R>, RemoteError> {
    connect_with(address, key, &Patience::until(Some(deadline.into())))
}

fn connect_with<S, R>(
    address: &Address,
    key: &Key,
    patience: &Patience<'_>,
) -> Result<Connection<S, R>, RemoteError> {
    let stream = connection::connect(address, patience)?;
    connection::introduce(&stream, key, Peers::OwnUser, patience)?;
    Ok(Connection::over(stream))
}

impl<S, R, C> Connection<S, R, C> {
    /// A connection of messages over a stream on which both sides have introduced themselves.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use phalanx::connection::Stream;
    /// use phalanx::remote::Connection;
    ///
    /// let (one, other) = UnixStream::pair()?;
    /// let sender: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// let receiver: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// sender.send(&7)?;
    /// assert_eq!(receiver.recv()?, 7);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn over(stream: Stream) -> Self {
        Self {
            stream,
            longest: LONGEST,
            sending: Mutex::default(),
            receiving: Mutex::default(),
            is_broken: AtomicBool::new(false),
            types: PhantomData,
        }
    }

    /// The stream, for messages of other types. What has come of a message that was not yet received as
    /// a whole is lost.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// one.send(&7)?;
    /// let other: Connection<String> = Connection::over(other.into_stream());
    /// assert!(other.recv().is_err(), "seven bytes of a text have not come");
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// The same connection with messages of another format.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// use phalanx::plain::PlainFormat;
    ///
    /// // For a program in another language, which knows plain values and no postcard.
    /// let (one, other) = (one.with_codec::<PlainFormat>(), other.with_codec::<PlainFormat>());
    /// one.send(&7)?;
    /// assert_eq!(other.recv()?, 7);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn with_codec<D>(self) -> Connection<S, R, D> {
        let over = Connection::over(self.stream);
        Connection { longest: self.longest, receiving: self.receiving, ..over }
    }

    /// Sets the longest message, in bytes, that is received.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<Vec<u8>> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<Vec<u8>> = Connection::over(Stream::new(other.into()));
    /// use phalanx::remote::RemoteError;
    ///
    /// let other = other.with_longest(100);
    /// one.send(&vec![0; 1000])?;
    /// assert!(matches!(other.recv(), Err(RemoteError::TooLong(bytes)) if bytes > 1000));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub fn with_longest(mut self, bytes: u64) -> Self {
        self.longest = bytes;
        self
    }
}

impl<S, R, C: Codec<S>> Connection<S, R, C> {
    /// Sends a value, waiting as long as the other side does not read.
    ///
    /// # Errors
    /// [`RemoteError`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// use phalanx::remote::RemoteError;
    ///
    /// one.send(&7)?;
    /// assert_eq!(other.recv()?, 7);
    /// drop(other);
    /// assert!(matches!(one.send(&8), Err(RemoteError::Disconnected)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn send(&self, value: &S) -> Result<(), RemoteError> {
        self.send_with(value, &Patience::forever())
    }

    /// The same, but not longer than `timeout`.
    ///
    /// # Errors
    /// As for [`Connection::send`], and [`RemoteError::TimedOut`]. If some of the message had been
    /// sent by then, the connection cannot be used to send any more.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<Vec<u8>> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<Vec<u8>> = Connection::over(Stream::new(other.into()));
    /// use std::time::Duration;
    /// use phalanx::remote::RemoteError;
    ///
    /// // More than there is room for while nobody reads:
    /// let late = one.send_timeout(&vec![0; 16 << 20], Duration::from_millis(10));
    /// assert!(matches!(late, Err(RemoteError::TimedOut)));
    /// assert!(matches!(one.send(&vec![]), Err(RemoteError::CutShort)), "half a message is out");
    /// # drop(other);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn send_timeout(&self, value: &S, timeout: Duration) -> Result<(), RemoteError> {
        self.send_with(value, &Patience::timeout(Some(timeout)))
    }

    /// The same as long as `patience` allows.
    ///
    /// # Errors
    /// As for [`Connection::send_timeout`], and [`RemoteError::Interrupted`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<Vec<u8>> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<Vec<u8>> = Connection::over(Stream::new(other.into()));
    /// use phalanx::{Patience, remote::RemoteError};
    ///
    /// let pressed = || true; // asked now and then: has the user pressed the button?
    /// let patience = Patience::forever().interruptible(&pressed);
    /// let given_up = one.send_with(&vec![0; 16 << 20], &patience);
    /// assert!(matches!(given_up, Err(RemoteError::Interrupted)));
    /// # drop(other);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn send_with(&self, value: &S, patience: &Patience<'_>) -> Result<(), RemoteError> {
        let mut frame = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(RemoteError::CutShort);
        }
        frame.clear();
        C::encode(value, &mut frame).map_err(RemoteError::Encode)?;
        let done = self.stream.send_some(&frame)?;
        self.stream.send_rest(&frame, done, patience).map_err(|error| {
            // Part of it may be on its way: what is sent next would be taken for the rest.
            self.is_broken.store(true, Ordering::Relaxed);
            error.into()
        })
    }
}

impl<S, R, C: Codec<R>> Connection<S, R, C> {
    /// Receives a value, waiting for it.
    ///
    /// # Errors
    /// [`RemoteError`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// use phalanx::remote::RemoteError;
    ///
    /// one.send(&7)?;
    /// drop(one);
    /// assert_eq!(other.recv()?, 7);
    /// assert!(matches!(other.recv(), Err(RemoteError::Disconnected)));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn recv(&self) -> Result<R, RemoteError> {
        self.recv_with(&Patience::forever())
    }

    /// Receives a value if one has come; `None` if none has come as a whole.
    ///
    /// # Errors
    /// As for [`Connection::recv`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// assert_eq!(other.try_recv()?, None);
    /// one.send(&7)?;
    /// assert_eq!(other.try_recv()?, Some(7));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn try_recv(&self) -> Result<Option<R>, RemoteError> {
        match self.recv_with(&Patience::none()) {
            Err(RemoteError::TimedOut) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Receives a value, waiting for it but not longer than `timeout`.
    ///
    /// # Errors
    /// As for [`Connection::recv`], and [`RemoteError::TimedOut`], after which one may try again.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// use std::time::Duration;
    /// use phalanx::remote::RemoteError;
    ///
    /// let nothing = other.recv_timeout(Duration::from_millis(1));
    /// assert!(matches!(nothing, Err(RemoteError::TimedOut)));
    /// one.send(&7)?;
    /// assert_eq!(other.recv_timeout(Duration::from_secs(1))?, 7);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<R, RemoteError> {
        self.recv_with(&Patience::timeout(Some(timeout)))
    }

    /// Receives a value, waiting for it but not beyond `deadline`.
    ///
    /// # Errors
    /// As for [`Connection::recv_timeout`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// use std::time::{Duration, Instant};
    ///
    /// (0..2).try_for_each(|n| one.send(&n))?;
    /// let deadline = Instant::now() + Duration::from_millis(10);
    /// // As many as come in these ten milliseconds:
    /// let all: Vec<u64> = std::iter::from_fn(|| other.recv_deadline(deadline).ok()).collect();
    /// assert_eq!(all, [0, 1]);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn recv_deadline(&self, deadline: impl Into<Deadline>) -> Result<R, RemoteError> {
        self.recv_with(&Patience::until(Some(deadline.into())))
    }

    /// Receives a value, waiting for it as long as `patience` allows.
    ///
    /// # Errors
    /// As for [`Connection::recv_timeout`], and [`RemoteError::Interrupted`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use phalanx::connection::Stream;
    /// # use phalanx::remote::Connection;
    /// # let (one, other) = UnixStream::pair()?;
    /// # let one: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// # let other: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// use phalanx::{Patience, remote::RemoteError};
    ///
    /// let pressed = || true; // asked now and then: has the user pressed the button?
    /// let patience = Patience::forever().interruptible(&pressed);
    /// assert!(matches!(other.recv_with(&patience), Err(RemoteError::Interrupted)));
    /// # drop(one);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn recv_with(&self, patience: &Patience<'_>) -> Result<R, RemoteError> {
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let (partial, frame) = &mut *receiving;
        let received = self.stream.recv_rest(partial, frame, Some(self.longest), patience);
        if let Err(StreamError::GaveUp(why)) = received {
            return Err(why.into());
        }
        *partial = Partial::default();
        let decoded = match received {
            Ok(()) => C::decode(frame).map_err(RemoteError::Decode),
            Err(error) => Err(error.into()),
        };
        frame.clear();
        frame.shrink_to(64 << 10);
        decoded
    }

    /// The values to come, until the other side has closed the connection; any other error is the last
    /// item.
    ///
    /// # Errors
    /// Each item is what [`Connection::recv`] returned, but for [`RemoteError::Disconnected`], which ends them.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use phalanx::connection::Stream;
    /// use phalanx::remote::Connection;
    ///
    /// let (one, other) = UnixStream::pair()?;
    /// let sender: Connection<u64> = Connection::over(Stream::new(one.into()));
    /// let receiver: Connection<u64> = Connection::over(Stream::new(other.into()));
    /// (1..4).try_for_each(|n| sender.send(&n))?;
    /// drop(sender);
    /// assert_eq!(receiver.iter().flatten().sum::<u64>(), 6);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Result<R, RemoteError>> {
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let next = self.recv();
            is_over = !matches!(next, Ok(_) | Err(RemoteError::Decode(_)));
            (!matches!(next, Err(RemoteError::Disconnected))).then_some(next)
        })
    }
}

impl<S, R, C> AsFd for Connection<S, R, C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.fd()
    }
}

impl<S, R, C> fmt::Debug for Connection<S, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("stream", &self.stream).finish_non_exhaustive()
    }
}
