//! What can go wrong with a pipe.

use std::fmt;
use std::io;

use phalanx_shm::arena::AllocError;
use phalanx_shm::patience::GaveUp;

/// Why a message was not sent. Nothing of it has been.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::message::Outgoing;
/// use phalanx::pipe::{self, SendError};
///
/// let (receiver, sender) = pipe::one_way()?;
/// let message = &mut Some(Outgoing::Inline(b"x"));
/// assert!(matches!(receiver.send(message, &Patience::none()), Err(SendError::ReceiveOnly)));
/// drop(receiver);
/// assert!(matches!(sender.send(message, &Patience::none()), Err(SendError::Broken)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The end only receives.
    ReceiveOnly,
    /// The other end is closed in every process.
    Broken,
    /// The receiver did not keep up until the deadline, or the caller gave up.
    GaveUp(GaveUp),
    /// There is no shared memory for the message.
    OutOfMemory(AllocError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReceiveOnly => f.write_str("this end of the pipe only receives"),
            Self::Broken => f.write_str("the other end of the pipe is closed"),
            Self::GaveUp(GaveUp::TimedOut) => {
                f.write_str("the pipe stayed full until the deadline")
            }
            Self::GaveUp(GaveUp::Interrupted) => f.write_str("interrupted while the pipe was full"),
            Self::OutOfMemory(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// Why no message was received. None has been lost.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::pipe::{self, RecvError};
///
/// let (receiver, sender) = pipe::one_way()?;
/// let mut frame = Vec::new();
/// let received = receiver.recv(&mut frame, &Patience::none());
/// assert!(matches!(received, Err(RecvError::GaveUp(_))));
/// drop(sender);
/// let received = receiver.recv(&mut frame, &Patience::forever());
/// assert!(matches!(received, Err(RecvError::EndOfFile)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The end only sends.
    SendOnly,
    /// The other end is closed in every process, and all that it sent has been received.
    EndOfFile,
    /// Nothing came until the deadline, or the caller gave up.
    GaveUp(GaveUp),
    /// The socket cannot be waited for.
    Failed(io::ErrorKind),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SendOnly => f.write_str("this end of the pipe only sends"),
            Self::EndOfFile => f.write_str("the other end of the pipe is closed"),
            Self::GaveUp(GaveUp::TimedOut) => f.write_str("no message came until the deadline"),
            Self::GaveUp(GaveUp::Interrupted) => f.write_str("interrupted while no message came"),
            Self::Failed(kind) => write!(f, "cannot wait for the pipe's socket: {kind}"),
        }
    }
}

impl std::error::Error for RecvError {}

impl From<GaveUp> for RecvError {
    fn from(why: GaveUp) -> Self {
        Self::GaveUp(why)
    }
}

/// Why a pipe could not be made.
///
/// ```
/// // Made of the errors of the kernel and of the shared memory; it becomes the crate's one error by `?`.
/// fn ends() -> Result<usize, phalanx::pipe::NewPipeError> {
///     let (_one, _other) = phalanx::pipe::duplex()?;
///     Ok(2)
/// }
/// assert_eq!(ends()?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum NewPipeError {
    /// The kernel refused the sockets or the shared memory.
    Refused(io::Error),
    /// There is no shared memory left.
    OutOfMemory(AllocError),
}

impl fmt::Display for NewPipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(e) => write!(f, "cannot make a pipe: {e}"),
            Self::OutOfMemory(e) => write!(f, "cannot make a pipe: {e}"),
        }
    }
}

impl std::error::Error for NewPipeError {}

impl From<io::Error> for NewPipeError {
    fn from(e: io::Error) -> Self {
        Self::Refused(e)
    }
}

impl From<AllocError> for NewPipeError {
    fn from(e: AllocError) -> Self {
        Self::OutOfMemory(e)
    }
}
