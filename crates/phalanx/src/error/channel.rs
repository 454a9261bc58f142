//! Errors of everything that carries messages.

use std::fmt;
use std::io;

use phalanx_shm::arena::AllocError;
use phalanx_shm::patience::GaveUp;
use phalanx_shm::ring::PutError;

use crate::pipe;
use crate::wire::transfer::{NotReceived, NotSent};
use crate::wire::{DecodeError, EncodeError};

/// Why a value was not sent. Nothing of it has been, and the value is within.
///
/// ```
/// use phalanx::{Queue, SendError};
///
/// let queue = Queue::bounded(1)?;
/// queue.put(vec![1, 2, 3])?;
/// match queue.try_put(vec![4]) {
///     Err(SendError::Full(value)) => assert_eq!(value, [4]),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), phalanx::Error>(())
/// ```
#[non_exhaustive]
pub enum SendError<T> {
    /// There was no room until the deadline; at once, for a `try_` operation.
    Full(T),
    /// The wait for room was interrupted.
    Interrupted(T),
    /// Whoever could have received it has gone, in every process.
    Disconnected(T),
    /// There is no shared memory for the message.
    OutOfMemory(T, AllocError),
    /// The value cannot be encoded.
    Encode(T, EncodeError),
}

impl<T> SendError<T> {
    /// The value.
    ///
    /// ```
    /// let queue = phalanx::Queue::bounded(1)?;
    /// queue.put(1)?;
    /// let error = queue.try_put(2).unwrap_err();
    /// assert!(error.is_full());
    /// assert_eq!(error.into_inner(), 2);
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value)
            | Self::Interrupted(value)
            | Self::Disconnected(value)
            | Self::OutOfMemory(value, _)
            | Self::Encode(value, _) => value,
        }
    }

    /// The same error about something else that the value is a part of.
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> SendError<U> {
        match self {
            Self::Full(value) => SendError::Full(with(value)),
            Self::Interrupted(value) => SendError::Interrupted(with(value)),
            Self::Disconnected(value) => SendError::Disconnected(with(value)),
            Self::OutOfMemory(value, e) => SendError::OutOfMemory(with(value), e),
            Self::Encode(value, e) => SendError::Encode(with(value), e),
        }
    }

    /// Whether another try may succeed without anybody changing anything but time.
    ///
    /// ```
    /// let queue = phalanx::Queue::bounded(1)?;
    /// queue.put(1)?;
    /// assert!(queue.try_put(2).is_err_and(|error| error.is_full()));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    fn gave_up(value: T, why: GaveUp) -> Self {
        match why {
            GaveUp::TimedOut => Self::Full(value),
            GaveUp::Interrupted => Self::Interrupted(value),
        }
    }
}

impl<T> From<(T, NotSent<PutError>)> for SendError<T> {
    fn from((value, why): (T, NotSent<PutError>)) -> Self {
        match why {
            NotSent::Encode(e) => Self::Encode(value, e),
            NotSent::OutOfMemory(e) | NotSent::Refused(PutError::OutOfMemory(e)) => {
                Self::OutOfMemory(value, e)
            }
            NotSent::Refused(PutError::GaveUp(why)) => Self::gave_up(value, why),
        }
    }
}

impl<T> From<(T, NotSent<pipe::SendError>)> for SendError<T> {
    fn from((value, why): (T, NotSent<pipe::SendError>)) -> Self {
        match why {
            NotSent::Encode(e) => Self::Encode(value, e),
            NotSent::OutOfMemory(e) | NotSent::Refused(pipe::SendError::OutOfMemory(e)) => {
                Self::OutOfMemory(value, e)
            }
            NotSent::Refused(pipe::SendError::GaveUp(why)) => Self::gave_up(value, why),
            NotSent::Refused(pipe::SendError::Broken | pipe::SendError::ReceiveOnly) => {
                Self::Disconnected(value)
            }
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("there was no room for the message until the deadline"),
            Self::Interrupted(_) => f.write_str("interrupted while waiting for room"),
            Self::Disconnected(_) => {
                f.write_str("nobody can receive the message: every receiver is closed or has ended")
            }
            Self::OutOfMemory(_, e) => e.fmt(f),
            Self::Encode(_, e) => e.fmt(f),
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Interrupted(_) => f.write_str("Interrupted(..)"),
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::OutOfMemory(_, e) => write!(f, "OutOfMemory(.., {e:?})"),
            Self::Encode(_, e) => write!(f, "Encode(.., {e:?})"),
        }
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Why no value was received.
///
/// ```
/// use phalanx::plain::PlainFormat;
/// use phalanx::{Queue, RecvError};
///
/// let numbers = Queue::<u64>::unbounded()?;
/// assert!(matches!(numbers.take_timeout(std::time::Duration::ZERO), Err(RecvError::Empty)));
///
/// // Somebody puts what is no number: its bytes are in the error.
/// let texts = Queue::<String>::from_raw(numbers.raw().clone()).with_codec::<PlainFormat>();
/// texts.put("seven".to_owned())?;
/// let numbers = numbers.with_codec::<PlainFormat>();
/// assert!(matches!(numbers.take(), Err(RecvError::Decode(error)) if !error.bytes().is_empty()));
/// # Ok::<(), phalanx::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing came until the deadline.
    Empty,
    /// The wait was interrupted.
    Interrupted,
    /// Whoever could have sent something has gone, in every process, and all that was sent has been
    /// received.
    Disconnected,
    /// A message came, and is gone from where it was, but its bytes are no such value. They are
    /// within.
    Decode(DecodeError),
    /// The descriptor that tells of the other side cannot be waited for.
    Io(io::ErrorKind),
}

impl RecvError {
    /// Whether the senders have gone and everything has been received.
    ///
    /// ```
    /// let (sender, receiver) = phalanx::channel::<u64>()?;
    /// drop(sender);
    /// assert!(receiver.recv().is_err_and(|error| error.is_disconnected()));
    /// # Ok::<(), phalanx::Error>(())
    /// ```
    #[must_use]
    pub const fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

impl From<GaveUp> for RecvError {
    fn from(why: GaveUp) -> Self {
        match why {
            GaveUp::TimedOut => Self::Empty,
            GaveUp::Interrupted => Self::Interrupted,
        }
    }
}

impl From<pipe::RecvError> for RecvError {
    fn from(why: pipe::RecvError) -> Self {
        match why {
            pipe::RecvError::SendOnly | pipe::RecvError::EndOfFile => Self::Disconnected,
            pipe::RecvError::GaveUp(why) => why.into(),
            pipe::RecvError::Failed(kind) => Self::Io(kind),
        }
    }
}

impl<E: Into<Self>> From<NotReceived<E>> for RecvError {
    fn from(why: NotReceived<E>) -> Self {
        match why {
            NotReceived::Decode(e) => Self::Decode(e),
            NotReceived::Refused(e) => e.into(),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message came until the deadline"),
            Self::Interrupted => f.write_str("interrupted while waiting for a message"),
            Self::Disconnected => {
                f.write_str("no message can come: every sender is closed or has ended")
            }
            Self::Decode(e) => write!(f, "a message cannot be decoded: {e}"),
            Self::Io(kind) => write!(f, "cannot wait for a message: {kind}"),
        }
    }
}

impl std::error::Error for RecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Decode(e) = self { Some(e) } else { None }
    }
}
