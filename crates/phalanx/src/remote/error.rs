//! What can go wrong between programs that are no relatives.

use std::fmt;
use std::io;

use phalanx_shm::patience::GaveUp;

use crate::connection::{ConnectError, HandshakeError, StreamError};
use crate::error::{Error, ErrorKind};
use crate::wire::{DecodeError, EncodeError};

/// Why there is no connection, or a message was not sent or received.
///
/// ```
/// use phalanx::remote::{Address, Connection, Key, RemoteError, connect};
///
/// let (nobody, key) = (Address::Abstract(b"nobody is here".to_vec()), Key::new(b"secret"));
/// let connected: Result<Connection<u64>, _> = connect(&nobody, &key);
/// assert!(matches!(connected, Err(RemoteError::Io(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum RemoteError {
    /// The deadline passed.
    TimedOut,
    /// The wait was interrupted.
    Interrupted,
    /// The other side has closed its end or has ended.
    Disconnected,
    /// The other side ended in the middle of a message, or this side gave up in the middle of sending
    /// one: the connection is of no more use.
    CutShort,
    /// A message has that many bytes, which is more than is allowed: the connection is of no more use.
    TooLong(u64),
    /// The other side does not believe us, or we it.
    Handshake(HandshakeError),
    /// The value cannot be encoded; nothing of it was sent.
    Encode(EncodeError),
    /// A message was received, but its bytes, which are within, are no such value.
    Decode(DecodeError),
    /// The kernel refused.
    Io(io::Error),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the other side did not answer until the deadline"),
            Self::Interrupted => f.write_str("interrupted while waiting for the other side"),
            Self::Disconnected => {
                f.write_str("the other side has closed the connection or has ended")
            }
            Self::CutShort => f.write_str("the connection ended in the middle of a message"),
            Self::TooLong(len) => write!(f, "a message of {len} bytes is longer than is allowed"),
            Self::Handshake(e) => {
                write!(f, "the other side was not let in, or did not let us in: {e}")
            }
            Self::Encode(e) => e.fmt(f),
            Self::Decode(e) => write!(f, "a message cannot be decoded: {e}"),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for RemoteError {}

impl From<GaveUp> for RemoteError {
    fn from(why: GaveUp) -> Self {
        match why {
            GaveUp::TimedOut => Self::TimedOut,
            GaveUp::Interrupted => Self::Interrupted,
        }
    }
}

impl From<io::Error> for RemoteError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Disconnected,
            _ => Self::Io(error),
        }
    }
}

impl From<StreamError> for RemoteError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::EndOfFile => Self::Disconnected,
            StreamError::CutShort => Self::CutShort,
            StreamError::TooLong(len) => Self::TooLong(len),
            StreamError::GaveUp(why) => why.into(),
            StreamError::Io(error) => error.into(),
        }
    }
}

impl From<ConnectError> for RemoteError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Handshake(error) => Self::Handshake(error),
            ConnectError::Stream(error) => error.into(),
            ConnectError::GaveUp(why) => why.into(),
            ConnectError::Io(error) => error.into(),
        }
    }
}

impl From<RemoteError> for Error {
    fn from(error: RemoteError) -> Self {
        let kind = match &error {
            RemoteError::TimedOut => ErrorKind::TimedOut,
            RemoteError::Interrupted => ErrorKind::Interrupted,
            RemoteError::Disconnected | RemoteError::CutShort => ErrorKind::Disconnected,
            RemoteError::TooLong(_) | RemoteError::Decode(_) => ErrorKind::Decode,
            RemoteError::Encode(_) => ErrorKind::Encode,
            RemoteError::Handshake(_) | RemoteError::Io(_) => ErrorKind::Io,
        };
        Self::new(kind, error.to_string())
    }
}
