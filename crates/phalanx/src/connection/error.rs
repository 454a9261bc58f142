//! What can go wrong between two sides that do not know each other yet.

use std::fmt;
use std::io;

use phalanx_shm::patience::GaveUp;

use super::digest::UnsupportedDigest;
use super::stream::StreamError;

/// Why the other side is not believed.
///
/// ```
/// use phalanx::connection::{Digest, HandshakeError, Key, challenge, answer, verify};
///
/// let question = challenge(Digest::Sha256)?;
/// let guess = answer(&Key::new(b"a guess"), &question)?;
/// let verdict = verify(&Key::new(b"secret"), &question, &guess);
/// assert!(matches!(verdict, Err(HandshakeError::WrongProof)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Its proof is wrong: it has another key, or none.
    WrongProof,
    /// It says that our proof is wrong.
    Rejected,
    /// It says something else than the protocol wants.
    Unexpected(&'static str),
    /// It wants a digest that is not supported.
    Unsupported(UnsupportedDigest),
    /// It runs as another user of this machine: the one with this number.
    OtherUser(u32),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongProof => f.write_str("digest received was wrong"),
            Self::Rejected => f.write_str("digest sent was rejected"),
            Self::Unexpected(what) => write!(f, "protocol error: {what}"),
            Self::Unsupported(e) => e.fmt(f),
            Self::OtherUser(user) => write!(
                f,
                "the other side runs as user {user}: only the own user and the superuser are let \
                 in by a key, unless others are allowed"
            ),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<UnsupportedDigest> for HandshakeError {
    fn from(e: UnsupportedDigest) -> Self {
        Self::Unsupported(e)
    }
}

/// Why there is no connection.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::connection::{Address, ConnectError, connect};
///
/// let nobody = Address::Abstract(b"nobody listens here".to_vec());
/// match connect(&nobody, &Patience::forever()) {
///     Err(ConnectError::Io(error)) => {
///         assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
///     }
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The other side is not believed.
    Handshake(HandshakeError),
    /// The other side went away, or sent nonsense.
    Stream(StreamError),
    /// The caller gave up.
    GaveUp(GaveUp),
    /// The kernel refused.
    Io(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(e) => e.fmt(f),
            Self::Stream(e) => e.fmt(f),
            Self::GaveUp(why) => why.fmt(f),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<HandshakeError> for ConnectError {
    fn from(e: HandshakeError) -> Self {
        Self::Handshake(e)
    }
}

impl From<io::Error> for ConnectError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<StreamError> for ConnectError {
    fn from(e: StreamError) -> Self {
        match e {
            StreamError::GaveUp(why) => Self::GaveUp(why),
            StreamError::Io(e) => Self::Io(e),
            other => Self::Stream(other),
        }
    }
}

impl From<ConnectError> for io::Error {
    fn from(e: ConnectError) -> Self {
        match e {
            ConnectError::Io(e) => e,
            other => Self::other(other),
        }
    }
}
